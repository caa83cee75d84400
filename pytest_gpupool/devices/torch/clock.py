"""The device's clock: seconds of a call as CUDA's events on torch's current stream see them.

What the host does meanwhile is not in them, as long as the device has work: it has, since its L2 cache is flushed just
before. So no call finds there what the one before has left. Both as in Triton's ``do_bench``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import presence

_UNKNOWN_L2 = 128 << 20
"""Bytes, where torch does not tell the size: more than any device of today has."""


class DeviceClock:
    """The clock of torch's current device, in a process where torch uses devices."""

    name = "device_events"

    def __init__(self) -> None:
        self._torch: Any = sys.modules["torch"]
        self._cuda: Any = self._torch.cuda
        properties = self._cuda.get_device_properties(self._cuda.current_device())
        size = 2 * (getattr(properties, "L2_cache_size", None) or _UNKNOWN_L2)
        self._flushed = self._torch.empty(size, dtype=self._torch.int8, device="cuda")

    def seconds(self, call: Callable[[], object], number: int) -> float:
        """Return how long so many calls take; waits until the device has done them."""
        start, end = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
        self._flushed.zero_()
        start.record()
        for _ in range(number):
            call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000

    def number(self, call: Callable[[], object]) -> int:
        """Return how many calls to time at once: the second one would find the cache filled."""
        return 1

    def frequency(self) -> float | None:
        """Return the frequency of the device's processors at this moment in MHz, None where torch does not tell."""
        with suppress(Exception):  # it asks the vendor's library, which may be missing
            return float(self._cuda.clock_rate())
        return None


def is_used() -> bool:
    """Say whether torch has begun to compute on devices in this process."""
    return "torch" in sys.modules and presence.is_initialised()
