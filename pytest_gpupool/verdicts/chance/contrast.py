"""Contrasts: one metric beside the accepted runs of it, by the test that fits its kind.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ...metrics import kinds
from ...metrics.metric import Metric
from . import significance
from .cohort import Measurement, shared_means
from .distributions import t_quantile, t_tail
from .intervals import LEVEL, Interval, newcombe
from .pooling import are_identical, count_for, is_varied, pooled
from .shared_noise import Noise
from .statistics import exact, mean

LEAST_FREEDOM = 4
"""Degrees of freedom below which a deviation says too little: a t test would be blind to a change by half."""

_MOST_ITEMS = 10**12  # no evaluation has more, and their counts are exact as floats

BIT_IDENTICAL = "bit-identical each time"
"""The note of what has no noise."""

_IDENTICAL = 3
"""So many accepted runs of one and the same value have no noise: it is computed, not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """How far a metric is from its baseline, new - old, and how likely a fall or a rise so far is by chance.

    ``error`` is the difference's standard error, with so many degrees of ``freedom``. Where the ``falls`` and ``rises``
    are None, no noise is known, or there is none. ``note`` says what was compared, where that is not plain.
    """

    baseline: int | float
    difference: Fraction
    falls: float | None = None
    rises: float | None = None
    interval: Interval | None = None
    error: float = 0.0
    freedom: float = math.inf
    note: str = ""

    def p_value(self, higher_is_better: bool | None) -> float | None:
        """Return that of a change to the worse, to either side where nobody says which one that is."""
        if self.falls is None or self.rises is None:
            return None
        if higher_is_better is None:
            return min(1.0, 2 * min(self.falls, self.rises))
        return self.falls if higher_is_better else self.rises

    def detectable(self, error: float) -> float | None:
        """Return the change that is seen in 80 % of such runs at this error; None where no noise is known."""
        if not self.error or self.falls is None:
            return None
        seen = self.error * (t_quantile(error, self.freedom) + t_quantile(0.2, self.freedom))
        return seen if math.isfinite(seen) else None


def contrast(
    attempts: Sequence[Metric],
    runs: Sequence[Measurement],
    noise: Sequence[Measurement] = (),
    others: Noise | None = None,
    common: float = 0.0,
) -> Contrast:
    """Compare the ``attempts`` of one run at a metric, mostly one, with accepted runs of it; all are finite.

    ``noise`` are the runs that tell how far one is from another, where these are more than what it is compared with;
    ``others`` is what other times and rates tell of the noise of one, see :func:`noise_of`, and ``common``
    the share of the noise that the attempts have in common, see :func:`pooling.share_in_common`.
    """
    metric, known = pooled(attempts), noise or runs
    if _is_computed(attempts, known):
        return _alone(metric, runs, BIT_IDENTICAL)
    # What is the same at each attempt, and another in each run, is one measurement of the run.
    values = () if are_identical(attempts) else [one.value for one in attempts]
    try:
        found = _tested(metric, _Known(values, known, others, common), runs)
    except (OverflowError, ValueError, ZeroDivisionError):  # of numbers at the ends of what floats can hold
        found = None
    return found or _alone(metric, runs, "noise unknown")


def noise_of(runs: Sequence[Measurement]) -> Noise | None:
    """Return how far runs of a time or a rate are from each other, relative to it; None where they do not tell."""
    values = [run.value for run in runs]
    if len(values) < 2 or not all(0 < one < sys.float_info.max for one in values):
        return None
    _, error, freedom = significance.mean_and_error([math.log(one) for one in values])
    return Noise(variance=error * error * len(values), freedom=freedom)


def is_a_speed(metric: Metric) -> bool:
    """Say whether a metric is a time or a rate, whose noise is relative to it."""
    return metric.kind in ("time", "rate")


@dataclass(frozen=True, slots=True)
class _Known:
    """What tells of the noise.

    The ``values`` of several attempts, none where all count for one, and which share of their noise is ``common`` to
    them; the ``runs`` that were accepted, and what ``others`` like it tell.
    """

    values: Sequence[int | float]
    runs: Sequence[Measurement]
    others: Noise | None
    common: float


def _tested(metric: Metric, known: _Known, runs: Sequence[Measurement]) -> Contrast | None:
    if metric.kind in ("proportion", "mean") and (pairs := _paired(metric, runs)) is not None:
        return pairs
    if metric.kind == "proportion" and (found := _proportions(metric, known, runs)) is not None:
        return found
    if metric.kind == "mean" and len(runs) == 1 and (found := _unpaired(metric, runs[0])) is not None:
        return found
    if is_a_speed(metric) and (found := _beside_logs(metric, known, runs)) is not None:
        return found
    return _beside_runs(metric, known, runs)


