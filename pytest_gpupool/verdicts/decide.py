"""The decision: what becomes of all metrics of a run beside its baseline, taken together, at an error over all of them.

Pure: standard library only, no clock, no files. Whoever has the same evidence, baseline and policy decides the same.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any

from ..metrics.metric import Metric, Number
from ..metrics.units import is_timed
from ..values.verdicts import COMPARED, ERROR, RTOL, Verdict
from .baseline import Baseline, Entry
from .chance.cohort import Measurement
from .chance.contrast import Contrast, contrast, noise_of
from .chance.pooling import are_identical, pooled, share_in_common
from .chance.shared_noise import Noise, shared
from .chance.significance import holm
from .chance.statistics import exact, is_beyond, mean, ratio

SCREEN = 0.1
"""A change to the worse that is likelier than that by chance alone is no reason to measure again."""

_BEYOND_DOUBT = 1e-3
"""A share of a metric's part in the error: what is seen at so much less is not measured again for the decision's sake.

It is looked at after each attempt, so that a larger share would add to the error (the rule of Haybittle and Peto).
"""

_ALONE = 0.05
"""The error at which is told what a metric would show if it were the only one."""

_QUALITIES = frozenset({"proportion", "mean"})
"""Kinds of metric that say how good a model is, whatever it runs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How it is decided: ``error`` is how likely a run of an unchanged suite may be red, ``rtol`` a default margin."""

    error: float = ERROR
    rtol: float = RTOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a run found of one metric of one test; ``device`` is the kind of device, None where that is not known.

    ``metric`` is what the test's last attempt gave that counts; ``attempts`` are all of these, where there are several:
    reruns, and what was measured again. ``disturbed``: the device was throttled, or used by others. ``lost``: it
    failed, so that nothing it gave counts.
    """

    test: str
    metric: Metric
    device: str | None
    attempts: tuple[Metric, ...] = ()
    disturbed: bool = False
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict, and what it is based on; None is what does not apply, or no float can hold.

    ``value`` is the mean of ``attempts``, the values of each attempt, where there are several. ``baseline`` is the mean
    of the accepted runs, of which there are ``cohort``; ``change`` and its ``interval`` are
    relative to it; ``allowed`` is the absolute change within the tolerance; ``detectable`` the absolute change that
    80 % of such runs would show, ``detectable_alone`` that at 5 % if it were the only metric; ``p`` is adjusted for all
    decisions of the run; ``higher_is_better`` is the direction that counted; ``note`` says what could not be compared,
    or cannot be shown.
    """

    verdict: Verdict
    baseline: Number | None = None
    change: float | None = None
    interval: tuple[float, float] | None = None
    allowed: float | None = None
    detectable: float | None = None
    detectable_alone: float | None = None
    higher_is_better: bool | None = None
    p: float | None = None
    cohort: int | None = None
    others: tuple[str, ...] = ()
    note: str | None = None
    value: Number | None = None
    attempts: tuple[Number, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Return the keys of a metric in records and reports that it decides."""
        told = {
            "allowed": self.allowed,
            "detectable": self.detectable,
            "detectable_alone": self.detectable_alone,
            "others": list(self.others) or None,
            "note": self.note,
        }
        return {
            **({} if self.value is None else {"value": self.value, "attempts": list(self.attempts)}),
            "higher_is_better": self.higher_is_better,
            "baseline": self.baseline,
            "change": self.change,
            "interval": None if self.interval is None else list(self.interval),
            "p": self.p,
            "cohort": self.cohort,
            **{name: value for name, value in told.items() if value is not None},
            "verdict": self.verdict,
        }


DECIDED = (
    *("baseline", "change", "interval", "p", "cohort", "allowed", "detectable", "detectable_alone", "others", "note"),
    *("attempts", "single"),
)
"""The keys of a metric that a decision gives, but for the verdict, and a direction that only the baseline knew."""


