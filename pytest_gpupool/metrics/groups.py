"""Groups: what the tests of a run make of its aggregates: a metric for each group of tests, or why there is none.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from ..matrices.labels import key_of, labels_of
from ..records.folding.result import TestResult, that_count
from ..records.folding.results import Results
from ..values.errors import MetricProblem
from ..values.nodeids import function_of, group_id, is_within
from ..values.outcomes import GOOD
from ..values.texts import one_line
from ..values.verdicts import Kind, is_lost
from . import kinds
from .aggregate import WORST_GROUP, Aggregate, from_record
from .median import median
from .metric import Metric

_AMOUNTS = ("time", "rate", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One value of an aggregate: that of the tests of ``place`` that have the parameters ``params``.

    ``metric`` is None where there is no value. ``tests`` are how many have one, ``missing`` how many have none;
    ``device`` is their kind of device, None where it is not known. ``problem`` says why it cannot be judged.
    """

    aggregate: Aggregate
    place: str
    params: Mapping[str, Any]
    id: str
    metric: Metric | None
    tests: int
    missing: int
    device: str | None
    disturbed: bool = False
    lost: bool = False
    note: str = ""
    problem: str = ""

    @property
    def key(self) -> str:
        """What tells it from others, as records have it."""
        return f"{self.id}::{self.aggregate.name}"

    @property
    def is_judged(self) -> bool:
        """Whether it is whole, so that it can be judged."""
        return self.metric is not None and not self.problem

    def gate(self) -> str:
        """Return what its floor or ceiling says of its value, nothing where it is within."""
        metric, floor, ceiling = self.metric, self.aggregate.floor, self.aggregate.ceiling
        if metric is None or not metric.is_finite:
            return ""
        if floor is not None and metric.value < floor:
            return f"below its floor of {floor:g}"
        return f"above its ceiling of {ceiling:g}" if ceiling is not None and metric.value > ceiling else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A test of an aggregate, by its id: what it has of the metric, once for each worker that ran it."""

    nodeid: str
    params: Mapping[str, Any]
    results: Sequence[TestResult]
    metrics: Sequence[Mapping[str, Any]]

    @property
    def is_whole(self) -> bool:
        return len(self.metrics) == len(self.results)

    @property
    def value(self) -> float:
        """The mean over all attempts and all workers that ran it, NaN where one of them has no finite value."""
        values = [_value(result, metric) for result, metric in zip(self.results, self.metrics, strict=True)]
        return math.nan if any(map(math.isnan, values)) else _mean(values)


def _value(test: TestResult, metric: Mapping[str, Any]) -> float:
    """Return what all attempts at a test say of a metric, as that itself is judged: by their mean."""
    if metric["value"] is None:
        return math.nan
    attempts = test.attempts if test.before or test.again else ()
    values = [one["value"] for one in that_count(attempts) if one["name"] == metric["name"]]
    return metric["value"] if len(values) < 2 else _mean(values)


def _mean(values: Sequence[float]) -> float:
    return values[0] if len(set(values)) == 1 else math.fsum(values) / len(values)


_made: WeakKeyDictionary[Results, tuple[int, list[Group]]] = WeakKeyDictionary()  # asked for by each report


def of_run(results: Results) -> list[Group]:
    """Return the groups of all aggregates of a run, in the order in which they were told."""
    changes, known = _made.get(results, (-1, []))
    if changes != results.changes:
        known = _of_run(results)
        _made[results] = results.changes, known
    return known


def _of_run(results: Results) -> list[Group]:
    found: list[Group] = []
    for record in results.aggregates.values():
        aggregate, place = from_record(record["aggregate"]), record["test"]
        members = list(_members(aggregate, place, results.tests))
        found += [_held_up(group, record) for group in _groups(aggregate, place, members)]
    return found


def told(results: Results) -> list[dict[str, Any]]:
    """Return the groups of a run, and what is decided of them, as reports list them."""
    return [_told(group, results.decided_groups.get(group.key)) for group in of_run(results)]


def as_results(results: Results) -> list[TestResult]:
    """Return the groups of a run as if each were a test: for those who show, count or keep what tests have measured."""
    return [
        TestResult(
            nodeid=one["id"],
            params=one["group"],
            outcome="skipped" if one["outcome"] == "incomplete" else one["outcome"],
            attempt=1,
            duration=0.0,
            metrics={one["name"]: one},
            message=one["message"],
            kind=one["device_kind"],
            is_judged=one["outcome"] == "failed",
        )
        for one in told(results)
    ]


def as_tests(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the groups of a report that are whole as if each were a test of it, with a metric for each aggregate.

    Besides what a test has, ``place`` is what they are of.
    """
    found: dict[str, dict[str, Any]] = {}
    for one in report.get("aggregates", ()):
        if one["outcome"] == "incomplete":
            continue
        test = found.setdefault(
            one["id"],
            {
                "nodeid": one["id"],
                "place": one["test"],
                "params": one["group"],
                "outcome": "passed",
                "devices": [],
                "device_kind": one["device_kind"],
                "started": None,
                "duration_s": None,
                "metrics": [],
                "resources": {},
                "message": None,
            },
        )
        test["metrics"].append(one)
        if one["outcome"] == "failed":
            test |= {"outcome": "failed", "judged": True, "message": one["message"]}
    return list(found.values())


