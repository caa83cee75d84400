"""A case: one metric beside its entry of the baseline, compared with what was accepted, up to its own verdict.

Pure. What all cases of a run tell of each other is :mod:`decide`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any

from ..metrics.metric import Metric, Number
from ..metrics.units import is_timed
from ..values.verdicts import COMPARED, Verdict
from .baselines.baseline import Baseline, Entry
from .chance.cohort import Measurement
from .chance.contrast import Contrast, contrast
from .chance.pooling import are_identical, pooled
from .chance.shared_noise import Noise
from .chance.statistics import exact, is_beyond, ratio

SCREEN = 0.1
"""A change to the worse that is likelier than that by chance alone is no reason to measure again."""

_ALONE = 0.05
"""The error at which is told what a metric would show if it were the only one."""

_QUALITIES = frozenset({"proportion", "mean"})
"""Kinds of metric that say how good a model is, whatever it runs on."""


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


@dataclass(slots=True, kw_only=True)
class Finding:
    """One comparison; ``worse`` and ``better`` are p-values, adjusted once all are known."""

    contrast: Contrast
    allowed: Fraction
    worse: float | None
    better: float | None
    is_seen_again: bool = True
    """Whether the attempts after the first one show it by themselves."""

    def is_beyond(self) -> bool:
        """Say whether the difference is larger than what is allowed."""
        return is_beyond(self.contrast.difference, self.contrast.baseline, self.allowed)


@dataclass(slots=True, kw_only=True)
class Case:
    """One metric: its verdict where that needs no comparison, else the comparisons, the one with all runs first."""

    evidence: Evidence
    direction: bool | None
    entry: Entry | None = None
    known: Decision | None = None
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def of(cls, evidence: Evidence, baseline: Baseline) -> Case:
        """Find its entry, and say at once what needs no comparison."""
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
            self.findings = list(self._compared(self.entry, rtol, partial(contrast, others=others, common=common)))

    def _compared(self, entry: Entry, rtol: float, beside: Callable[..., Contrast]) -> Iterator[Finding]:
        """Yield the comparison with all accepted runs; where there are several, that with the first of them too."""
        runs = entry.runs
        yield self._found(entry, rtol, partial(beside, runs=runs))
        if len(runs) > 1:
            yield self._found(entry, rtol, partial(beside, runs=runs[:1], noise=runs))

    def _found(self, entry: Entry, rtol: float, beside: Callable[..., Contrast]) -> Finding:
        attempts = self.evidence.attempts or (self.evidence.metric,)
        found = beside(attempts)
        better = None if self.direction is None else found.p_value(not self.direction)
        allowed = _allowed(self.evidence.metric, entry, found.baseline, rtol)
        finding = Finding(contrast=found, allowed=allowed, worse=found.p_value(self.direction), better=better)
        if len(attempts) > 1 and not are_identical(attempts):
            finding.is_seen_again = _shows(beside(attempts[1:]), finding, self.direction)
        return finding

    def is_better(self, finding: Finding) -> bool:
        """Say whether a difference is one to the better."""
        return self.direction is not None and (finding.contrast.difference > 0) == self.direction

    def decision(self, error: float, alpha: float) -> Decision:
        """Return the verdict at an error over all metrics; ``alpha`` is this one's part, for what is detectable."""
        if self.known is not None:
            return self.known
        verdicts = [self._verdict(one, error) for one in self.findings]
        place = verdicts.index("regressed") if "regressed" in verdicts else 0
        finding, verdict, entry = self.findings[place], verdicts[place], self.entry
        found = finding.contrast
        assert entry is not None
        size = abs(exact(found.baseline))
        return Decision(
            verdict=_adjusted_for(verdict, self.evidence),
            baseline=found.baseline,
            change=ratio(found.difference, size) if size else None,
            interval=_relative(found.interval, size),
            allowed=_float(finding.allowed),
            detectable=found.detectable(alpha),
            detectable_alone=found.detectable(_ALONE),
            higher_is_better=self.direction,
            p=finding.worse,
            cohort=len(entry.runs),
            note="; ".join(self._notes(finding)) or None,
            **self._pooled(),
        )

    def _pooled(self) -> dict[str, Any]:
        attempts = self.evidence.attempts
        if len(attempts) < 2:
            return {}
        return {"value": pooled(attempts).value, "attempts": tuple(one.value for one in attempts)}

    def _notes(self, finding: Finding) -> Iterator[str]:
        if self.entry is not None and self.entry.device != self.evidence.device:
            yield f"baseline of {self.entry.device}"
        attempts = self.evidence.attempts
        if len(attempts) > 1 and not are_identical(attempts):
            yield f"mean of {len(attempts)} attempts"
        if finding is not self.findings[0]:
            yield "beside the first of the accepted runs, from which later ones have drifted"
        if finding.contrast.note:
            yield finding.contrast.note
        if not finding.is_seen_again and finding.is_beyond():
            yield "not seen again when it was measured again"

    def _verdict(self, finding: Finding, error: float) -> Verdict:
        if not finding.is_beyond():
            return "ok"
        is_better = self.is_better(finding)
        if not (is_better or finding.is_seen_again):
            return "ok"
        p_value = finding.better if is_better else finding.worse
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


def _shows(later: Contrast, finding: Finding, direction: bool | None) -> bool:
    """Say whether later attempts alone differ in the same way, beyond the tolerance, as far as a screen tells."""
    if (later.difference > 0) != (finding.contrast.difference > 0):
        return False
    p_value = later.p_value(direction)
    return is_beyond(later.difference, later.baseline, finding.allowed) and (p_value is None or p_value <= SCREEN)


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
