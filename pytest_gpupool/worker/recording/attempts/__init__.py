"""Attempts: tries at a test, one after the other: what each measures and writes, what pytest's reports say of it."""

__all__ = ["attempt", "captured", "fact", "judged_metrics", "sequence"]
