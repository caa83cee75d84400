"""The clock: what time it is, whatever a test has put in the place of the standard library's clocks.

All times of a process come from one moment at which both clocks were read: when this module was imported. freezegun
replaces every name of a module that is one of time's functions, so that none is here; time-machine replaces the C
functions themselves, all but the one for CLOCK_MONOTONIC. The wall clock may be set meanwhile, and is not asked again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial


def _clock(name: str) -> Callable[[], float]:
    # Not every system has it.
    return partial(time.clock_gettime, getattr(time, name)) if hasattr(time, name) else partial(time.monotonic)


monotonic = _clock("CLOCK_MONOTONIC")
"""Seconds from a moment of which only differences tell."""

since_boot = _clock("CLOCK_BOOTTIME")
"""Seconds since the machine was started, its sleep included."""

processor_time: Callable[[], float] = partial(time.thread_time)
"""Seconds of processor time that the calling thread has taken."""

sleep: Callable[[float], None] = partial(time.sleep)
"""Wait so many seconds."""

_wall_time = partial(time.time)
_ANCHOR = [_wall_time() - monotonic()]


def now() -> float:
    """Return the seconds since 1970."""
    return _ANCHOR[0] + monotonic()


def read_again() -> None:
    """Read both clocks again, in a process that was forked from one that has read them long ago."""
    _ANCHOR[0] = _wall_time() - monotonic()
