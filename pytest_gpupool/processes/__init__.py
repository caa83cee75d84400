"""Processes: who a process is, whom it started, how long it may take, how it is ended; the only reader of /proc."""

__all__ = [
    "end",
    "guardian",
    "marks",
    "signals",
    "stacks",
    "table",
    "termination",
    "time_limits",
    "tree",
]
