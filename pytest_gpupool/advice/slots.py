"""Slots: how many workers would have fitted on a device.

By memory: as often as a quarter more than the most that a test used goes into 95 % of the smallest device. By use: as
many as leave the device no more than busy, where each takes what one took on average. By the cores that the run may
use, where each takes the processor time that one took, one core where that is not known. And no more than there were
tests for.

It is told where all that is known (see ``memory`` for what that means; MIG instances do not tell their use), and where
every test used one device: what shares with a group of devices cannot be told. With --dist each more workers only run
more tests.

What it saves: ``busy / lanes * (1 - slots / more)``, where ``busy`` is the tests' own time over all, ``lanes`` how many
workers there were at a time on these devices, ``slots`` how many on one device, and ``more`` how many would have
fitted; but the makespan gets no shorter than the longest test. As a share of the makespan, at most: tests that wait for
each other gain less.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..records.folding.result import TestResult
from ..records.folding.results import Results
from ..values.texts import size_text
from .items import Advice
from .leases import Holds
from .memory import COVER, HEADROOM, peak_of
from .wording import share_text

USABLE = 0.95
"""Of a device's memory: the rest is the driver's."""


def advice(results: Results, holds: Holds) -> Iterator[Advice]:
    """Yield it, whatever it saves."""
    makespan, cores = results.makespan(), results.settings.get("cores")
    tests = [test for test in holds.tests if test.outcome != "skipped"]
    devices = holds.used()
    totals = [device.memory_total for device in devices if device.memory_total]
    slots, peak, use = holds.most_together(), peak_of(tests), _mean(tests, "utilization_mean")
    if results.each or not makespan or not slots or not cores or not peak or use is None or len(totals) < len(devices):
        return
    if any(len(test.devices) != 1 for test in tests) or any(len(hold.devices) != 1 for hold in holds.all):
        return
    by_memory = int(USABLE * min(totals) / (HEADROOM * peak))
    by_use = int(slots * 100 / use) if use else by_memory
    cpu = (_mean(tests, "cpu_percent") or 100.0) / 100
    more = min(by_memory, by_use, int(cores / cpu / len(devices)), len(tests) // len(devices))
    if more <= slots:
        return
    seconds = [test.duration or 0.0 for test in tests]
    gained = min(sum(seconds) / (len(devices) * slots) * (1 - slots / more), makespan - max(seconds))
    saves = max(0.0, gained / makespan)
    present = "was 1" if slots == 1 else f"were {slots}"
    text = (
        f"{more} workers would have fitted on each GPU, where there {present}: tests used "
        f"{size_text(peak)} of {size_text(min(totals))} at most, and kept GPUs {use:.0f} % busy: "
        f"--gpupool-slots={more} with -n {more * len(devices)} saves up to {share_text(saves)} of the makespan, where "
        "no test measures speed"
    )
    yield Advice("slots", text, saves, "makespan")


def _mean(tests: Sequence[TestResult], name: str) -> float | None:
    """Return the mean of what was measured, over the time of the tests; None where too little is known."""
    known = [(test.duration or 0.0, float(value)) for test in tests if (value := test.resources.get(name)) is not None]
    total, seconds = sum(test.duration or 0.0 for test in tests), sum(seconds for seconds, _ in known)
    return sum(seconds * value for seconds, value in known) / seconds if seconds and seconds >= COVER * total else None
