"""Placement: whether a metric of the same test depends on the card that it ran on, as several runs measured it.

Only devices of one kind are compared, never CPU slots. A card is found by one metric of one test, or by all metrics of
one unit together, as a slow card shows a little in each of them; what is beyond spread, chance and changes of the code
says :mod:`outliers`. Chance may explain one finding in a hundred reports, however many metrics and devices there are
(Bonferroni: NIST/SEMATECH e-Handbook of Statistical Methods, section 7.4.7.3).

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from ..values.nodeids import name_of
from .outliers import Outlier, Pairs, Sample, Whole, outliers, whole

LEAST_METRICS = 5
"""So many metrics of a unit say something of a card as a whole."""

MOST_METRICS = 0.75
"""So large a share of them must agree."""

NOTABLE = 0.01
"""So far is a card off as a whole, relative to the others: nobody exchanges one for less."""

_CHANCE = 0.005  # for what is found by test, and the same for what is found by unit
_TIMES = frozenset({"ns", "us", "µs", "ms", "s", "min", "h"})
_LARGEST_LOG = 700.0  # whose power is a float
_OPTIONAL = ("other", "metrics", "agree")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A value that a run measured on one device; the ids of runs are in the order in which they began."""

    test: str
    metric: str
    unit: str
    device: str
    device_name: str
    value: float
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A device on which a metric of a test differs.

    ``value`` and ``others`` are the means on it and on the other devices of its kind; ``spread`` is the standard
    deviation of values on one device; ``runs`` says from how many runs they are. ``other`` is the other device where
    there is but one: which of the two is bad cannot be told.

    Without ``test`` and ``metric`` it is about so many ``metrics`` of that unit: ``value`` is the factor by which they
    differ, ``others`` is 1, ``spread`` is the factor's from run to run, and so many ``agree``: they differ at least
    half as far.
    """

    test: str | None
    metric: str | None
    unit: str
    device: str
    device_name: str
    value: float
    others: float
    spread: float
    runs: int
    other: str | None = None
    metrics: int | None = None
    agree: int | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """The values of one metric of one test on devices of one kind, scaled so that the largest one is 1."""

    test: str
    metric: str
    unit: str
    kind: str
    scale: float
    sample: Sample


@dataclass(frozen=True, slots=True)
class _Unit:
    """All metrics of one unit on one kind of device, taken together."""

    unit: str
    kind: str
    whole: Whole


def findings(observations: Iterable[Observation]) -> tuple[Finding, ...]:
    """Return what differs by device: first by unit, then by test, each with the largest relative difference first."""
    groups = _grouped(observations)
    units, usual = _units(groups), _usual_spreads(groups)
    chance = _CHANCE / max(1, sum(len(unit.whole.sample.candidates) for unit in units))
    by_unit = [_of_unit(unit, found) for unit in units for found in outliers(unit.whole.sample, chance=chance)]
    chance = _CHANCE / max(1, sum(len(group.sample.candidates) for group in groups))
    by_test = [
        _of_test(group, found)
        for group in groups
        for found in outliers(group.sample, chance=chance, usual=usual.get((group.metric, group.unit), 0.0))
    ]
    return (*_largest_first(found for found in by_unit if _is_notable(found)), *_largest_first(by_test))


def to_report(finding: Finding) -> dict[str, Any]:
    """Return it as reports have it; ``other``, ``metrics`` and ``agree`` only where they say something."""
    return {key: value for key, value in asdict(finding).items() if key not in _OPTIONAL or value is not None}


def from_report(data: Mapping[str, Any]) -> Finding:
    """Make it again from :func:`to_report`."""
    return Finding(**data)


def sentence(finding: Finding, labels: Mapping[str, str]) -> str:
    """Return it as one line for people; ``labels`` say what devices are called, by id."""
    device = _device_text(finding.device, labels)
    others = "the others" if finding.other is None else _device_text(finding.other, labels)
    doubt = "a bad card?" if finding.other is None else "one of the two may be a bad card"
    if finding.test is None:
        return f"{device} is {_factor_text(finding)} than {others} in {_share_text(finding)}: {doubt}"
    value, on_others = _number_texts(finding)
    spread = f"{finding.spread:.2g} {finding.unit}".rstrip()
    told = f"{value}, on {others} {on_others} (spread {spread} over {finding.runs} runs)"
    return f"{name_of(finding.test)} {finding.metric} on {device}: {told}: {doubt}"


def sentences(found: Iterable[Finding], labels: Mapping[str, str], most: int = 5) -> list[str]:
    """Return a line for each of so many findings at most, and how many more there are.

    One by test says nothing new where its device was found by unit: only the rest of them has lines.
    """
    found = list(found)
    as_a_whole = {(one.device, one.unit) for one in found if one.test is None}
    telling = [one for one in found if one.test is None or (one.device, one.unit) not in as_a_whole]
    lines = [sentence(one, labels) for one in telling[:most]]
    more = len(found) - len(lines)
    return [*lines, *([f"{more} more metrics of tests differ by device"] if more else [])]


def _grouped(observations: Iterable[Observation]) -> list[_Group]:
    found: defaultdict[tuple[str, str, str, str], defaultdict[str, list[tuple[str, float]]]]
    found = defaultdict(lambda: defaultdict(list))
    for one in observations:
        if not one.device.startswith("cpu:"):
            found[one.test, one.metric, one.unit, one.device_name][one.device].append((one.run, one.value))
    return [_scaled(*names, by_device) for names, by_device in found.items() if len(by_device) > 1]


def _scaled(test: str, metric: str, unit: str, kind: str, by_device: Mapping[str, Pairs]) -> _Group:
    scale = max(abs(value) for pairs in by_device.values() for _, value in pairs) or 1.0
    scaled = {device: [(run, value / scale) for run, value in pairs] for device, pairs in by_device.items()}
    return _Group(test, metric, unit, kind, scale, Sample(scaled))


def _usual_spreads(groups: Iterable[_Group]) -> dict[tuple[str, str], float]:
    """Return by a metric's name and unit the spread, relative to the values, that is usual over its tests."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for group in groups:
        if group.sample.freedom:
            found[group.metric, group.unit].append(group.sample.spread / (group.sample.size or 1.0))
    return {name: median(spreads) for name, spreads in found.items()}


