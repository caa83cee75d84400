"""Planned: a run that is only planned: it collects, leases nothing, runs nothing, and says what it would be like."""

__all__ = ["hooks", "suite", "wish"]