def decide(evidence: Sequence[Evidence], baseline: Baseline, policy: Policy) -> list[Decision]:
    """Return what becomes of each metric, in the order given.

    A value that is not finite is ``invalid``, whatever the baseline; one without an entry, or whose entry is in another
    unit, has ``no-baseline``. The margin is the larger of ``atol`` and ``rtol`` times the baseline's size: the call's
    two where it gives one of them (the other is then 0), else the entry's two, else the policy's ``rtol``. Up to that a
    change is ``ok``. A larger one is ``regressed`` where it is to the worse, to either side if nobody says which one
    that is, and by no chance at the policy's error over all metrics (Holm), see :mod:`contrast` for the tests; where no
    noise is known, by its size alone. ``improved`` likewise.

    Where there is no entry for its kind of device, a proportion or a mean is compared with that for another kind.

    A cohort that drifts by small steps hides what they add up to, so that the first accepted run is compared as well.

    Of a metric with several attempts all are taken together. It has ``regressed`` only where those after the first one
    show it as well, by themselves: a screen of :data:`SCREEN` is enough for that, and leaves out what happened once.
    """
    cases = [_Case.of(one, baseline) for one in evidence]
    noise, common = _shared_noise(cases), _shares_in_common(cases)
    for case in cases:
        case.compare(policy.rtol, noise, common[is_a_speed(case.evidence.metric)])
    family = [case for case in cases if case.can_tell(policy.error)]
    worse = _adjusted([[test.worse for test in case.tests] for case in family])
    better = _adjusted([[test.better for test in case.tests] for case in family])
    for case, of_worse, of_better in zip(family, worse, better, strict=True):
        for test, p_worse, p_better in zip(case.tests, of_worse, of_better, strict=True):
            test.worse, test.better = p_worse, p_better
    count = sum(any(test.worse is not None for test in case.tests) for case in family)
    return [case.decision(policy.error, policy.error / max(1, count)) for case in cases]


def is_suspect(evidence: Evidence, baseline: Baseline, policy: Policy, noise: Mapping[str, Noise | None]) -> bool:
    """Say whether a metric should be measured again before the decision.

    Where what is known so far is worse beyond the tolerance, and :data:`SCREEN` does not call it chance; but neither
    beyond doubt, nor bit-identical at each attempt: then there is nothing left to find. ``noise`` is that of times and
    rates by kind of device, see :func:`known_noise`.
    """
    if evidence.disturbed and is_a_speed(evidence.metric):
        return False
    case = _Case.of(evidence, baseline)
    case.compare(policy.rtol, noise)
    for test, p_value in zip(case.tests, _weighted([test.worse for test in case.tests]), strict=True):
        test.worse = p_value
    alpha = _BEYOND_DOUBT * policy.error / max(1, len(baseline.entries))
    return any(_is_open(test, case, alpha) for test in case.tests)


def _is_open(test: _Test, case: _Case, alpha: float) -> bool:
    if not test.is_beyond() or case.is_better(test):
        return False
    if len(case.evidence.attempts) < 2:
        return test.worse is None or test.worse <= SCREEN
    if are_identical(case.evidence.attempts):
        return False
    if test.worse is None:
        return True
    return test.worse <= SCREEN and not (test.worse <= alpha and test.is_seen_again)


def known_noise(baseline: Baseline) -> Mapping[str, Noise | None]:
    """Return what the accepted runs of all times and rates tell of the noise of one, by kind of device."""
    return _by_device(
        (entry.device, noise_of(entry.runs))
        for entry in baseline.entries
        if len(entry.runs) > 1 and is_timed(entry.unit)
    )


_DRIFT = 0.25
"""The part of a metric's error that is left to the comparison with the first accepted run alone."""


