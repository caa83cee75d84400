"""Shared noise: what the noise of many metrics tells of that of one, of which only a few runs are known.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_METRICS = 5
"""Fewer metrics say too little of how far their noise differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """A variance, and with how many degrees of freedom it is known."""

    variance: float
    freedom: float

    def beside(self, other: Noise | None) -> Noise:
        """Return the noise of a metric by its own, which this is, and by that of others like it."""
        if other is None:
            return self
        if math.isinf(other.freedom):
            return other
        freedom = self.freedom + other.freedom
        return Noise(
            variance=(self.variance * self.freedom + other.variance * other.freedom) / freedom, freedom=freedom
        )


def shared(noises: Sequence[Noise]) -> Noise | None:
    """Return what these tell of the noise of one more metric: the less, the more they differ. None where too few do.

    The variances of metrics are taken to be of a scaled inverse chi-square distribution, whose two parameters are found
    by the mean and the variance of their logarithms.

    Source: Smyth, Linear Models and Empirical Bayes Methods, Statistical Applications in Genetics and Molecular Biology
    3 (2004), section 6.2.
    """
    known = [one for one in noises if one.variance > 0 and one.freedom > 0]
    if len(known) < LEAST_METRICS:
        return None
    logs = [math.log(one.variance) - digamma(one.freedom / 2) + math.log(one.freedom / 2) for one in known]
    mean = math.fsum(logs) / len(logs)
    spread = math.fsum((one - mean) ** 2 for one in logs) / (len(logs) - 1)
    left = spread - math.fsum(trigamma(one.freedom / 2) for one in known) / len(known)
    if left <= 0:
        return Noise(variance=math.exp(mean), freedom=math.inf)
    half = _inverse_trigamma(left)
    return Noise(variance=math.exp(mean + digamma(half) - math.log(half)), freedom=2 * half)


def digamma(x: float) -> float:
    """Return the logarithmic derivative of the gamma function, x > 0. Source: Abramowitz and Stegun, 6.3.5, 6.3.18."""
    shift = 0.0
    while x < 10:
        shift -= 1 / x
        x += 1
    square = 1 / (x * x)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return shift + math.log(x) - 0.5 / x - series


def trigamma(x: float) -> float:
    """Return the derivative of :func:`digamma`, x > 0. Source: Abramowitz and Stegun, 6.4.6, 6.4.12."""
    shift = 0.0
    while x < 10:
        shift += 1 / (x * x)
        x += 1
    square = 1 / (x * x)
    series = square * (1 / 6 - square * (1 / 30 - square * (1 / 42 - square * (1 / 30 - square * 5 / 66))))
    return shift + 1 / x + square / 2 + series / x


def _inverse_trigamma(value: float) -> float:
    low, high = 1e-8, 1e8  # it falls
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if trigamma(middle) > value else (low, middle)
    return math.sqrt(low * high)
