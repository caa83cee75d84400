"""The decision: what becomes of all metrics of a run beside its baseline, taken together, at an error over all of them.

Pure: standard library only, no clock, no files. Whoever has the same evidence, baseline and policy decides the same.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..metrics.metric import Metric, Number
from ..metrics.units import is_timed
from ..values.verdicts import COMPARED, ERROR, RTOL, Verdict
from .baseline import Baseline, Entry
from .chance.cohort import Measurement
from .chance.contrast import Contrast, contrast, noise_of
from .chance.shared_noise import Noise, shared
from .chance.significance import holm
from .chance.statistics import exact, is_beyond

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

    ``disturbed``: the device was throttled, or used by others. ``lost``: it failed, so that nothing it gave counts.
    """

    test: str
    metric: Metric
    device: str | None
    disturbed: bool = False
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict, and what it is based on; None is what does not apply, or no float can hold.

    ``baseline`` is the mean of the accepted runs, of which there are ``cohort``; ``change`` and its ``interval`` are
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
    """
    cases = [_Case.of(one, baseline) for one in evidence]
    noise = _shared_noise(cases)
    for case in cases:
        case.compare(policy.rtol, noise)
    family = [test for case in cases if case.can_tell(policy.error) for test in case.tests]
    worse = _adjusted([test.worse for test in family])
    better = _adjusted([test.better for test in family])
    for test, p_worse, p_better in zip(family, worse, better, strict=True):
        test.worse, test.better = p_worse, p_better
    count = sum(test.worse is not None for test in family)
    return [case.decision(policy.error, policy.error / max(1, count)) for case in cases]


def _adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    adjusted = iter(holm([one for one in p_values if one is not None]))
    return [None if one is None else next(adjusted) for one in p_values]


@dataclass(slots=True, kw_only=True)
class _Test:
    """One comparison; ``worse`` and ``better`` are p-values, adjusted once all are known."""

    contrast: Contrast
    allowed: Fraction
    worse: float | None
    better: float | None

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
        if metric.kind != "proportion" or metric.n != 1 or any(run.n != 1 for run in self.runs):
            return True
        return 1 / (len(self.runs) + 1) <= error

    def compare(self, rtol: float, noise: Mapping[str, Noise | None]) -> None:
        """Compare it, where that is to be done; ``noise`` is that of times and rates by kind of device."""
        if self.runs and self.entry is not None:
            others = noise.get(self.entry.device)
            self.tests = list(_tests(self.evidence.metric, self.entry, self.direction, rtol, others))

    def decision(self, error: float, alpha: float) -> Decision:
        if self.known is not None:
            return self.known
        test = next((one for one in self.tests if self._verdict(one, error) == "regressed"), self.tests[0])
        verdict, found, entry = self._verdict(test, error), test.contrast, self.entry
        assert entry is not None
        size = abs(exact(found.baseline))
        return Decision(
            verdict=_adjusted_for(verdict, self.evidence),
            baseline=found.baseline,
            change=_float(found.difference / size) if size else None,
            interval=_relative(found.interval, size),
            allowed=_float(test.allowed),
            detectable=found.detectable(alpha),
            detectable_alone=found.detectable(_ALONE),
            higher_is_better=self.direction,
            p=test.worse,
            cohort=len(entry.runs),
            note="; ".join(self._notes(test)) or None,
        )

    def _notes(self, test: _Test) -> Iterator[str]:
        if self.entry is not None and self.entry.device != self.evidence.device:
            yield f"baseline of {self.entry.device}"
        if test is not self.tests[0]:
            yield "beside the first of the accepted runs, from which later ones have drifted"
        if test.contrast.note:
            yield test.contrast.note

    def _verdict(self, test: _Test, error: float) -> Verdict:
        if not test.is_beyond():
            return "ok"
        is_better = self.direction is not None and (test.contrast.difference > 0) == self.direction
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
    found: defaultdict[str, list[Noise]] = defaultdict(list)
    for case in cases:
        if case.entry is not None and (noise := noise_of(case.evidence.metric, case.runs)) is not None:
            found[case.entry.device].append(noise)
    return {device: shared(noises) for device, noises in found.items()}


def _tests(metric: Metric, entry: Entry, direction: bool | None, rtol: float, others: Noise | None) -> Iterator[_Test]:
    runs = entry.runs
    yield _test(metric, entry, contrast(metric, runs, others=others), direction, rtol)
    if len(runs) > 1:
        yield _test(metric, entry, contrast(metric, runs[:1], runs, others), direction, rtol)


def _test(metric: Metric, entry: Entry, found: Contrast, direction: bool | None, rtol: float) -> _Test:
    better = None if direction is None else found.p_value(not direction)
    allowed = _allowed(metric, entry, found.baseline, rtol)
    return _Test(contrast=found, allowed=allowed, worse=found.p_value(direction), better=better)


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
    low, high = (_float(exact(end) / size) for end in interval)
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
