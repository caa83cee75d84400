"""Sizes: how many workers of each size a run should have for what waits.

Pure: standard library only, no clock, no files. A worker of size k holds k devices from its start to its end, so that
a run whose tests differ in size has to re-form: end some workers and start others on their devices.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping

from .backlog.loads import Load, mean_of, work

URGENT = 0.6
"""A test that takes more than this part of the time that all need at best should not wait for larger ones."""


def targets(tiers: Iterable[Mapping[int, Load]], capacity: int) -> dict[int, int]:
    """Return the number of workers by size that should work on what waits, on ``capacity`` devices.

    ``tiers`` are the loads by size, highest priority first: a lower one gets what the higher leave.
    """
    wanted: dict[int, int] = {}
    free = capacity
    for tier in tiers:
        if free <= 0:
            break
        for gpus, count in _share(tier, free, capacity).items():
            wanted[gpus] = wanted.get(gpus, 0) + count
            free -= gpus * count
    return wanted


def _share(tier: Mapping[int, Load], free: int, capacity: int) -> dict[int, int]:
    sizes = {gpus: load for gpus, load in tier.items() if gpus > 0}
    if len(sizes) == 1:
        ((gpus, load),) = sizes.items()
        return {gpus: min(load.count, free // gpus)}
    mean = mean_of(sizes.values())
    best = _bound(sizes, mean, capacity)
    urgent = {gpus: min(free, _longer(load, URGENT * best)) for gpus, load in sizes.items()}
    wanted: dict[int, int] = {}
    for gpus in sorted(sizes, reverse=True):
        smaller = sum(size * count for size, count in urgent.items() if size < gpus)
        # As many as end by then, and the largest first: the small ones fill every gap that they leave.
        room = max(free - smaller, gpus if not wanted else 0)
        needed = math.ceil(work(sizes[gpus], mean) / best - 1e-9)
        wanted[gpus] = max(0, min(sizes[gpus].count, needed, room // gpus, free // gpus))
        free -= gpus * wanted[gpus]
    for gpus in sorted(sizes):
        more = max(0, min(sizes[gpus].count - wanted[gpus], free // gpus))
        wanted[gpus] += more
        free -= gpus * more
    return wanted


def _bound(sizes: Mapping[int, Load], mean: float, capacity: int) -> float:
    """Return the least time in which all could be done: a perfect division, or the longest of them."""
    area = sum(gpus * work(load, mean) for gpus, load in sizes.items())
    longest = max((load.times[-1] for load in sizes.values() if load.times), default=0.0)
    return max(area / max(1, capacity), longest, 1e-9)


def _longer(load: Load, seconds: float) -> int:
    """Return how many of a load's units take longer than that."""
    return len(load.times) - bisect.bisect_right(load.times, seconds)