def _is_computed(attempts: Sequence[Metric], runs: Sequence[Measurement]) -> bool:
    metric = attempts[-1]
    if len(attempts) > 1:
        # Runs that differ have noise, though none may be seen within one: a seed of the run's may decide. Of items the
        # noise is known, so that one accepted run alone is no reason to take it for none.
        least = 2 if metric.kind in ("proportion", "mean") and metric.n is not None else 1
        found = {(run.value, run.samples) for run in runs}
        return are_identical(attempts) and len(runs) >= least and len(found) == 1
    repeats = metric.repeats or ()
    if len(repeats) > 1:
        return len(set(repeats)) == 1
    if metric.kind == "proportion":  # a few runs may agree in a count by chance, not in each of many items
        samples = {run.samples for run in runs}
        return len(runs) >= _IDENTICAL and len(samples) == 1 and len(runs[0].samples or ()) >= significance.FEW_PAIRS
    return len(runs) >= _IDENTICAL and len({run.value for run in runs}) == 1


def _alone(metric: Metric, runs: Sequence[Measurement], note: str) -> Contrast:
    baseline = _reference(metric, runs)
    return Contrast(baseline=baseline, difference=exact(metric.value) - exact(baseline), note=note)


def _reference(metric: Metric, runs: Sequence[Measurement]) -> int | float:
    if len({run.value for run in runs}) == 1:
        return runs[0].value
    if metric.kind in ("time", "rate") and all(run.value > 0 for run in runs):
        return math.exp(math.fsum(math.log(run.value) for run in runs) / len(runs))
    return mean([run.value for run in runs])


def _paired(metric: Metric, runs: Sequence[Measurement]) -> Contrast | None:
    new = Measurement(value=metric.value, samples=metric.samples, items=metric.items).by_item()
    old = shared_means(runs)
    shared = [item for item in new if item in old]
    are_told_by_place = metric.items is None or any(run.items is None for run in runs if run.samples)
    if len(shared) < 2 or (are_told_by_place and len(new) != len(old)):
        return None
    scale = kinds.scale_of(metric.unit) if metric.kind == "proportion" else 1.0
    differences = [scale * (new[item] - old[item]) for item in shared]
    falls, rises = _of_pairs(differences, [new[item] for item in shared], [old[item] for item in shared])
    difference, error, freedom = significance.mean_and_error(differences)
    reach = t_quantile((1 - LEVEL) / 2, freedom) * error
    baseline, is_whole = _reference(metric, runs), len(shared) == len(new) == len(old)
    return Contrast(
        baseline=baseline,
        difference=exact(metric.value) - exact(baseline) if is_whole else exact(difference),
        falls=falls,
        rises=rises,
        interval=(difference - reach, difference + reach),
        error=error,
        freedom=freedom,
        note=_told(new, old, shared),
    )


def _told(new: Mapping[object, float], old: Mapping[object, float], shared: Sequence[object]) -> str:
    if len(shared) == len(new) == len(old):
        return ""
    items, are = "item" if len(shared) == 1 else "items", "is" if len(new) - len(shared) == 1 else "are"
    return (
        f"{len(shared)} {items} compared; {len(new) - len(shared)} {are} only here, "
        f"{len(old) - len(shared)} only in the baseline"
    )


def _of_pairs(differences: Sequence[float], new: Sequence[float], old: Sequence[float]) -> tuple[float, float]:
    opposite = [-one for one in differences]
    if {*new, *old} <= {0, 1}:
        lost, won = sum(one < 0 for one in differences), sum(one > 0 for one in differences)
        return significance.mcnemar(lost, won), significance.mcnemar(won, lost)
    if len(differences) < significance.FEW_PAIRS:
        return significance.sign_flips(differences), significance.sign_flips(opposite)
    return significance.paired_t(differences), significance.paired_t(opposite)


def _proportions(metric: Metric, known: _Known, runs: Sequence[Measurement]) -> Contrast | None:
    scale, values = kinds.scale_of(metric.unit), metric.repeats or (metric.value,)
    sizes = [run.n or metric.n for run in runs]
    if metric.n is None or not all(size is not None and 0 < size <= _MOST_ITEMS for size in (metric.n, *sizes)):
        return None
    if not all(0 <= one <= scale for one in (*values, *(r.value for r in runs))):
        return None
    times = _times(values, metric.n, scale, known)
    n_new = round(metric.n * times)
    new = round(math.fsum(values) / len(values) / scale * n_new)
    old = sum(round(run.value / scale * (size or 0)) for run, size in zip(runs, sizes, strict=True))
    n_old = sum(size or 0 for size in sizes)
    low, high = newcombe(new, n_new, old, n_old)
    share = (new + old) / (n_new + n_old)
    baseline = runs[0].value if len(runs) == 1 else scale * old / n_old
    return Contrast(
        baseline=baseline,
        difference=exact(metric.value) - exact(baseline),
        falls=significance.two_proportions(new, n_new, old, n_old),
        rises=significance.two_proportions(old, n_old, new, n_new),
        interval=(scale * low, scale * high),
        error=scale * math.sqrt(share * (1 - share) * (1 / n_new + 1 / n_old)),
    )


