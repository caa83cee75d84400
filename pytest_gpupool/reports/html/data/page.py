"""What the HTML page's script draws from: the report's numbers, in columns, as one chunk.

Texts stand in lists and are named by their place there; a page of 5,000 tests would repeat them otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ....trends.speedup import CLASSES, most_at_once
from ....values import outcomes, verdicts
from ....values.device import UNKNOWN
from ....values.nodeids import function_of
from ....values.texts import epoch, visible
from ....verdicts.baselines.baseline import kind_in
from ...words import earlier_run, labels, shared_cores
from .. import rows
from ..clusters import clusters
from .parameters import Parameters, Places


def embedded(
    report: Mapping[str, Any],
    tests: Sequence[Mapping[str, Any]],
    anchors: Sequence[str],
    shown: Sequence[Mapping[str, Any]],
    past: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what the page's script draws from at once; times are seconds since the run's start.

    ``tests`` are the report's in the order of the table, ``anchors`` their ids there, ``shown`` their rows.
    """
    begun = epoch(report["run"]["started"])
    shared, metrics = _shared(report), _metrics(tests)
    return {
        "outcomes": outcomes.WORST_FIRST,
        "verdicts": verdicts.WORST_FIRST,
        "classes": CLASSES,
        "tests": {"anchor": anchors, **_columns(tests, report, shared), "row": [rows.at_once(row) for row in shown]},
        "clusters": [{"text": visible(each.text), "tests": each.tests} for each in clusters(tests)],
        "functions": list(shared.functions),
        "params": shared.params.table(),
        "metrics": list(metrics.values()),
        "history": [_history(key, own["test"], tests, past, shared.kinds) for key, own in metrics.items()],
        "kinds": [visible(kind) for kind in shared.kinds],
        "runs": [*(_run(run) for run in past), _this_run(report)],
        "workers": [_worker(worker, shared.devices, begun) for worker in report["workers"]],
        "devices": _described(shared.devices, report),
    }


def number(value: Any, digits: int = 9) -> float | int | None:
    """Return a number as JavaScript can hold it, to so many digits; None for what is no finite one."""
    if value is None or (isinstance(value, int) and abs(value) <= 2**53):
        return value
    try:
        exact = float(value)
    except OverflowError:
        return None
    return float(f"{exact:.{digits}g}") if math.isfinite(exact) else None


class _Shared(NamedTuple):
    """What many tests have in common: told once, and referred to by its place."""

    devices: Places
    functions: Places
    kinds: Places
    params: Parameters


def _shared(report: Mapping[str, Any]) -> _Shared:
    shared = _Shared(_pool(report), Places(), Places(), Parameters(report["tests"]))
    for test in report["tests"]:  # in the order of collection, as the parameters
        shared.functions.of(visible(function_of(test["nodeid"])))
    return shared


def _columns(tests: Sequence[Mapping[str, Any]], report: Mapping[str, Any], shared: _Shared) -> dict[str, Any]:
    """Return what the page draws of the tests, a list for each thing; tests are in the order of the table."""
    begun = epoch(report["run"]["started"])
    names = {device["id"]: device["name"] for device in report["devices"]}
    return {
        "id": [visible(test["nodeid"]) for test in tests],
        "outcome": [outcomes.WORST_FIRST.index(test["outcome"]) for test in tests],
        "start": [_start(test, report, begun) for test in tests],
        "took": [number(test["duration_s"]) for test in tests],
        "worker": [visible(test["worker"] or "") for test in tests],
        "devices": [[shared.devices.of(device) for device in test["devices"]] for test in tests],
        "memory": [test["resources"].get("peak_memory_bytes") for test in tests],
        "function": [shared.functions.of(visible(function_of(test["nodeid"]))) for test in tests],
        "params": [shared.params.of(test) for test in tests],
        "kind": [shared.kinds.of(kind_in(test, names) or UNKNOWN) for test in tests],
    }


def _pool(report: Mapping[str, Any]) -> Places:
    # The pool comes first; tests kept from an earlier run may add others.
    devices = Places()
    for device in report["devices"]:
        devices.of(device["id"])
    return devices


def _described(devices: Places, report: Mapping[str, Any]) -> list[dict[str, str]]:
    pool, names = {device["id"]: device for device in report["devices"]}, labels(report)
    return [
        {
            "label": visible(names.get(id, id)),
            "name": visible(pool[id]["name"] if id in pool else ""),
            "quarantined": visible(pool[id]["quarantined"] or "" if id in pool else ""),
        }
        for id in devices
    ]


