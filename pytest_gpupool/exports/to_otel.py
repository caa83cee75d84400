"""OpenTelemetry: the run as a trace and its metrics, in OTLP's JSON: a line for the spans, one for the metrics.

The collector's receiver ``otlpjsonfile`` reads such a file, and each line can be sent to ``/v1/traces`` or
``/v1/metrics``. Ids are made of the run and its tests, so that a second export tells of the same spans.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from .. import __version__
from ..records.store import write_whole
from ..reports.words import counted
from ..values.outcomes import FAILED
from ..values.texts import epoch
from .exporters import Order
from .rows import facts_of, tests_of, text

_DEFAULT = Path("otlp.jsonl")
_INTERNAL, _OK, _ERROR = 1, 1, 2  # of the enumerations SpanKind and StatusCode
_SCOPE = {"name": "pytest_gpupool", "version": __version__}

Json = dict[str, Any]


def export(report: Mapping[str, Any], order: Order) -> str:
    """Write it. Raises OSError."""
    path, spans, points = order.output or _DEFAULT, list(_spans(report)), list(_metrics(report))
    resource = {"attributes": _attributes(_of_run(report))}
    traces = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": _SCOPE, "spans": spans}]}]}
    metrics = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": _SCOPE, "metrics": points}]}]}
    write_whole(path, "".join(f"{json.dumps(one)}\n" for one in (traces, metrics)))
    return f"{path}: {counted(len(spans), 'span')}, {counted(len(points), 'metric')}"


def _of_run(report: Mapping[str, Any]) -> dict[str, Any]:
    run, git = report["run"], report["run"].get("git") or {}
    return {
        "service.name": "pytest",
        "service.instance.id": run["id"],
        "host.name": (run.get("host") or {}).get("name"),
        "process.command_line": run.get("command", ""),
        "vcs.ref.head.revision": git.get("commit"),
        "vcs.ref.head.name": git.get("branch"),
    }


def _spans(report: Mapping[str, Any]) -> Iterator[Json]:
    run = report["run"]
    root, start = _id(run["id"], 8), epoch(run["started"])
    whole = {"test.suite.name": run.get("command", ""), "gpupool.exit_status": run.get("exit_status")}
    times = start, start + (run["duration_s"] or 0.0)
    yield _span(report, root, None, "pytest", times, whole, bad=bool(run.get("exit_status")))
    for number, test in enumerate(report["tests"]):
        if test["started"] is None or test["duration_s"] is None:
            continue
        began = epoch(test["started"])
        told = {
            "test.case.name": test["nodeid"],
            "test.case.result.status": "fail" if test["outcome"] in FAILED else "pass",
            "gpupool.outcome": test["outcome"],
            "gpupool.attempt": test.get("attempt", 1),
            "gpupool.worker": test["worker"],
            "gpupool.devices": list(test["devices"]),
            **_own(test),
        }
        name = _id(f"{run['id']} {number} {test['nodeid']}", 8)
        times = began, began + test["duration_s"]
        yield _span(
            report, name, root, test["nodeid"], times, told, bad=test["outcome"] in FAILED, why=test.get("message")
        )


def _span(
    report: Mapping[str, Any],
    span: str,
    parent: str | None,
    name: str,
    times: tuple[float, float],
    told: Mapping[str, Any],
    *,
    bad: bool,
    why: str | None = None,
) -> Json:
    start, end = times
    status = {"code": _ERROR, **({"message": _plain(why)} if why else {})} if bad else {"code": _OK}
    return {
        "traceId": _id(report["run"]["id"], 16),
        "spanId": span,
        **({} if parent is None else {"parentSpanId": parent}),
        "name": _plain(name),
        "kind": _INTERNAL,
        "startTimeUnixNano": _nanos(start),
        "endTimeUnixNano": _nanos(end),
        "attributes": _attributes(told),
        "status": status,
    }


def _metrics(report: Mapping[str, Any]) -> Iterator[Json]:
    """Yield a gauge for each name and unit, with a point for each test that has it."""
    end = _nanos(epoch(report["run"]["started"]) + (report["run"]["duration_s"] or 0.0))
    gauges: dict[tuple[str, str], list[Json]] = {}
    for test in tests_of(report):
        told = {"test.case.name": test["nodeid"], "gpupool.device_kind": test.get("device_kind"), **_own(test)}
        for metric in test["metrics"]:
            if metric["value"] is not None and (number := _number(metric["value"])) is not None:
                attributes = _attributes({**told, "gpupool.verdict": metric["verdict"]})
                point = {"attributes": attributes, "timeUnixNano": end, "asDouble": number}
                gauges.setdefault((metric["name"], metric["unit"]), []).append(point)
    for (name, unit), points in gauges.items():
        yield {"name": _plain(name), "unit": _plain(unit), "gauge": {"dataPoints": points}}


def _own(test: Mapping[str, Any]) -> dict[str, Any]:
    params = {f"gpupool.param.{name}": value for name, value in (test.get("params") or {}).items()}
    return params | {f"gpupool.fact.{name}": value for name, value in facts_of(test).items()}


def _attributes(told: Mapping[str, Any]) -> list[Json]:
    return [{"key": _plain(key), "value": _value(value)} for key, value in told.items() if value is not None]


def _value(value: Any) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int) and abs(value) < 2**63:
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [*map(_value, value)]}}
    return {"stringValue": _plain(text(value))}


def _plain(value: str) -> str:
    """Return a text that UTF-8 has: no half of a character."""
    return value.encode("utf-8", "backslashreplace").decode()


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:  # a whole number may be of any size
        return None


def _id(name: str, size: int) -> str:
    return sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[: 2 * size]


def _nanos(seconds: float) -> str:
    return str(round(seconds * 1_000_000) * 1000)