def _times(values: Sequence[float], n: int, scale: float, known: _Known) -> float:
    """Return for how many runs of ``n`` items each these values of one run count.

    Between runs there is the noise of the binomial distribution, or less, where the runs have the same items.
    """
    share = math.fsum(values) / len(values) / scale
    between = Noise(variance=scale * scale * share * (1 - share) / n, freedom=math.inf)
    if len(known.runs) > LEAST_FREEDOM:
        _, error, freedom = significance.mean_and_error([float(run.value) for run in known.runs])
        if (seen := error * error * len(known.runs)) < between.variance:
            between = Noise(variance=seen, freedom=freedom)
    return count_for(values, between, known.common)


def _unpaired(metric: Metric, run: Measurement) -> Contrast | None:
    new, old = metric.samples or (), run.samples or ()
    if min(len(new), len(old)) < significance.FEW_PAIRS or not all(map(math.isfinite, (*new, *old))):
        return None
    difference, error, freedom = significance.welch(new, old)
    return _by_t(run.value, difference, error, freedom) if error else None


def _beside_logs(metric: Metric, known: _Known, runs: Sequence[Measurement]) -> Contrast | None:
    """Return the t test of logarithms, by the noise of the metric's own runs and that of others like it.

    What a test itself has measured several times tells nothing of the next run: it counts once. Attempts at the test
    count as far as they differ like runs.
    """
    values = known.values or (metric.value,)
    noise = (noise_of(known.runs) or Noise(variance=0.0, freedom=0)).beside(known.others)
    if noise.freedom < LEAST_FREEDOM or not noise.variance or min(values) <= 0:
        return None
    new = [math.log(one) for one in values]
    before = [math.log(run.value) for run in runs]
    difference = math.fsum(new) / len(new) - math.fsum(before) / len(before)
    error = math.sqrt(noise.variance * (1 / count_for(new, noise, known.common) + 1 / len(before)))
    return _unlogged(_by_t(_reference(metric, runs), difference, error, noise.freedom))


def _beside_runs(metric: Metric, known: _Known, runs: Sequence[Measurement]) -> Contrast | None:
    """Return the t test against accepted runs, or by repeats, None where both tell too little."""
    repeats = metric.repeats or (metric.value,)
    numbers = [*repeats, metric.value, *(run.value for run in (*runs, *known.runs))]
    if not all(isinstance(one, float) or abs(one) < 1 << 53 for one in numbers) or not all(map(math.isfinite, numbers)):
        return None
    is_log = is_a_speed(metric) and min(numbers) > 0
    scaled = math.log if is_log else float
    before, values = [scaled(run.value) for run in runs], [scaled(run.value) for run in known.runs]
    if len(values) > LEAST_FREEDOM and is_varied(values):
        new, (_, error, freedom) = scaled(metric.value), significance.mean_and_error(values)
        deviation = error * math.sqrt(len(values))
        between = Noise(variance=deviation * deviation, freedom=freedom)
        count = count_for([scaled(one) for one in known.values], between, known.common)
    elif len(repeats) > LEAST_FREEDOM:
        new, error, freedom = significance.mean_and_error([scaled(one) for one in repeats])
        count, deviation = float(len(repeats)), error * math.sqrt(len(repeats))
    else:
        return None
    difference = new - math.fsum(before) / len(before)
    found = _by_t(_reference(metric, runs), difference, deviation * math.sqrt(1 / count + 1 / len(before)), freedom)
    return _unlogged(found) if is_log else found


def _by_t(baseline: int | float, difference: float, error: float, freedom: float) -> Contrast:
    reach = t_quantile((1 - LEVEL) / 2, freedom) * error
    return Contrast(
        baseline=baseline,
        difference=exact(difference),
        falls=t_tail(-difference / error, freedom),
        rises=t_tail(difference / error, freedom),
        interval=(difference - reach, difference + reach),
        error=error,
        freedom=freedom,
    )


def _unlogged(found: Contrast) -> Contrast:
    low, high = found.interval or (0.0, 0.0)
    size = found.baseline
    return Contrast(
        baseline=size,
        difference=exact(size * math.expm1(min(700.0, float(found.difference)))),
        falls=found.falls,
        rises=found.rises,
        interval=(size * math.expm1(min(700.0, low)), size * math.expm1(min(700.0, high))),
        error=size * found.error,
        freedom=found.freedom,
    )
