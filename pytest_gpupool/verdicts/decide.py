"""The decision: what becomes of all metrics of a run beside its baseline, taken together, at an error over all of them.

Pure: standard library only, no clock, no files. Whoever has the same evidence, baseline and policy decides the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..metrics.units import is_timed
from ..values.verdicts import ERROR, RTOL
from .baselines.baseline import Baseline
from .case import SCREEN, Case, Decision, Evidence, Finding, is_a_speed
from .chance.contrast import noise_of
from .chance.pooling import are_identical, share_in_common
from .chance.shared_noise import Noise, shared
from .chance.significance import holm
from .chance.statistics import mean

_BEYOND_DOUBT = 1e-3
"""A share of a metric's part in the error: what is seen at so much less is not measured again for the decision's sake.

It is looked at after each attempt, so that a larger share would add to the error (the rule of Haybittle and Peto).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How it is decided: ``error`` is how likely a run of an unchanged suite may be red, ``rtol`` a default margin."""

    error: float = ERROR
    rtol: float = RTOL


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
    cases = [Case.of(one, baseline) for one in evidence]
    noise, common = _shared_noise(cases), _shares_in_common(cases)
    for case in cases:
        case.compare(policy.rtol, noise, common[is_a_speed(case.evidence.metric)])
    family = [case for case in cases if case.can_tell(policy.error)]
    worse = _adjusted([[finding.worse for finding in case.findings] for case in family])
    better = _adjusted([[finding.better for finding in case.findings] for case in family])
    for case, of_worse, of_better in zip(family, worse, better, strict=True):
        for finding, p_worse, p_better in zip(case.findings, of_worse, of_better, strict=True):
            finding.worse, finding.better = p_worse, p_better
    count = sum(any(finding.worse is not None for finding in case.findings) for case in family)
    return [case.decision(policy.error, policy.error / max(1, count)) for case in cases]


def is_suspect(evidence: Evidence, baseline: Baseline, policy: Policy, noise: Mapping[str, Noise | None]) -> bool:
    """Say whether a metric should be measured again before the decision.

    Where what is known so far is worse beyond the tolerance, and :data:`SCREEN` does not call it chance; but neither
    beyond doubt, nor bit-identical at each attempt: then there is nothing left to find. ``noise`` is that of times and
    rates by kind of device, see :func:`known_noise`.
    """
    if evidence.disturbed and is_a_speed(evidence.metric):
        return False
    case = Case.of(evidence, baseline)
    case.compare(policy.rtol, noise)
    for finding, p_value in zip(case.findings, _weighted([finding.worse for finding in case.findings]), strict=True):
        finding.worse = p_value
    alpha = _BEYOND_DOUBT * policy.error / max(1, len(baseline.entries))
    return any(_is_open(finding, case, alpha) for finding in case.findings)


def _is_open(finding: Finding, case: Case, alpha: float) -> bool:
    if not finding.is_beyond() or case.is_better(finding):
        return False
    if len(case.evidence.attempts) < 2:
        return finding.worse is None or finding.worse <= SCREEN
    if are_identical(case.evidence.attempts):
        return False
    if finding.worse is None:
        return True
    return finding.worse <= SCREEN and not (finding.worse <= alpha and finding.is_seen_again)


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


def _shared_noise(cases: Sequence[Case]) -> Mapping[str, Noise | None]:
    """Return what all times and rates on one kind of device tell of the noise of one, by kind of device."""
    return _by_device(
        (case.entry.device, noise_of(case.runs))
        for case in cases
        if case.entry is not None and case.evidence.metric.kind in ("time", "rate")
    )


def _shares_in_common(cases: Sequence[Case]) -> Mapping[bool, float]:
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