def _told(group: Group, decided: Mapping[str, Any] | None) -> dict[str, Any]:
    aggregate, metric = group.aggregate, group.metric
    empty = {"name": aggregate.name, "value": None, "kind": aggregate.kind, "unit": "", "n": None}
    empty |= {key: getattr(aggregate, key) for key in ("higher_is_better", "atol", "rtol")}
    known = decided or {"metric": {"verdict": None}, "outcome": "incomplete", "message": "not judged"}
    return {
        **(empty if metric is None else metric.to_record()),
        **known["metric"],
        "id": group.id,
        "test": group.place,
        "group": dict(group.params),
        "of": aggregate.of,
        "reduce": aggregate.reduce,
        "floor": aggregate.floor,
        "ceiling": aggregate.ceiling,
        "tests": group.tests,
        "missing": group.missing,
        "device_kind": group.device,
        "outcome": known["outcome"],
        "message": known["message"],
    }


def misused(results: Results) -> list[str]:
    """Return a sentence for each aggregate that there cannot be: no test has recorded its metric, or its values differ.

    Where no test of it has ended well that is none.
    """
    found = []
    for record in results.aggregates.values():
        aggregate, place = from_record(record["aggregate"]), record["test"]
        own = [test for test in results.tests if is_within(test.nodeid, place)]
        names = dict.fromkeys(name for test in own for name in test.metrics)
        if aggregate.of not in names and any(test.outcome in GOOD for test in own):
            there = f"they recorded {', '.join(list(names)[:10])}" if names else "they recorded none"
            found.append(
                f"aggregate {aggregate.name!r} of {place}: no test recorded a metric {aggregate.of!r}; {there}"
            )
    impossible = (group for group in of_run(results) if group.metric is None and group.tests and not group.missing)
    return [*found, *(f"aggregate {one.aggregate.name!r} of {one.id}: {one.problem}" for one in impossible)]


def _held_up(group: Group, record: Mapping[str, Any]) -> Group:
    """Return a group with why it is not whole, where some of its tests were not chosen."""
    if group.problem:
        return group
    if narrowed := record.get("narrowed"):
        return replace(group, problem=f"a part of its tests was chosen: {narrowed}")
    if shard := record.get("shard"):
        return replace(group, problem=f"this is shard {shard}: 'gpupool merge' judges the tests of all")
    left_out = sum(
        one["tests"] for one in record["left_out"] if all(one["group"].get(k) == v for k, v in group.params.items())
    )
    if not left_out:
        return group
    return replace(group, problem=f"{left_out} of its tests {'was' if left_out == 1 else 'were'} deselected")


def _members(aggregate: Aggregate, place: str, tests: Iterable[TestResult]) -> Iterator[_Member]:
    """Yield the tests that count: not one that was skipped, nor one of a function that records no such metric."""
    by_id: dict[str, list[TestResult]] = {}
    for test in tests:
        if is_within(test.nodeid, place) and all(name in test.params for name in aggregate.by):
            by_id.setdefault(test.nodeid, []).append(test)
    recording = {function_of(test) for test, own in by_id.items() if any(aggregate.of in one.metrics for one in own)}
    for nodeid, own in by_id.items():
        metrics = [one.metrics[aggregate.of] for one in own if aggregate.of in one.metrics]
        is_silent = all(one.outcome in GOOD for one in own) and function_of(nodeid) not in recording
        is_skipped = all(one.outcome in ("skipped", "xfailed") for one in own)
        if metrics or not (is_silent or is_skipped):
            yield _Member(nodeid=nodeid, params=own[0].params, results=own, metrics=metrics)


def _groups(aggregate: Aggregate, place: str, members: Sequence[_Member]) -> Iterator[Group]:
    by_params: dict[tuple[Any, ...], list[_Member]] = {}
    for member in members:
        by_params.setdefault(tuple(key_of(member.params[name]) for name in aggregate.by), []).append(member)
    labels = {name: labels_of(member.params[name] for member in members) for name in aggregate.by}
    found = []
    for key, own in by_params.items():
        texts = [f"{name}={one_line(labels[name][one].text)}" for name, one in zip(aggregate.by, key, strict=True)]
        params = {name: own[0].params[name] for name in aggregate.by}
        found.append(_group(aggregate, place, params, ", ".join(texts), own))
    if aggregate.reduce == WORST_GROUP and found:
        yield _worst(found, place)
    else:
        yield from found


