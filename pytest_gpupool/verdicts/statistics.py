"""Statistics: how sure a difference is.

Pure: standard library only, no clock, no files; chance comes from a seed. Nothing here raises for a number that is
not finite, or too large for a float: such numbers are no evidence of anything.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction

from ..metrics.metric import Number

SIGNIFICANT = 0.05
"""A difference with a p-value up to this is significant: one-sided tests at 5 %."""

RESAMPLES = 2000
"""How often the bootstrap draws: its own chance is then half a percentage point around a p-value of 5 %."""

MOST_DRAWS = 5000
"""So many items are drawn one by one in a resample, half a second of work for all of them; more are drawn in blocks."""

_SLACK = 1e-14  # of the largest item: what should be 0 is off by less for each item, by the rounding of floats


def two_proportion_p_value(p_new: float, n_new: int, p_old: float, n_old: int) -> float:
    """Return the p-value of the pooled two-proportion z-test, one-sided in the direction of the observed change.

    ``p_new`` of ``n_new`` items and ``p_old`` of ``n_old`` items are proportions, 0 to 1. 1.0 where they are equal,
    or are no proportions: there is no evidence.

    Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 7.3.3, where
    z = (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)) and p is the proportion of both taken together.
    """
    if not (_is_proportion(p_new, n_new) and _is_proportion(p_old, n_old)) or p_new == p_old:
        return 1.0
    weight = n_new / (n_new + n_old)
    pooled = weight * p_new + (1 - weight) * p_old
    if not 0 < pooled < 1:
        return 1.0
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_new + 1 / n_old))
    return _upper_tail(abs(p_new - p_old) / error) if error else 0.0


def smallest_detectable(p_old: float, n_old: int, n_new: int, *, drop: bool = True) -> float | None:
    """Return the smallest change from ``p_old`` that :func:`two_proportion_p_value` calls significant.

    The change is absolute, a drop or else a rise; None where not even a drop to 0 (a rise to 1) would be significant.

    With w = n_new / (n_new + n_old), c = z² (1/n_new + 1/n_old) and s = 2 p_old - 1, a drop of d makes the pooled
    proportion p_old - w d, so that the smallest one solves d² (1 + c w²) - c w s d - c p_old (1 - p_old) = 0. For a
    rise s has the other sign. The p-value falls as d grows, so that the one positive root is the answer.
    """
    if not (_is_proportion(p_old, n_old) and n_new >= 1):
        return None
    weight, critical = n_new / (n_new + n_old), _critical()
    scaled = critical * critical * (1 / n_new + 1 / n_old)
    square = 1 + scaled * weight * weight
    linear = scaled * weight * (2 * p_old - 1 if drop else 1 - 2 * p_old)
    root = (linear + math.sqrt(linear * linear + 4 * square * scaled * p_old * (1 - p_old))) / (2 * square)
    return root if 0 < root <= (p_old if drop else 1 - p_old) else None


def paired_bootstrap_p_value(
    new: Sequence[Number], old: Sequence[Number], *, seed: str, resamples: int = RESAMPLES
) -> float:
    """Return the p-value of the mean difference of pairs, by bootstrap, one-sided in its observed direction.

    Pairs are drawn with replacement, as many as there are; the p-value is the share of draws whose mean difference is
    0 or on the other side of it, where the observed one counts as one more such draw, so that it is never 0. It is up
    to 5 % where the one-sided 95 % percentile interval leaves out 0. The same seed gives the same p-value. 1.0 where
    there is no difference, or a number that is not finite. Few items know little of their own spread: three that all
    fell are significant.

    Of more than :data:`MOST_DRAWS` pairs, equal blocks of consecutive ones are drawn: the time is then bounded, and
    the variance of the mean is the same where the items' order says nothing. Where neighbours are alike, as questions
    on one document are, it is nearer to the truth.

    Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13, for percentile intervals;
    Koehn, Statistical Significance Tests for Machine Translation Evaluation (EMNLP 2004), for pairs; Davison and
    Hinkley, Bootstrap Methods and their Application (1997), section 4.2, for the one more; Künsch, Annals of
    Statistics 17 (1989), for blocks.

    Raises:
        ValueError: the two are not of one length.
    """
    differences = _differences(new, old)
    total, slack = math.fsum(differences), _SLACK * len(differences)
    if abs(total) <= slack:
        return 1.0
    parts = list(_block_sums(differences if total > 0 else [-one for one in differences], MOST_DRAWS))
    draw, count = random.Random(seed).choices, len(parts)
    others = sum(sum(draw(parts, k=count)) <= slack for _ in range(resamples))
    return (others + 1) / (resamples + 1)


def exact(number: Number) -> Fraction:
    """Return a finite number as the decimal one that people read: 0.1 is a tenth."""
    return Fraction(number) if isinstance(number, int) else Fraction(float.__repr__(number))


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


def _upper_tail(z: float) -> float:
    # Of the standard normal distribution; erfc keeps its digits where 1 - erf would lose them.
    return math.erfc(z / math.sqrt(2)) / 2


@functools.cache
def _critical() -> float:
    import statistics  # the standard library's, which takes a while to load

    return -statistics.NormalDist().inv_cdf(SIGNIFICANT)


def _finite(values: Sequence[Number]) -> list[float]:
    # As floats; none of them where one is not finite.
    try:
        floats = list(map(float, values))
    except OverflowError:
        return []
    return floats if all(map(math.isfinite, floats)) else []


def _differences(new: Sequence[Number], old: Sequence[Number]) -> list[float]:
    # Relative to the largest item, so that nothing overflows; none where a number is not finite.
    if len(new) != len(old):
        raise ValueError(f"pairs need as many new items as old ones, not {len(new)} and {len(old)}")
    after, before = _finite(new), _finite(old)
    if not (after and before):
        return []
    largest = max(map(abs, (*after, *before)))
    if largest == 0:
        return []
    return [one / largest - other / largest for one, other in zip(after, before, strict=True)]


def _block_sums(items: Sequence[float], most: int) -> Iterator[float]:
    # So many blocks at most, whose lengths differ by one at most. Sums, not means: then all items weigh the same.
    count = min(len(items), most)
    size, longer = divmod(len(items), count)
    start = 0
    for number in range(count):
        end = start + size + (number < longer)
        yield math.fsum(items[start:end]) if end - start > 1 else items[start]
        start = end
