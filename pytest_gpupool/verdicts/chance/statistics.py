"""Statistics: what a few numbers tell together: their mean, their deviation, and a number exactly as people read it.

Pure: standard library only, no clock, no files. Nothing here raises for a number that is not finite, or too large for
a float.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from ...metrics.metric import Number

_NOISE = Fraction(1, 1 << 50)
"""The rounding of a few floating-point operations, relative to their result: 0.1 + 0.2 is not 0.3."""


@lru_cache(maxsize=64, typed=True)  # of a metric each is asked for several times; 1e23 is another number than 10**23
def exact(number: Number) -> Fraction:
    """Return a finite number as the decimal one that people read: 0.1 is a tenth."""
    # By way of Decimal, which reads texts many times as fast.
    return Fraction(number) if isinstance(number, int) else Fraction(Decimal(float.__repr__(number)))


def ratio(part: Fraction, whole: Fraction) -> float | None:
    """Return the quotient as the nearest float, None where it is beyond floats. Raises ZeroDivisionError."""
    # As the division of two ints, which rounds once, and needs no common divisor as a fraction does.
    try:
        return part.numerator * whole.denominator / (part.denominator * whole.numerator)
    except OverflowError:
        return None


def is_beyond(difference: Fraction, baseline: Number, allowed: Fraction) -> bool:
    """Say whether a difference from a baseline is larger than what is allowed, which the rounding of floats is not."""
    far = abs(difference)
    if far <= allowed:
        return False
    # No noise is larger than a small part of a tolerance that somebody meant to be tiny.
    most = allowed / 10**6
    if far > allowed + most:
        return True
    before = exact(baseline)
    return far > allowed + min(max(abs(before), abs(before + difference)) * _NOISE, most)


def mean(values: Sequence[Number]) -> Number:
    """Return the mean, NaN where there is no value or one is not finite, an int where it is beyond floats."""
    if not values or not all(isinstance(one, int) or math.isfinite(one) for one in values):
        return math.nan
    with suppress(OverflowError):
        return math.fsum(map(float, values)) / len(values)
    whole = sum(map(Fraction, values), Fraction()) / len(values)
    with suppress(OverflowError):
        return float(whole)
    return round(whole)


def deviation(values: Sequence[Number]) -> float | None:
    """Return the standard deviation of which the values are a sample (n - 1); None where they do not tell."""
    floats = _finite(values)
    if len(floats) < 2:
        return None
    if min(floats) == max(floats):
        return 0.0
    # Scaled by a power of two, which is exact, so that no square overflows or vanishes.
    _, exponent = math.frexp(max(map(abs, floats)))
    scaled = [math.ldexp(one, -exponent) for one in floats]
    center = math.fsum(scaled) / len(scaled)
    root = math.sqrt(math.fsum((one - center) ** 2 for one in scaled) / (len(scaled) - 1))
    return math.ldexp(root, exponent) if exponent < 1024 else None  # it may be beyond the largest float


def standard_error(samples: Sequence[Number]) -> float | None:
    """Return the standard error of the mean, the deviation over the root of n; None where they do not tell."""
    spread = deviation(samples)
    return None if spread is None else spread / math.sqrt(len(samples))


def spread_of(value: Number, n: int | None = None, samples: Sequence[Number] | None = None) -> float | None:
    """Return the standard deviation that a value would have if it were measured again, None where nothing tells.

    With samples the standard error of their mean; else, for a proportion of ``n`` items, that of the binomial
    distribution, sqrt(p (1 - p) / n).
    """
    if samples is not None:
        return standard_error(samples)
    if n is None or not _is_proportion(value, n):
        return None
    return math.sqrt(value * (1 - value) * (1 / n))


def _is_proportion(value: Number, n: int) -> bool:
    return 0 <= value <= 1 and n >= 1  # which no NaN is


def _finite(values: Sequence[Number]) -> list[float]:
    # As floats; none of them where one is not finite.
    try:
        floats = list(map(float, values))
    except OverflowError:
        return []
    return floats if all(map(math.isfinite, floats)) else []
