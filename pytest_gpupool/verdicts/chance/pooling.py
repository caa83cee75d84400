"""Pooling: what several attempts of one run at a metric make together, and for how many runs they count.

The same items measured again are the same items: their values are averaged, item by item, and are no new ones. Attempts
of one run may have in common what differs between runs (its items, its host, its hour): as far as they have, they count
for one run.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ...metrics.median import median
from ...metrics.metric import Metric, Number
from .cohort import Measurement, shared_means
from .distributions import f_quantile
from .shared_noise import LEAST_METRICS, Noise
from .significance import mean_and_error
from .statistics import mean

_LOW = 0.1
"""Attempts are nearer to each other than runs are where chance alone would bring them so near as seldom as that.

A smaller share would let attempts count for more than they are worth where half of the noise is common to them; a
larger one would take from the power where nothing is, see benchmarks/calibration.py.
"""


def pooled(attempts: Sequence[Metric]) -> Metric:
    """Return one metric for several attempts at it: its value is their mean, and so is that of each item."""
    last = attempts[-1]
    if len(attempts) == 1 or are_identical(attempts):
        return last
    told = [Measurement(value=one.value, samples=one.samples, items=one.items) for one in attempts]
    items = shared_means(told) if all(one.samples for one in told) else {}
    has_ids = items and all(one.items is not None for one in told)
    return replace(
        last,
        value=mean([one.value for one in attempts]),
        n=last.n if len({one.n for one in attempts}) == 1 else None,
        samples=tuple(items.values()) or None,
        items=tuple(map(str, items)) if has_ids else None,
        repeats=tuple(float(one.value) for one in attempts),
    )


def are_identical(attempts: Sequence[Metric]) -> bool:
    """Say whether several attempts gave the same, bit by bit: what they measure is computed, not drawn."""
    return len(attempts) > 1 and len({(one.value, one.samples, one.items) for one in attempts}) == 1


def count_for(values: Sequence[float], noise: Noise, common: float = 0.0) -> float:
    """Return for how many runs of a metric so many attempts of one run count, by the ``noise`` between runs: 1 to all.

    Where they differ as runs do they are as good as runs. Where they differ less, beyond chance, the rest of the noise
    is taken to be common to them (the ratio of two variances is of an F distribution). That share is at least
    ``common``, which is what the run's other metrics tell, see :func:`share_in_common`.
    """
    count = len(values)
    if count < 2 or not noise.variance:
        return float(max(1, count))
    _, error, freedom = mean_and_error(values)
    least = noise.variance * f_quantile(_LOW, freedom, noise.freedom or math.inf)
    common = max(common, 1 - error * error * count / least)
    return 1 / (common + (1 - common) / count)


def share_in_common(attempts: Sequence[tuple[float, float, float, int]]) -> float:
    """Return which share of a metric's noise all attempts of the run have in common, as many metrics tell together.

    Each tells its first attempt, its second one, the mean of the accepted runs, and how many these are. First ones are
    far off, or there were no second ones: how near to the accepted runs these are again, is what tells, and no choice
    was made by it. The median is hardly moved by a few metrics that have changed indeed.
    """
    shares = []
    for first, second, before, runs in attempts:
        if first != before:
            # The mean of the accepted runs is in both distances.
            shares.append((second - before) / (first - before) * (1 + 1 / runs) - 1 / runs)
    if len(shares) < LEAST_METRICS:
        return 0.0
    return min(1.0, max(0.0, median(shares).value))


def is_varied(values: Sequence[Number]) -> bool:
    """Say whether these are not all one."""
    return len(set(values)) > 1
