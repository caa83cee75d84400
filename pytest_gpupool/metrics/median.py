"""The median of repeated measurements, and how well it is known. Pure: standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95
"""How likely the interval has the true median, at the least."""


class Median(NamedTuple):
    """A median with its interval; ``low`` and ``high`` are None where there are too few measurements for one."""

    value: float
    low: float | None
    high: float | None

    @property
    def relative_error(self) -> float | None:
        """Half the interval's width over the median, None where that is not known."""
        if self.low is None or self.high is None or not self.value:
            return None
        return (self.high - self.low) / (2 * abs(self.value))


def median(values: Sequence[float], confidence: float = CONFIDENCE) -> Median:
    """Return the median of one measurement or more.

    Its interval goes from the l-th smallest to the l-th largest, with the largest l for which
    2 · P(B(n, 1/2) < l) <= 1 - confidence: whatever the values' distribution is, as long as they are independent.
    There is one from 6 measurements on, at 95 %.

    Source: David and Nagaraja, Order Statistics, 3rd edition, section 7.1.
    """
    ordered = sorted(values)
    middle = len(ordered) // 2
    value = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    rank = _rank(len(ordered), confidence)
    return Median(value, ordered[rank - 1], ordered[-rank]) if rank else Median(value, None, None)


def _rank(count: int, confidence: float) -> int:
    """Return the l of :func:`median`, 0 where there is none."""
    # Whole numbers, of which no sum is rounded: chances of 2 ** count.
    allowed = math.floor((1 - confidence) / 2 * 2**53) * 2**count // 2**53
    below, chance, rank = 0, 1, 0
    while below + chance <= allowed:
        below += chance
        chance = chance * (count - rank) // (rank + 1)
        rank += 1
    return rank
