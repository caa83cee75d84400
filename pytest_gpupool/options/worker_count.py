"""The number of workers that ``-n auto`` stands for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import pytest

from ..foreign import xdist_session
from ..values.errors import UsageProblem

VARIABLE = "PYTEST_XDIST_AUTO_NUM_WORKERS"
"""Xdist's own variable of the environment for it."""


def of_auto(config: pytest.Config, asking: object, of_pool: Callable[[], int]) -> int:
    """Return how many workers ``-n auto`` is: as the user says, else as the pool does. ``asking`` is the plugin asked.

    Raises:
        pytest.UsageError: it is below 0.
    """
    try:
        asked = xdist_session.asked_of_others(config, asking)
        if asked is not None:
            return checked(asked, "a plugin's or conftest.py's pytest_xdist_auto_num_workers")
        asked, note = of_environment()
    except UsageProblem as problem:
        raise pytest.UsageError(f"gpupool: {problem}") from None
    if note is not None:
        warnings.warn(f"gpupool: {note}", stacklevel=2)
    return of_pool() if asked is None else asked


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
