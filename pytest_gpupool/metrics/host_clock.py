"""The host's clock: seconds of a call as the process sees them."""

from __future__ import annotations

from collections.abc import Callable

from ..processes.own import clock

_LEAST = 1e-4
"""Seconds of one reading at the least: shorter calls are timed several at once, or the clock's own time would show."""


class HostClock:
    """What ``time.perf_counter`` is, whatever a test has put in its place."""

    name = "perf_counter"

    def seconds(self, call: Callable[[], object], number: int) -> float:
        """Return how long so many calls take."""
        calls = range(number)
        began = clock.monotonic()
        for _ in calls:
            call()
        return clock.monotonic() - began

    def number(self, call: Callable[[], object]) -> int:
        """Return how many calls to time at once."""
        number = 1
        while self.seconds(call, number) < _LEAST:
            number *= 2
        return number

    def frequency(self) -> float | None:
        """Return the device's frequency in MHz; nobody tells."""
        return None
