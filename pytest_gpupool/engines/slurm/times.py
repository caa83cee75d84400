"""Times: SLURM's way to write a time limit."""

from __future__ import annotations

_HOUR = 3600
_UNITS_OF_DAYS = (_HOUR, 60, 1)  # D-HH:MM:SS, of which the end may be missing
_UNITS = {1: (60,), 2: (60, 1), 3: (_HOUR, 60, 1)}  # MM, MM:SS, HH:MM:SS


def seconds(text: str) -> int | None:
    """Return a time limit in seconds; None of what is none, as ``infinite``, ``UNLIMITED`` or ``n/a``."""
    days, dash, rest = text.strip().rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in [*parts, *([days] if dash else [])]) or len(parts) > 3:
        return None
    units = _UNITS_OF_DAYS if dash else _UNITS[len(parts)]
    return int(days or 0) * 24 * _HOUR + sum(int(part) * unit for part, unit in zip(parts, units, strict=False))


def text(limit: int) -> str:
    """Return a time limit as SLURM reads and writes it: ``12:00:00``."""
    return f"{limit // _HOUR}:{limit // 60 % 60:02}:{limit % 60:02}"
