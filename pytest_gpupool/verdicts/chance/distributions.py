"""Distributions: tails and quantiles of the normal and of Student's t distribution, tails of counts.

Pure: standard library only. Tails are computed as such, so that 1e-12 has its digits.
"""

from __future__ import annotations

import functools
import math

_STEPS = 500
_CLOSE = 1e-15


def normal_tail(z: float) -> float:
    """Return P(Z > z) of the standard normal distribution."""
    return math.erfc(z / math.sqrt(2)) / 2  # which keeps its digits where 1 - erf would lose them


def normal_quantile(tail: float) -> float:
    """Return the z of which P(Z > z) is ``tail``, 0 < tail < 1."""
    import statistics  # the standard library's, which takes a while to load

    return -statistics.NormalDist().inv_cdf(tail)


def t_tail(t: float, df: float) -> float:
    """Return P(T > t) of Student's t distribution with ``df`` > 0 degrees of freedom; infinite ones are the normal's.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.1 with 26.5.27: with x = df / (df + t²) it
    is I_x(df/2, 1/2) / 2 for t > 0.
    """
    if math.isinf(df):
        return normal_tail(t)
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    square = t * t
    half = _beta_share(df / (df + square), square / (df + square), df / 2, 0.5) / 2
    return half if t > 0 else 1 - half


@functools.lru_cache(maxsize=4096)
def t_quantile(tail: float, df: float) -> float:
    """Return the t of which P(T > t) is ``tail``, 0 < tail <= 1/2, by bisection."""
    low, high = 0.0, 1.0
    while t_tail(high, df) > tail and high < 1e12:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, df) > tail else (low, middle)
    return (low + high) / 2


def f_share(f: float, df: float, df_below: float) -> float:
    """Return P(F <= f) of Fisher's F distribution; infinite ``df_below`` are those of a variance that is known.

    Source: Abramowitz and Stegun, 26.6.2.
    """
    below = min(df_below, 1e9)
    whole = df * f + below
    return _beta_share(df * f / whole, below / whole, df / 2, below / 2)


@functools.lru_cache(maxsize=4096)
def f_quantile(share: float, df: float, df_below: float) -> float:
    """Return the f of which P(F <= f) is ``share``, by bisection."""
    low, high = 0.0, 1.0
    while f_share(high, df, df_below) < share:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if f_share(middle, df, df_below) < share else (low, middle)
    return (low + high) / 2


def binomial_tail(successes: int, n: int) -> float:
    """Return P(X >= successes) of n fair coins."""
    if successes <= 0:
        return 1.0
    if successes * 2 <= n:
        return 1 - binomial_tail(n - successes + 1, n)
    first = math.exp(_log_choose(n, successes) - n * math.log(2))
    return min(1.0, _sum(first, ((n - k) / (k + 1) for k in range(successes, n))))


def hypergeometric_tail(hits: int, drawn: int, marked: int, total: int) -> float:
    """Return P(X <= hits), where ``drawn`` of ``total`` are drawn without replacement and ``marked`` of these count."""
    least = max(0, drawn + marked - total)
    if hits >= min(drawn, marked):
        return 1.0
    if hits < least:
        return 0.0
    if hits * total > drawn * marked:  # beyond the mean the other tail is the shorter one
        return max(0.0, 1 - hypergeometric_tail(drawn - hits - 1, drawn, total - marked, total))
    first = math.exp(_log_choose(marked, hits) + _log_choose(total - marked, drawn - hits) - _log_choose(total, drawn))
    ratios = (k * (total - marked - drawn + k) / ((marked - k + 1) * (drawn - k + 1)) for k in range(hits, least, -1))
    return min(1.0, _sum(first, ratios))


def _sum(term: float, ratios: object) -> float:
    total = term
    for ratio in ratios:  # type: ignore[attr-defined]
        term *= ratio
        total += term
        if term < total * 1e-18:
            break
    return total


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _beta_share(x: float, rest: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b), where ``rest`` is 1 - x with all its digits.

    Source: Press et al., Numerical Recipes, 3rd edition, section 6.4: a continued fraction by Lentz's method.
    """
    if x <= 0 or rest <= 0:
        return float(rest <= 0)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
        if rest > 1e-8
        else math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log1p(-rest) + b * math.log(rest)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(rest, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _STEPS):
        for part in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _not_zero(1 + part * d)
            c = _not_zero(1 + part / c)
            value *= c * d
        if abs(c * d - 1) < _CLOSE:
            break
    return value


def _not_zero(number: float) -> float:
    return number if abs(number) > 1e-300 else 1e-300
