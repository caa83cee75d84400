"""Intervals: of proportions and of their difference. Pure: standard library only."""

from __future__ import annotations

import math

Interval = tuple[float, float]

LEVEL = 0.95
"""How often an interval holds what it is of."""

Z = 1.959963984540054
"""Of the two sides of :data:`LEVEL`."""


def wilson(successes: int, n: int, z: float = Z) -> Interval:
    """Return Wilson's score interval of a proportion.

    Source: Wilson, Journal of the American Statistical Association 22 (1927).
    """
    p, square = successes / n, z * z
    center = (p + square / (2 * n)) / (1 + square / n)
    half = z * math.sqrt(p * (1 - p) / n + square / (4 * n * n)) / (1 + square / n)
    return max(0.0, center - half), min(1.0, center + half)


def newcombe(new: int, n_new: int, old: int, n_old: int, z: float = Z) -> Interval:
    """Return the interval of the difference of two proportions, new - old, of two independent samples.

    Source: Newcombe, Interval Estimation for the Difference Between Independent Proportions, Statistics in Medicine 17
    (1998), method 10: from the two score intervals.
    """
    p, q = new / n_new, old / n_old
    (low_p, high_p), (low_q, high_q) = wilson(new, n_new, z), wilson(old, n_old, z)
    difference = p - q
    return difference - math.hypot(p - low_p, high_q - q), difference + math.hypot(high_p - p, q - low_q)
