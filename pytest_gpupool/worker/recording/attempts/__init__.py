"""Attempts: tries at a test, one after the other, with what each has measured and what pytest's reports say of it."""

__all__ = ["attempt", "judged_metrics", "sequence"]