def _worker(worker: Mapping[str, Any], devices: Places, begun: float) -> dict[str, Any]:
    return {
        "id": visible(worker["id"]),
        "devices": [devices.of(device) for device in worker["devices"]],
        "wait": number(worker["lease_wait_s"]),
        "start": _since(worker["started"], begun),
        "end": _since(worker["ended"], begun),
        "exit": worker["exit"],
    }


def _start(test: Mapping[str, Any], report: Mapping[str, Any], begun: float) -> float | None:
    # What was kept from an earlier run took place at another time.
    started = None if earlier_run(test, report) is not None else _since(test["started"], begun)
    # A test's own time begins when what it shares is set up.
    return None if started is None else round(started + sum(test.get("setup_s", {}).values()), 3)


def _since(moment: str | None, begun: float) -> float | None:
    return None if moment is None else round(epoch(moment) - begun, 3)


def _metrics(tests: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    columns = ("value", "baseline", "change", "allowed", "n")
    for place, test in enumerate(tests):
        for metric in test["metrics"]:
            key = metric["name"], metric["unit"]
            if key not in found:
                empty: dict[str, Any] = {name: [] for name in ("test", *columns, "interval", "verdict")}
                found[key] = {"name": visible(key[0]), "unit": visible(key[1]), "better": None, **empty}
            own = found[key]
            if own["better"] is None:
                own["better"] = metric["higher_is_better"]
            own["test"].append(place)
            own["verdict"].append(_VERDICTS[metric["verdict"]])
            for name in columns:
                own[name].append(number(metric.get(name)))
            own["interval"].append(_bounds(metric))
    return found


def _bounds(metric: Mapping[str, Any]) -> list[Any] | None:
    """Return the interval of a change as that of the value, None where there is none."""
    interval, baseline = metric.get("interval"), number(metric.get("baseline"))
    if interval is None or baseline is None:
        return None
    return [number(baseline + bound * abs(baseline)) for bound in interval]


_VERDICTS: Mapping[str | None, int] = {None: -1, **{name: at for at, name in enumerate(verdicts.WORST_FIRST)}}


def _history(
    metric: tuple[str, str],
    places: Iterable[int],
    tests: Sequence[Mapping[str, Any]],
    past: Sequence[Mapping[str, Any]],
    kinds: Places,
) -> dict[str, list[Any]]:
    """Return by a test's place what it had in the past: its values, verdicts and kinds of device, a list each.

    Each has an item per run; a run in which it was not measured, or in another unit, has no verdict at all, which is
    None. ``metric`` is a name and a unit.
    """
    name, unit = metric
    found = {}
    runs = [run["values"] for run in past]
    none: dict[str, Any] = {}
    for place in places:
        nodeid = tests[place]["nodeid"]
        measured = [run.get(nodeid, none).get(name) for run in runs]
        points = [point if point and point["unit"] == unit else None for point in measured]
        if any(points):
            found[str(place)] = [
                [None if point is None else number(point["value"], digits=6) for point in points],
                [None if point is None else _VERDICTS[point.get("verdict")] for point in points],
                [None if point is None else kinds.of(point.get("device") or "") for point in points],
            ]
    return found


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": visible(run["run"]),
        "started": run["started"],
        "commit": visible(run.get("commit") or ""),
        **{key: number(run.get(key)) for key in ("workers", "makespan_s", "speedup", "efficiency")},
    }


def _this_run(report: Mapping[str, Any]) -> dict[str, Any]:
    run, summary = report["run"], report["summary"]
    figures = {key: summary[key] for key in ("makespan_s", "speedup", "efficiency")}
    commit = run["git"]["commit"] if run["git"] else None
    workers = _workers(report) or None
    if shared_cores(report, sum(device["tests"] > 0 for device in report["devices"])) is not None:
        figures |= {"speedup": None, "efficiency": None}
    return _run({"run": run["id"], "started": run["started"], "commit": commit, "workers": workers, **figures})


def _workers(report: Mapping[str, Any]) -> int:
    """Return how many workers ran tests, at most at a time, as :class:`past.MeasuredRun` has it of the runs before."""
    ran = {test["worker"] for test in report["tests"] if test["started"] and earlier_run(test, report) is None}
    return most_at_once(ran, ((worker["id"], worker["started"], worker["ended"]) for worker in report["workers"]))