def _group(aggregate: Aggregate, place: str, params: Mapping[str, Any], text: str, own: Sequence[_Member]) -> Group:
    whole = [one for one in own if one.is_whole]
    results = [result for one in own for result in one.results]
    missing = len(own) - len(whole)
    problem = f"{missing} of {len(own)} tests {'has' if missing == 1 else 'have'} no value" if missing else ""
    metric = None
    try:
        metric = _metric(aggregate, whole) if whole else None
    except (MetricProblem, OverflowError) as error:
        problem = problem or str(error)
    kinds_of_device = {result.kind for result in results if result.kind is not None or result.started is not None}
    return Group(
        aggregate=aggregate,
        place=place,
        params=params,
        id=group_id(place, text),
        metric=metric,
        tests=len(whole),
        missing=missing,
        device=None if None in kinds_of_device else " + ".join(sorted(map(str, kinds_of_device))) or None,
        disturbed=any(one.is_disturbed for result in results for one in (result, *result.repeats)),
        lost=any(is_lost(metric) for one in own for metric in one.metrics),
        problem=problem,
    )


def _worst(found: Sequence[Group], place: str) -> Group:
    """Return the group with the worst value, as that of all."""
    first = found[0]
    problem = next((one.problem for one in found if one.problem), "")
    having = [one for one in found if one.metric is not None]
    if not having:
        return replace(first, params={}, id=group_id(place, ""), problem=problem)
    values = {one.id: (math.inf if math.isnan(one.metric.value) else one.metric.value) for one in having if one.metric}
    is_least = first.aggregate.higher_is_better
    worst = min(having, key=lambda one: values[one.id]) if is_least else max(having, key=lambda one: values[one.id])
    text = worst.id.removeprefix(f"{place} ").strip("()")
    return replace(worst, params={}, id=group_id(place, ""), note=f"worst group: {text}", problem=problem)


def _metric(aggregate: Aggregate, own: Sequence[_Member]) -> Metric:
    """Return what tests make of it. Raises MetricProblem."""
    recorded = [metric for one in own for metric in one.metrics]
    unit, direction = (_shared(aggregate, recorded, key) for key in ("unit", "higher_is_better"))
    values = [one.value for one in own]
    value = _reduced(aggregate, values)
    kind = aggregate.kind or _kind(aggregate, values, unit, {metric.get("kind") for metric in recorded})
    is_mean = aggregate.reduce in ("mean", WORST_GROUP) and kind in ("proportion", "mean")
    scale = kinds.scale_of(unit) if kind == "proportion" else 1.0
    samples = tuple(one / scale for one in values) if is_mean else None
    return Metric(
        name=aggregate.name,
        value=value,
        kind=kinds.checked(aggregate.name, kind, value, unit=unit, n=len(own), samples=samples),
        unit=unit,
        higher_is_better=direction if aggregate.higher_is_better is None else aggregate.higher_is_better,
        n=len(own),
        samples=samples,
        items=tuple(one.nodeid for one in own) if is_mean else None,
        atol=aggregate.atol,
        rtol=aggregate.rtol,
    )


def _shared(aggregate: Aggregate, recorded: Sequence[Mapping[str, Any]], key: str) -> Any:
    found = {metric[key] for metric in recorded}
    if len(found) > 1 and not (key == "higher_is_better" and aggregate.higher_is_better is not None):
        raise MetricProblem(f"its tests' {aggregate.of!r} differ in {key}: {', '.join(sorted(map(repr, found)))}")
    return found.pop() if len(found) == 1 else None


def _kind(aggregate: Aggregate, values: Sequence[float], unit: str, known: set[Kind | None]) -> Kind:
    """Return what the value is: an amount as its tests', a proportion of tests, a mean over them; else a score."""
    if len(known) == 1 and (kind := next(iter(known))) in _AMOUNTS:
        return kind
    if aggregate.reduce not in ("mean", WORST_GROUP):
        return "score"
    return "proportion" if unit == "" and set(values) <= {0, 1} else "mean"


def _reduced(aggregate: Aggregate, values: Sequence[float]) -> float:
    """Return the value of several. Raises MetricProblem."""
    if any(map(math.isnan, values)):
        return math.nan
    match aggregate.reduce:
        case "median":
            return median(values).value
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "sum":
            return sum(values) if all(isinstance(value, int) for value in values) else math.fsum(values)
        case "geometric_mean":
            if min(values) <= 0:
                raise MetricProblem(f"a geometric mean is of numbers above 0, and a test has {min(values):g}")
            return math.exp(math.fsum(map(math.log, values)) / len(values))
    return math.fsum(values) / len(values)
