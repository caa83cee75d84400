"""Perfetto: the timeline as Chrome's trace events, which https://ui.perfetto.dev opens.

Two groups of tracks: workers, with their waits for a lease and for the next test, and each attempt at a test with its
phases; and devices, a track for each worker that had one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..records.store import write_whole
from ..reports.words import counted, labels
from ..values.nodeids import name_of
from ..values.outcomes import FAILED
from ..values.texts import epoch
from .exporters import Order
from .rows import facts_of

_DEFAULT = Path("trace.json")
_WORKERS, _DEVICES = 1, 2
_PHASES = (("setup", "setup_s"), ("call", "call_s"), ("teardown", "teardown_s"))

Event = dict[str, Any]


def export(report: Mapping[str, Any], order: Order) -> str:
    """Write it. Raises OSError."""
    path, events = order.output or _DEFAULT, list(trace(report))
    about = {"run": report["run"]["id"], "command": report["run"].get("command", "")}
    write_whole(path, json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}, indent=0))
    return f"{path}: {counted(len(events), 'event')}; open it at https://ui.perfetto.dev"


def trace(report: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events; times are microseconds since the run began."""
    began, names = epoch(report["run"]["started"]), labels(report)
    workers = {worker["id"]: number for number, worker in enumerate(report["workers"], 1)}
    yield from _named(_WORKERS, "workers", {number: worker for worker, number in workers.items()})
    tests = [test for test in report["tests"] if test["started"] is not None and test["duration_s"] is not None]
    lanes: dict[tuple[str, str], int] = {}
    for test in tests:
        for device in test["devices"]:
            lanes.setdefault((device, test["worker"] or ""), len(lanes) + 1)
    shown = {number: f"{names.get(device, device)} · {worker}" for (device, worker), number in lanes.items()}
    yield from _named(_DEVICES, "devices", shown)
    for worker in report["workers"]:
        yield from _lease(worker, workers[worker["id"]], began)
    last: dict[str, float] = {}  # when each worker's track is free: rounded times may overlap by a microsecond
    for test in sorted(tests, key=lambda test: str(test["started"])):
        start = max(_micros(epoch(test["started"]) - began), last.get(test["worker"] or "", 0.0))
        took = _micros(test["duration_s"])
        free = last.get(test["worker"] or "", 0.0)
        last[test["worker"] or ""] = start + took
        if (track := workers.get(test["worker"] or "")) is not None:
            yield from _wait(test, track, start, free)
            yield from _slices(test, track, start, took)
        for device in test["devices"]:
            yield _slice(_DEVICES, lanes[device, test["worker"] or ""], name_of(test["nodeid"]), start, took, test)


def _lease(worker: Mapping[str, Any], track: int, began: float) -> Iterator[Event]:
    if worker["started"] is not None and worker["lease_wait_s"]:
        end, took = _micros(epoch(worker["started"]) - began), _micros(worker["lease_wait_s"])
        start = max(0.0, end - took)
        yield _event(_WORKERS, track, "waits for a lease", start, end - start, "wait")


def _wait(test: Mapping[str, Any], track: int, start: float, free: float) -> Iterator[Event]:
    begin = max(free, start - _micros(test.get("waited_s") or 0.0))
    if begin < start:
        yield _event(_WORKERS, track, "waits for its next test", begin, start - begin, "wait")


def _slices(test: Mapping[str, Any], track: int, start: float, took: float) -> Iterator[Event]:
    yield _slice(_WORKERS, track, name_of(test["nodeid"]), start, took, test)
    at, end = start, start + took
    for name, key in _PHASES:
        seconds = _micros((test.get("phases") or {}).get(key) or 0.0)
        if seconds and at < end:
            yield _event(_WORKERS, track, name, at, min(seconds, end - at), "phase")
            at += seconds


def _slice(group: int, track: int, name: str, start: float, took: float, test: Mapping[str, Any]) -> Event:
    values = {metric["name"]: metric["value"] for metric in test["metrics"]}
    told = {
        "test": test["nodeid"],
        "outcome": test["outcome"],
        "attempt": test.get("attempt", 1),
        "worker": test["worker"],
    }
    known = {**told, **{f"param.{key}": value for key, value in test["params"].items()}, **values, **facts_of(test)}
    color = {"cname": "terrible"} if test["outcome"] in FAILED else {}
    return _event(group, track, name, start, took, "test") | {"args": known} | color


def _event(group: int, track: int, name: str, start: float, took: float, category: str) -> Event:
    return {"ph": "X", "pid": group, "tid": track, "ts": start, "dur": took, "name": name, "cat": category}


def _named(group: int, name: str, tracks: Mapping[int, str]) -> Iterator[Event]:
    yield {"ph": "M", "pid": group, "name": "process_name", "args": {"name": name}}
    yield {"ph": "M", "pid": group, "name": "process_sort_index", "args": {"sort_index": group}}
    for track, label in tracks.items():
        yield {"ph": "M", "pid": group, "tid": track, "name": "thread_name", "args": {"name": label}}


def _micros(seconds: float) -> float:
    return round(seconds * 1e6, 3)
