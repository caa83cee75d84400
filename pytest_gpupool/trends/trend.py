"""Trend: what the runs on record have measured, for charts over time and for the placement check."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from ..metrics import groups
from ..metrics.metric import Number
from ..records import archive
from ..records.archive import Recorded
from ..records.folding.results import Results
from ..values.device import UNKNOWN, Device
from ..values.verdicts import DISTURBED, GONE, rank
from ..verdicts.baselines.baseline import kind_by_id, kind_in
from .placement import Observation
from .speedup import most_at_once

MOST_BYTES = 32 << 20
"""So much is read where a run waits for it to end: about a second and a half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A metric of one result. ``value`` is None where it is not finite, which ``non_finite`` then says.

    ``device`` is the kind of device, see :func:`baseline.kind_of`; ``outcome`` is the test's.
    """

    value: Number | None
    non_finite: str | None
    unit: str
    higher_is_better: bool | None
    verdict: str | None
    baseline: Number | None
    device: str
    device_ids: tuple[str, ...]
    outcome: str


Values = Mapping[str, Mapping[str, tuple[Value, ...]]]
"""By test and metric; several where every worker ran every test, else one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRun:
    """What a run measured by itself, without results that it kept from an earlier one.

    ``started`` is ISO 8601 in UTC, ``commit`` None where it is not known; ``workers`` says how many ran tests, at most
    at a time; ``makespan_s``, ``speedup`` and ``efficiency`` are as in its report, None where no test ended.
    """

    id: str
    started: str
    commit: str | None
    workers: int
    makespan_s: float | None
    speedup: float | None
    efficiency: float | None
    values: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Runs, the oldest first; how many older ones were ``left_out``, as there is too much of them to read.

    ``unreadable`` are sentences about those of them that cannot be read.
    """

    runs: tuple[MeasuredRun, ...] = ()
    left_out: int = 0
    unreadable: tuple[str, ...] = ()


def history(base: Path, *, skip: str | None = None, most_bytes: int | None = MOST_BYTES) -> History:
    """Return the runs on record in which a test ran, but ``skip`` and those that go on; say which cannot be read.

    The latest is read whatever its size, then those before it as long as all journals that are read have up to
    ``most_bytes``; None is no limit.
    """
    wanted = [run for run in reversed(archive.runs(base)) if run.name != skip and not archive.goes_on(run)]
    sizes = itertools.accumulate(map(_size, wanted))
    few = sum(most_bytes is None or size <= most_bytes for size in sizes)
    read = wanted[: max(1, few)]
    runs: list[MeasuredRun] = []
    unreadable: list[str] = []
    for run in reversed(read):  # one by one: what is measured of a run is little beside its records
        found, untold = archive.load_all([run])
        runs += (past for recorded in found if (past := _measured(recorded)).workers)
        unreadable += untold
    return History(runs=tuple(runs), left_out=len(wanted) - len(read), unreadable=tuple(unreadable))


def measured(facts: Mapping[str, Any], results: Results, devices: Iterable[Device]) -> MeasuredRun:
    """Return what a run measured. ``facts`` are those of its report: ``id``, ``started`` and ``git`` count."""
    names = {device.id: device.name for device in devices}
    use = results.use()
    return MeasuredRun(
        id=facts["id"],
        started=facts["started"],
        commit=facts["git"]["commit"] if facts.get("git") else None,
        workers=_workers(results),
        makespan_s=use.makespan,
        speedup=use.speedup,
        efficiency=use.efficiency,
        values=_values(results, names),
    )


def of_report(report: Mapping[str, Any]) -> MeasuredRun:
    """Return what the run of a JSON report measured, without results that were kept from an earlier one."""
    run, summary = report["run"], report["summary"]
    names = {device["id"]: device["name"] for device in report["devices"]}
    tests = [
        test
        for test in (*report["tests"], *groups.as_tests(report))
        if test["outcome"] != "not-run" and (test.get("run") or run["id"]) == run["id"]
    ]
    spans = [(one["id"], one.get("started"), one.get("ended")) for one in report["workers"]]
    ran = {test["worker"] for test in tests if test["started"]}
    return MeasuredRun(
        id=run["id"],
        started=run["started"],
        commit=run["git"]["commit"] if run.get("git") else None,
        workers=most_at_once(ran, spans),
        makespan_s=summary.get("makespan_s"),
        speedup=summary.get("speedup"),
        efficiency=summary.get("efficiency"),
        values=_values_of(tests, names),
    )


def by_commit(runs: Iterable[MeasuredRun], test: str, metric: str) -> Iterator[MeasuredRun]:
    """Yield the runs with a metric, those of one commit on one kind of device as one: its latest, with their mean.

    Its ``id`` says how many they are. Runs whose commit is not known stay as they are.
    """
    groups: dict[tuple[Any, ...], list[tuple[MeasuredRun, Value]]] = {}
    for run in runs:
        for number, value in enumerate(run.values.get(test, {}).get(metric, ())):
            key = (run.commit, value.device, value.unit) if run.commit is not None else (run.id, number)
            groups.setdefault(key, []).append((run, value))
    for group in sorted(groups.values(), key=lambda group: (group[-1][0].started, group[-1][0].id)):
        run = group[-1][0]
        name = run.id if len(group) == 1 else f"{run.id} +{len(group) - 1}"
        yield replace(run, id=name, values={test: {metric: (_mean([value for _, value in group]),)}})


def _mean(values: Sequence[Value]) -> Value:
    last = values[-1]
    if len(values) == 1:
        return last
    numbers = [number for value in values if (number := _float(value.value)) is not None]
    devices = tuple(dict.fromkeys(device for value in values for device in value.device_ids))
    worst = min((value.verdict for value in values), key=rank)
    mean = fmean(numbers) if numbers else last.value
    return replace(last, value=mean, non_finite=None if numbers else last.non_finite, verdict=worst, device_ids=devices)


def observations(runs: Iterable[MeasuredRun]) -> Iterator[Observation]:
    """Yield what says something of one device: finite values of tests that had just it, undisturbed."""
    for run in runs:
        for test, metrics in run.values.items():
            for metric, values in metrics.items():
                for value in values:
                    number = _float(value.value)
                    if number is not None and _is_of_a_device(value):
                        yield Observation(
                            test=test,
                            metric=metric,
                            unit=value.unit,
                            device=value.device_ids[0],
                            device_name=value.device,
                            value=number,
                            run=run.id,
                        )


def to_page(run: MeasuredRun) -> dict[str, Any]:
    """Return it as the HTML report takes it; of several values of a metric the mean, and the worst verdict."""
    values = {
        test: {metric: _merged(values) for metric, values in metrics.items()} for test, metrics in run.values.items()
    }
    figures = {"makespan_s": run.makespan_s, "speedup": run.speedup, "efficiency": run.efficiency}
    told = {"run": run.id, "started": run.started, "commit": run.commit, "workers": run.workers}
    return {**told, **figures, "values": values}


def _size(run: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in run.glob("*.jsonl"))
    return 0


def _measured(recorded: Recorded) -> MeasuredRun:
    return measured(recorded.facts(), recorded.results, recorded.devices())


def _workers(results: Results) -> int:
    """Return how many workers ran tests, at most at a time: one that crashed may have a successor."""
    ran = {test.worker for test in results.ran if test.started}
    return most_at_once(ran, ((worker.id, worker.started, worker.ended) for worker in results.workers.values()))


def _values(results: Results, names: Mapping[str, str]) -> Values:
    found: defaultdict[str, defaultdict[str, list[Value]]] = defaultdict(lambda: defaultdict(list))
    for test in (*results.ran, *(one for one in groups.as_results(results) if one.outcome != "skipped")):
        kind = (test.kind or kind_by_id(test.devices, names) or UNKNOWN) if test.metrics else ""
        for name, metric in test.metrics.items():
            if metric["verdict"] == GONE:
                continue
            found[test.nodeid][name].append(_value(metric, test.devices, test.outcome, kind))
    return {test: {name: tuple(values) for name, values in metrics.items()} for test, metrics in found.items()}


def _values_of(tests: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> Values:
    found: defaultdict[str, defaultdict[str, list[Value]]] = defaultdict(lambda: defaultdict(list))
    for test in tests:
        for metric in test["metrics"]:
            if metric["verdict"] != GONE:
                kind = kind_in(test, names) or UNKNOWN
                found[test["nodeid"]][metric["name"]].append(_value(metric, test["devices"], test["outcome"], kind))
    return {test: {name: tuple(values) for name, values in metrics.items()} for test, metrics in found.items()}


def _value(metric: Mapping[str, Any], devices: Iterable[str], outcome: str, kind: str) -> Value:
    return Value(
        value=metric["value"],
        non_finite=metric.get("non_finite"),
        unit=metric["unit"],
        higher_is_better=metric["higher_is_better"],
        verdict=metric["verdict"],
        baseline=metric.get("baseline"),
        device=kind,
        device_ids=tuple(devices),
        outcome=outcome,
    )


def _is_of_a_device(value: Value) -> bool:
    return len(value.device_ids) == 1 and value.device != UNKNOWN and value.verdict not in DISTURBED


def _float(value: Number | None) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:  # an int may be of any size
        return None


def _merged(values: Sequence[Value]) -> dict[str, Any]:
    numbers = [number for value in values if (number := _float(value.value)) is not None]
    return {
        "value": values[0].value if len(values) == 1 else fmean(numbers) if numbers else None,
        "unit": " + ".join(sorted({value.unit for value in values})),
        "verdict": min((value.verdict for value in values), key=rank),
        "device": " + ".join(sorted({value.device for value in values})),
    }
