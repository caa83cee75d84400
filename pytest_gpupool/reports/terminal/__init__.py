"""Terminal: the summary at a run's end, in lines that a terminal has room for."""

__all__ = ["rows", "summary"]
