"""Terminal: a plan, and the summary at a run's end, in lines that a terminal has room for."""

__all__ = ["plan", "rows", "summary"]