def _weighted(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values of one metric's comparisons so that the smallest is one of the metric (Bonferroni)."""
    if len(p_values) < 2:
        return list(p_values)
    weights = (1 - _DRIFT, _DRIFT)
    return [None if one is None else min(1.0, one / part) for one, part in zip(p_values, weights, strict=True)]


def _adjusted(p_values: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    """Return them adjusted for all metrics, of which each has the p-values of its comparisons."""
    weighted = [_weighted(one) for one in p_values]
    known = [[p for p in one if p is not None] for one in weighted]
    of_metrics = iter(holm([min(one) for one in known if one]))
    factor = sum(map(bool, known))
    adjusted: list[list[float | None]] = []
    for one, numbers in zip(weighted, known, strict=True):
        least, found = (min(numbers), next(of_metrics)) if numbers else (0.0, 0.0)
        adjusted.append([p if p is None else found if p == least else min(1.0, p * factor) for p in one])
    return adjusted


@dataclass(slots=True, kw_only=True)
class _Test:
    """One comparison; ``worse`` and ``better`` are p-values, adjusted once all are known."""

    contrast: Contrast
    allowed: Fraction
    worse: float | None
    better: float | None
    is_seen_again: bool = True
    """Whether the attempts after the first one show it by themselves."""

    def is_beyond(self) -> bool:
        return is_beyond(self.contrast.difference, self.contrast.baseline, self.allowed)


@dataclass(slots=True, kw_only=True)
class _Case:
    """One metric: its verdict where that needs no comparison, else the comparisons, the one with all runs first."""

    evidence: Evidence
    direction: bool | None
    entry: Entry | None = None
    known: Decision | None = None
    tests: list[_Test] = field(default_factory=list)

    @classmethod
    def of(cls, evidence: Evidence, baseline: Baseline) -> _Case:
        metric = evidence.metric
        entry = _entry(evidence, baseline)
        direction = metric.higher_is_better
        if direction is None and entry is not None:
            direction = entry.higher_is_better
        case = cls(evidence=evidence, direction=direction, entry=entry)
        case.known = case._without_comparison(baseline)
        return case

    @property
    def runs(self) -> Sequence[Measurement]:
        """What it is compared with."""
        return () if self.known is not None or self.entry is None else self.entry.runs

    def can_tell(self, error: float) -> bool:
        """Say whether it may be found to have changed: one item beside few cannot, and costs the others nothing then.

        Source: Tarone, 1990, "A modified Bonferroni method for discrete data". Fisher's p is 1 / (N + 1) or more there.
        """
        metric = self.evidence.metric
        is_one_item = metric.kind == "proportion" and metric.n == 1 and len(self.evidence.attempts) < 2
        if not is_one_item or any(run.n != 1 for run in self.runs):
            return True
        return 1 / (len(self.runs) + 1) <= error

    def compare(self, rtol: float, noise: Mapping[str, Noise | None], common: float = 0.0) -> None:
        """Compare it, where that is to be done; ``noise`` is that of times and rates by kind of device.

        ``common`` is the share of it that attempts of this run have in common.
        """
        if self.runs and self.entry is not None:
            others = noise.get(self.entry.device)
            self.tests = list(self._compared(self.entry, rtol, partial(contrast, others=others, common=common)))

    def _compared(self, entry: Entry, rtol: float, beside: Callable[..., Contrast]) -> Iterator[_Test]:
        """Yield the comparison with all accepted runs; where there are several, that with the first of them too."""
        runs = entry.runs
        yield self._test(entry, rtol, partial(beside, runs=runs))
        if len(runs) > 1:
            yield self._test(entry, rtol, partial(beside, runs=runs[:1], noise=runs))

    def _test(self, entry: Entry, rtol: float, beside: Callable[..., Contrast]) -> _Test:
        attempts = self.evidence.attempts or (self.evidence.metric,)
        found = beside(attempts)
        better = None if self.direction is None else found.p_value(not self.direction)
        allowed = _allowed(self.evidence.metric, entry, found.baseline, rtol)
        test = _Test(contrast=found, allowed=allowed, worse=found.p_value(self.direction), better=better)
        if len(attempts) > 1 and not are_identical(attempts):
            test.is_seen_again = _shows(beside(attempts[1:]), test, self.direction)
        return test

    def is_better(self, test: _Test) -> bool:
        """Say whether a difference is one to the better."""
        return self.direction is not None and (test.contrast.difference > 0) == self.direction

    def decision(self, error: float, alpha: float) -> Decision:
        if self.known is not None:
            return self.known
        verdicts = [self._verdict(one, error) for one in self.tests]
        place = verdicts.index("regressed") if "regressed" in verdicts else 0
        test, verdict, entry = self.tests[place], verdicts[place], self.entry
        found = test.contrast
        assert entry is not None
        size = abs(exact(found.baseline))
        return Decision(
            verdict=_adjusted_for(verdict, self.evidence),
            baseline=found.baseline,
            change=ratio(found.difference, size) if size else None,
            interval=_relative(found.interval, size),
            allowed=_float(test.allowed),
            detectable=found.detectable(alpha),
            detectable_alone=found.detectable(_ALONE),
            higher_is_better=self.direction,
            p=test.worse,
            cohort=len(entry.runs),
            note="; ".join(self._notes(test)) or None,
            **self._pooled(),
        )

    def _pooled(self) -> dict[str, Any]:
        attempts = self.evidence.attempts
        if len(attempts) < 2:
            return {}
        return {"value": pooled(attempts).value, "attempts": tuple(one.value for one in attempts)}

    def _notes(self, test: _Test) -> Iterator[str]:
        if self.entry is not None and self.entry.device != self.evidence.device:
            yield f"baseline of {self.entry.device}"
        attempts = self.evidence.attempts
        if len(attempts) > 1 and not are_identical(attempts):
            yield f"mean of {len(attempts)} attempts"
        if test is not self.tests[0]:
            yield "beside the first of the accepted runs, from which later ones have drifted"
        if test.contrast.note:
            yield test.contrast.note
        if not test.is_seen_again and test.is_beyond():
            yield "not seen again when it was measured again"

    def _verdict(self, test: _Test, error: float) -> Verdict:
        if not test.is_beyond():
            return "ok"
        is_better = self.is_better(test)
        if not (is_better or test.is_seen_again):
            return "ok"
        p_value = test.better if is_better else test.worse
        if p_value is not None and p_value > error:
            return "ok"
        return "improved" if is_better else "regressed"

    def _without_comparison(self, baseline: Baseline) -> Decision | None:
        evidence, metric, entry = self.evidence, self.evidence.metric, self.entry
        if not metric.is_finite or evidence.lost:
            known = None if entry is None else entry.value
            return Decision(verdict="invalid", baseline=known, higher_is_better=self.direction)
        if entry is None:
            others = baseline.kinds(evidence.test, metric.name)
            return Decision(verdict="no-baseline", higher_is_better=self.direction, others=others)
        if entry.unit and metric.unit and entry.unit != metric.unit:
            note = f"its entry's unit is {entry.unit}"
            return Decision(verdict="no-baseline", higher_is_better=self.direction, note=note)
        if not _is_finite(entry.value):
            return Decision(verdict="no-baseline", higher_is_better=self.direction)
        return None


def _shared_noise(cases: Sequence[_Case]) -> Mapping[str, Noise | None]:
    """Return what all times and rates on one kind of device tell of the noise of one, by kind of device."""
    return _by_device(
        (case.entry.device, noise_of(case.runs))
        for case in cases
        if case.entry is not None and case.evidence.metric.kind in ("time", "rate")
    )


def _shares_in_common(cases: Sequence[_Case]) -> Mapping[bool, float]:
    """Return which share of its noise the attempts of this run at a metric have in common, for times and for others."""
    found: defaultdict[bool, list[tuple[float, float, float, int]]] = defaultdict(list)
    for case in cases:
        attempts = case.evidence.attempts
        if len(attempts) > 1 and case.runs and not are_identical(attempts) and not attempts[0].samples:
            before = mean([run.value for run in case.runs])
            told = [float(one.value) for one in attempts[:2]]
            found[is_a_speed(case.evidence.metric)].append((told[0], told[1], float(before), len(case.runs)))
    return {kind: share_in_common(found[kind]) for kind in (False, True)}


def _by_device(noises: Iterable[tuple[str, Noise | None]]) -> Mapping[str, Noise | None]:
    found: defaultdict[str, list[Noise]] = defaultdict(list)
    for device, noise in noises:
        if noise is not None:
            found[device].append(noise)
    return {device: shared(noises) for device, noises in found.items()}


def _shows(later: Contrast, test: _Test, direction: bool | None) -> bool:
    """Say whether later attempts alone differ in the same way, beyond the tolerance, as far as a screen tells."""
    if (later.difference > 0) != (test.contrast.difference > 0):
        return False
    p_value = later.p_value(direction)
    return is_beyond(later.difference, later.baseline, test.allowed) and (p_value is None or p_value <= SCREEN)


def _adjusted_for(verdict: Verdict, evidence: Evidence) -> Verdict:
    """Return a verdict for what happened around the test: a time or a rate tells nothing of a disturbed device."""
    if evidence.disturbed and verdict in COMPARED and is_a_speed(evidence.metric):
        return "contended"
    return verdict


def is_a_speed(metric: Metric) -> bool:
    """Say whether a metric is a time or a rate, by its kind, or by its unit where that is of one."""
    return metric.kind in ("time", "rate") or is_timed(metric.unit)


def _relative(interval: tuple[float, float] | None, size: Fraction) -> tuple[float, float] | None:
    if interval is None or not size or not all(map(math.isfinite, interval)):
        return None
    low, high = (ratio(exact(end), size) for end in interval)
    if _float(size) is None:
        return None
    return None if low is None or high is None else (low, high)


def _entry(evidence: Evidence, baseline: Baseline) -> Entry | None:
    """Return the entry for a metric on its kind of device; a quality is nearly the same on another kind."""
    test, name = evidence.test, evidence.metric.name
    own = None if evidence.device is None else baseline.get(test, name, evidence.device)
    if own is not None or evidence.metric.kind not in _QUALITIES or is_timed(evidence.metric.unit):
        return own
    return next((baseline.get(test, name, other) for other in baseline.kinds(test, name)), None)


def _is_finite(number: Number) -> bool:
    return isinstance(number, int) or math.isfinite(number)


def _float(number: Fraction) -> float | None:
    try:
        return float(number)
    except OverflowError:
        return None


def _allowed(metric: Metric, entry: Entry, baseline: Number, rtol: float) -> Fraction:
    given = ((metric.atol, metric.rtol), (entry.atol, entry.rtol), (None, rtol))
    pair = next(pair for pair in given if pair != (None, None))
    # What is no finite number allows nothing.
    absolute, relative = (Fraction() if one is None or not _is_finite(one) else exact(one) for one in pair)
    return max(absolute, relative * abs(exact(baseline)))