def _units(groups: Iterable[_Group]) -> list[_Unit]:
    found: defaultdict[tuple[str, str], list[Mapping[str, Pairs]]] = defaultdict(list)
    for group in groups:
        by_device = group.sample.by_device
        if all(value > 0 for pairs in by_device.values() for _, value in pairs):
            found[group.unit, group.kind].append(by_device)
    return [_Unit(unit, kind, whole(alike)) for (unit, kind), alike in found.items() if len(alike) >= LEAST_METRICS]


def _of_unit(unit: _Unit, found: Outlier) -> Finding:
    agree = [
        (level[found.device] - median(others)) / found.difference > 0.5
        for level in unit.whole.levels
        if found.device in level and (others := [one for device, one in level.items() if device != found.device])
    ]
    return Finding(
        test=None,
        metric=None,
        unit=unit.unit,
        device=found.device,
        device_name=unit.kind,
        value=math.exp(min(found.difference, _LARGEST_LOG)),
        others=1.0,
        spread=unit.whole.sample.spread,
        runs=_runs(unit.whole.sample),
        other=found.other,
        metrics=len(agree),
        agree=sum(agree),
    )


def _of_test(group: _Group, found: Outlier) -> Finding:
    return Finding(
        test=group.test,
        metric=group.metric,
        unit=group.unit,
        device=found.device,
        device_name=group.kind,
        value=found.value * group.scale,
        others=found.others * group.scale,
        spread=group.sample.spread * group.scale,
        runs=_runs(group.sample),
        other=found.other,
    )


def _runs(sample: Sample) -> int:
    return len({run for pairs in sample.by_device.values() for run, _ in pairs})


def _is_notable(found: Finding) -> bool:
    metrics, agree = found.metrics or 0, found.agree or 0
    return metrics >= LEAST_METRICS and agree >= MOST_METRICS * metrics and abs(found.value - 1) >= NOTABLE


def _largest_first(found: Iterable[Finding]) -> list[Finding]:
    return sorted(
        found, key=lambda one: abs(one.value - one.others) / max(abs(one.value), abs(one.others)), reverse=True
    )


def _device_text(device: str, labels: Mapping[str, str]) -> str:
    label = labels.get(device, device)
    short = device if len(device) <= 12 else f"{device[:12]}…"
    return label if device[:12] in label else f"{label} ({short})"


def _number_texts(finding: Finding) -> tuple[str, str]:
    """Return both means with as many digits as tell them apart."""
    pair = finding.value, finding.others
    digits = next((digits for digits in range(4, 17) if len({f"{one:.{digits}g}" for one in pair}) > 1), 17)
    value, others = (f"{one:.{digits}g} {finding.unit}".rstrip() for one in pair)
    return value, others


def _factor_text(finding: Finding) -> str:
    more, less = ("slower", "faster") if finding.unit in _TIMES else ("higher", "lower")
    return f"{abs(finding.value - 1):.1%} {more if finding.value > 1 else less}"


def _share_text(finding: Finding) -> str:
    unit = f"in {finding.unit}" if finding.unit else "without a unit"
    return f"{finding.agree} of {finding.metrics} metrics {unit} (over {finding.runs} runs)"
