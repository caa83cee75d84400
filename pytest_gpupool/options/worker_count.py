"""The number of workers that ``-n auto`` stands for, where somebody else than the pool says it."""

from __future__ import annotations

import os

from ..values.errors import UsageProblem

VARIABLE = "PYTEST_XDIST_AUTO_NUM_WORKERS"
"""Xdist's own variable of the environment for it."""


def of_environment() -> tuple[int | None, str | None]:
    """Return what the environment says, None where it says nothing, and what is to be said of that.

    Raises:
        UsageProblem: it is a number, and below 0.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return None, None
    try:
        return checked(int(text), VARIABLE), None
    except ValueError:
        return None, f"{VARIABLE}={text} is no number and counts for nothing, as for pytest-xdist"


def checked(count: int, source: str) -> int:
    """Return the number; 0 is no worker at all. Raises UsageProblem where it is below that."""
    if count < 0:
        raise UsageProblem(f"-n auto is {count} by {source}: give a number of workers from 0")
    return count
