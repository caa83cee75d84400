"""Significance: how likely a change to the worse is by chance, one number per way to compare; and Holm's rule on many.

Pure: standard library only. All p-values are one-sided: of a fall of what is compared. What is worse where it grows is
given with its sign changed, see :mod:`decide`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

from .distributions import binomial_tail, hypergeometric_tail, normal_tail, t_tail

FEW_PAIRS = 10
"""Below so many pairs, signs are flipped: a t distribution would be assumed of what nobody has seen."""


MANY = 10**6
"""Items beyond which a count is as good as normal."""


def mcnemar(lost: int, won: int) -> float:
    """Return the p-value of McNemar's exact test: ``lost`` pairs went from 1 to 0, ``won`` from 0 to 1.

    Source: McNemar, Psychometrika 12 (1947); exact as the binomial test of a fair coin on the pairs that changed, see
    Agresti, Categorical Data Analysis (2013), section 11.1.4.
    """
    return binomial_tail(lost, lost + won)


def paired_t(differences: Sequence[float]) -> float:
    """Return the p-value of the paired t test on new - old. At least two; 0 or 1 where all are the same.

    Source: Student, Biometrika 6 (1908); NIST/SEMATECH e-Handbook of Statistical Methods, section 7.3.1.
    """
    mean, error, df = mean_and_error(differences)
    return t_tail(-mean / error, df) if error else float(mean >= 0)


def sign_flips(differences: Sequence[float]) -> float:
    """Return the p-value by all 2^n ways to flip the signs of new - old: for few pairs, below :data:`FEW_PAIRS`.

    Source: Fisher, The Design of Experiments (1935), section 21.
    """
    seen = math.fsum(differences)
    slack = 1e-12 * max(map(abs, differences), default=0.0)
    flipped = itertools.product((1.0, -1.0), repeat=len(differences))
    sums = (math.fsum(sign * one for sign, one in zip(signs, differences, strict=True)) for signs in flipped)
    return float(sum(total <= seen + slack for total in sums) / 2 ** len(differences))


def two_proportions(new: int, n_new: int, old: int, n_old: int) -> float:
    """Return the p-value of Fisher's exact test of two proportions: ``new`` of ``n_new`` beside ``old`` of ``n_old``.

    Exact, since with a suite's error the tails count, where a normal approximation is off by a factor; of more than
    :data:`MANY` items the pooled z-test, which is the same then.

    Sources: Fisher, Journal of the Royal Statistical Society 98 (1935); Agresti (2013), section 3.5.1; NIST/SEMATECH
    e-Handbook of Statistical Methods, section 7.3.3.
    """
    total = n_new + n_old
    if total <= MANY:
        return hypergeometric_tail(new, n_new, new + old, total)
    share = (new + old) / total
    error = math.sqrt(share * (1 - share) * (1 / n_new + 1 / n_old))
    return normal_tail((old / n_old - new / n_new) / error) if error else 1.0


def welch(new: Sequence[float], old: Sequence[float]) -> tuple[float, float, float]:
    """Return the difference of two means, new - old, its standard error, and its degrees of freedom.

    Source: Welch, Biometrika 34 (1947); NIST/SEMATECH e-Handbook, section 7.3.1.
    """
    (mean_new, error_new, df_new), (mean_old, error_old, df_old) = mean_and_error(new), mean_and_error(old)
    square = error_new**2 + error_old**2
    if not square:
        return mean_new - mean_old, 0.0, df_new + df_old
    df = square**2 / (error_new**4 / df_new + error_old**4 / df_old)
    return mean_new - mean_old, math.sqrt(square), df


def mean_and_error(values: Sequence[float]) -> tuple[float, float, int]:
    """Return the mean of at least two values, its standard error, and the degrees of freedom of that."""
    count = len(values)
    mean = math.fsum(values) / count
    square = math.fsum((one - mean) ** 2 for one in values) / (count - 1)
    return mean, math.sqrt(square / count), count - 1


def holm(p_values: Iterable[float]) -> list[float]:
    """Return adjusted p-values, in the order given: with those up to α rejected, an error in any has a chance of α.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6 (1979).
    """
    given = list(p_values)
    adjusted = [1.0] * len(given)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(given)), key=given.__getitem__)):
        largest = max(largest, min(1.0, (len(given) - rank) * given[place]))
        adjusted[place] = largest
    return adjusted
