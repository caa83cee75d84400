"""The JSON report: one strict object, described by :mod:`schema`."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..devices.pool import Pool
from ..metrics import costs, groups
from ..records.beside.items import FOLDER, Items, of_test, without
from ..records.folding.result import TestResult, WorkerResult
from ..records.folding.results import Results
from ..records.shapes.metrics import METRIC
from ..records.shapes.parts import RESOURCES
from ..records.store import write_whole
from ..values.device import Device
from ..values.outcomes import OUTCOMES
from ..values.repeats import count_of_tests
from ..values.verdicts import VERDICTS
from .schema import AGGREGATE, REPORT_FORMAT, SPEC_VERSION, schema


def build(facts: Mapping[str, Any], pool: Pool, results: Results) -> dict[str, Any]:
    """Return the report of a run. ``facts`` are the parts of ``run`` that the results do not know."""
    from ..advice import advise  # the terminal may have no use for it

    finished = results.collected - len(results.not_run)
    return {
        "report_format": REPORT_FORMAT,
        "spec_version": SPEC_VERSION,
        "run": {
            **facts,
            "complete": results.is_complete,
            "collected": results.collected,
            "finished": finished,
            "engine": facts.get("engine", "local"),
            "seed": facts.get("seed"),
            "resumed_from": facts.get("resumed_from"),
            "shard": shard(results),
        },
        "devices": _devices(pool, results),
        "workers": [_worker(worker) for worker in results.workers.values()],
        "tests": [_test(test, facts.get("id")) for test in results.tests],
        "aggregates": [_aggregate(one) for one in groups.told(results)],
        "fixtures": fixtures(results),
        "advice": [item.to_report() for item in advise.advice(results, pool.devices)],
        "summary": summary(results),
    }


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write the report, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, _text({**report, "tests": [*map(_out_of_the_way(path), report["tests"])]}))


def _out_of_the_way(path: Path) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return what takes the values per item out of a test, where its run could not, or was one of an older version.

    They come to lie beside the report, where that is a file.
    """
    is_file = path.is_file() or not path.exists()
    items = Items(path.parent / FOLDER) if is_file else Items()

    def taken(test: Mapping[str, Any]) -> Mapping[str, Any]:
        if not test["metrics"]:
            return test
        return of_test(test, lambda metric: without(items.taken_out(metric)) if "samples" in metric else metric)

    return taken


