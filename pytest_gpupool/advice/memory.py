"""Memory: tests that declare far more than they use.

It is told of a test function and what it declares, where its tests used no more than half of that; a quarter more than
the most that was seen would do, rounded up. Only where all of them ran to their end (one that crashed or was ended may
have wanted more), and where memory was sampled in tests that have 90 % of their time: what a test shorter than two
samples takes is not seen. What torch says that it held counts where it is more. Memory of other processes on the device
counts as used.

What it saves: over the tests, what they declare beyond that, times their devices and seconds; as a share of the memory
of all devices times the seconds for which they were held. So much was closed to other tests, runs and smaller devices.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..records.folding.result import TestResult
from ..values.nodeids import function_of, name_of
from ..values.outcomes import WHOLE
from ..values.texts import cut_middle, one_line, size_text
from .items import Advice
from .leases import Holds
from .wording import devices_text, share_text

FAR = 2.0
"""How many times what was used is far more."""
HEADROOM = 1.25
"""How many times what was used is enough."""
COVER = 0.9
"""In tests that have so much of the time it must be known."""

_STEP = 2**28  # of what is proposed, where that is below 4 GiB, else 1 GiB
_WIDEST = 60


def advice(holds: Holds) -> Iterator[Advice]:
    """Yield it, whatever it saves."""
    capacity = 0.0
    for device in holds.used():
        if not device.memory_total:
            return
        capacity += device.memory_total * holds.seconds_of(device.id)
    groups: dict[tuple[str, int], list[TestResult]] = {}
    for test in holds.tests:
        if (declared := test.asked.get("memory")) and test.outcome != "skipped":
            groups.setdefault((function_of(test.nodeid), int(declared)), []).append(test)
    for (function, declared), tests in groups.items():
        peak = peak_of(tests)
        if peak is None or declared < FAR * peak:
            continue
        needed = enough(peak)
        wasted = sum((declared - needed) * len(test.devices) * (test.duration or 0.0) for test in tests)
        text = (
            f"{cut_middle(one_line(name_of(function)), _WIDEST)} declares {size_text(declared)} of memory and used "
            f'{size_text(peak)} at most: memory="{_as_typed(needed)}" would do ({share_text(wasted / capacity)} of '
            f"the memory of the {devices_text(holds)} that were held was kept for nothing)"
        )
        if needed < declared:
            yield Advice("memory", text, wasted / capacity, "memory")


def peak_of(tests: Sequence[TestResult]) -> int | None:
    """Return the most bytes that tests used of a device, None where too little is known to tell."""
    if any(test.outcome not in WHOLE for test in tests):
        return None
    total = sum(test.duration or 0.0 for test in tests)
    peaks = [
        (max(peak, test.peak or 0), test.duration or 0.0)
        for test in tests
        if (peak := test.resources.get("peak_memory_bytes"))
    ]
    if not peaks or sum(seconds for _, seconds in peaks) < COVER * total:
        return None
    return max(int(peak) for peak, _ in peaks)


def enough(peak: int) -> int:
    """Return how many bytes are enough for what used so many: a size that people would write."""
    size = HEADROOM * peak
    step = _STEP if size < 4 * 2**30 else 2**30
    return math.ceil(size / step) * step


def _as_typed(size: int) -> str:
    return f"{size // 2**30}GiB" if size % 2**30 == 0 else f"{size // 2**20}MiB"