def _text(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report in pieces: one line per device, worker and test, which is quick and can be compared."""
    encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode
    for number, (name, value) in enumerate(report.items()):
        yield f"{',' if number else '{'}\n {encode(name)}: "
        if isinstance(value, list) and value:
            for place, item in enumerate(value):
                yield f"{',' if place else '['}\n  {encode(item)}"
            yield "\n ]"
        else:
            yield encode(value)
    yield "\n}\n"


def schema_text() -> str:
    """Return the JSON Schema of the report as text."""
    return json.dumps(schema(), indent=2) + "\n"


def pool_devices(pool: Pool, results: Results) -> tuple[Device, ...]:
    """Return the whole pool; of a cluster's devices, and of CPU slots, those that a worker had."""
    if results.devices:
        return tuple(results.devices.values())
    if not pool.is_cpu:
        return pool.devices
    held = {name for worker in results.workers.values() for name in worker.devices if name.startswith("cpu:")}
    numbers = [int(name.removeprefix("cpu:")) for name in held]
    return pool.slots(max(numbers, default=-1) + 1)


def summary(results: Results) -> dict[str, Any]:
    """Return counts by outcome and verdict, and how well the devices were used."""
    outcomes = Counter(test.outcome for test in results.tests)
    judged = [*results.tests, *groups.as_results(results)]
    verdicts = Counter(metric["verdict"] for test in judged for metric in test.metrics.values() if metric["verdict"])
    use = results.use()
    return {
        **{outcome: outcomes[outcome] for outcome in OUTCOMES},
        "metrics": {verdict: verdicts[verdict] for verdict in VERDICTS},
        **({"sums": sums} if (sums := costs.sums(results)) else {}),
        "makespan_s": use.makespan,
        "busy_s": use.total,
        "speedup": use.speedup,
        "efficiency": use.efficiency,
    }


def shard(results: Results) -> dict[str, int] | None:
    """Return which part of the tests the run had, None where it had all of them."""
    part = results.shard
    if part is None:
        return None
    return {"index": part["index"], "count": part["count"], "tests": count_of_tests(part["tests"])}


def fixtures(results: Results) -> list[dict[str, Any]]:
    """Return the report's list: an entry per wide fixture and its parameters, what took longest first."""
    entries: dict[str, dict[str, Any]] = {}
    for one in results.set_ups.values():
        entry = entries.setdefault(one.fixture, {"fixture": one.fixture, "built": 0, "setup_s": 0.0, "teardown_s": 0.0})
        entry["built"] += 1
        entry["setup_s"] += one.took
        entry["teardown_s"] += one.tear_down
    return sorted(entries.values(), key=lambda entry: entry["setup_s"] + entry["teardown_s"], reverse=True)


def _devices(pool: Pool, results: Results) -> list[dict[str, Any]]:
    busy = results.busy()
    tests = Counter(device for test in results.ran for device in test.devices)
    measured = _measured(results)
    hosts = {device: worker.host for worker in results.workers.values() for device in worker.devices}
    return [
        {
            "id": device.id,
            "host": hosts.get(device.id),
            "kind": device.kind,
            "index": device.index,
            "name": device.name,
            "memory_total_bytes": device.memory_total,
            "tests": tests[device.id],
            "busy_s": busy.get(device.id, 0.0),
            "utilization_mean": _mean_utilization(measured[device.id]),
            "energy_j": _energy(measured[device.id]),
            "quarantined": results.quarantined.get(device.id),
        }
        for device in pool_devices(pool, results)
    ]


def _measured(results: Results) -> defaultdict[str, list[tuple[float, Mapping[str, Any]]]]:
    """Return, per device id, what was measured during its tests, with their durations."""
    measured = defaultdict(list)
    for test in results.ran:
        for device, values in test.resources.get("devices", {}).items():
            measured[device].append((test.duration or 0.0, values))
    return measured


def _mean_utilization(measured: Sequence[tuple[float, Mapping[str, Any]]]) -> float | None:
    """Return the mean over the time of the tests for which it is known."""
    known = [(seconds, values["utilization_mean"]) for seconds, values in measured]
    known = [(seconds, use) for seconds, use in known if use is not None]
    total = sum(seconds for seconds, _ in known)
    return sum(seconds * use for seconds, use in known) / total if total else None


def _energy(measured: Sequence[tuple[float, Mapping[str, Any]]]) -> float | None:
    known = [values["energy_j"] for _, values in measured if values["energy_j"] is not None]
    return sum(known) if known else None


def _worker(worker: WorkerResult) -> dict[str, Any]:
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "devices": worker.devices,
        "lease_wait_s": worker.lease_wait,
        "environment": dict(worker.environment),
        "started": worker.started,
        "ended": worker.ended,
        "exit": worker.exit,
    }


def _test(test: TestResult, run: str | None) -> dict[str, Any]:
    return {
        "nodeid": test.nodeid,
        "run": test.run or run or "",
        "path": test.nodeid.partition("::")[0] if test.source is None else test.source[0],
        **({} if test.source is None else {"line": test.source[1]}),
        "params": test.params,
        "outcome": test.outcome,
        "cause": test.cause,
        "attempt": max(1, test.attempt),
        "attempts": [one | {"metrics": [*map(_metric, one.get("metrics", ()))]} for one in test.attempts],
        "repeats": [repeat.to_repeat() for repeat in test.repeats],
        **({} if test.declared is None else {"declared_memory_bytes": test.declared}),
        "worker": test.worker,
        "devices": list(test.devices),
        "started": test.started,
        "duration_s": test.duration,
        "waited_s": test.waited,
        "setup_s": test.set_ups,
        "phases": {name: test.phases.get(name) for name in ("setup_s", "call_s", "teardown_s")},
        "metrics": [_metric(metric) for metric in test.metrics.values()],
        **({"items": {"count": 0, "scores": {}, **test.items}} if test.items else {}),
        **({"attachments": list(test.attachments)} if test.attachments else {}),
        **({"facts": dict(test.facts)} if test.facts else {}),
        "resources": {name: test.resources.get(name) for name in RESOURCES.keys}
        | {"torch_peak_memory_bytes": test.peak},
        "message": test.message,
        **({"output": test.output} if test.output else {}),
        **({"judged": True} if test.is_judged else {}),
        **({} if test.kind is None else {"device_kind": test.kind}),
    }


def _aggregate(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one.get(name) for name, key in AGGREGATE.keys.items() if key.is_always_written or name in one}


def _metric(metric: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metric.get(name) for name, key in METRIC.keys.items() if key.is_always_written or name in metric}
