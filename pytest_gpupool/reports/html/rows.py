"""A test as the HTML page shows it: its row, and what can be unfolded below."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...metrics.wording import (
    chance_text,
    change_text,
    cohort_text,
    interval_text,
    n_text,
    number_text,
    others_text,
    shows_text,
    spread_text,
    texts,
    timing_text,
)
from ...values import outcomes, verdicts
from ...values.nodeids import source_link
from ...values.texts import size_text, visible
from ..words import attempt_texts, cause_text, earlier_run, headline, seconds_text
from .data.attachments import Group
from .data.parameters import parameter_text
from .tables import DASH, allowed_text, energy_text, joined, mark_kind

MOST_METRICS = 3
"""Metrics in the row of a test, the worst; below are all."""

_SHOWN = ("name", "value", "change", "verdict", "kind")
_JUDGED = ("name", "value", "said", "verdict", "kind")

_PHASES = (("setup_s", "set-up"), ("call_s", "call"), ("teardown_s", "tear-down"))


def anchors(tests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the place of each test on the page: the same for the same test in every run."""
    found: dict[str, None] = {}
    for test in tests:
        name = f"test-{hashlib.sha256(test['nodeid'].encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"
        while name in found:  # two tests of one id, or an accident
            name += "-"
        found[name] = None
    return list(found)


def row(
    test: Mapping[str, Any],
    report: Mapping[str, Any],
    names: Mapping[str, str],
    kept: Sequence[Group] = (),
    lost: str | None = None,
) -> dict[str, Any]:
    """Return what the page says of a test; ``names`` are what people call the devices, by id; ``kept`` is its own.

    ``lost`` says what cannot be shown of its items.
    """
    metrics = sorted(test["metrics"], key=lambda metric: verdicts.rank(metric["verdict"]))
    judged, memory = [*map(_judged, metrics)], test["resources"].get("peak_memory_bytes")
    bad = test["outcome"] in outcomes.BAD
    return {
        "nodeid": test["nodeid"],
        "source": source_link(report["run"], test),
        "outcome": test["outcome"],
        "bad": bad,
        "earlier": earlier_run(test, report),
        "attempt": test["attempt"],
        "headline": headline(test["message"] or ""),
        "duration": seconds_text(test["duration_s"]),
        "worker": test["worker"] or DASH,
        "devices": joined(*(names.get(device, device) for device in test["devices"])) or DASH,
        "memory": DASH if memory is None else size_text(memory),
        "metrics": judged[:MOST_METRICS],
        "more": max(0, len(metrics) - MOST_METRICS),
        "facts": [(name, said) for name, said in (("Items", lost), *_facts(test)) if said],
        "judged": judged,
        "message": test["message"],
        "kept": kept,
        "output": [(name, text) for name, text in (test.get("output") or {}).items() if text],
    }


def at_once(row: Mapping[str, Any]) -> list[Any]:
    """Return what the page's script shows of a test's row, where it is not in the columns: texts, and its metrics."""
    told = (row["duration"], row["memory"], row["headline"], row["attempt"], row["earlier"], row["more"])
    return [*map(_carried, told), [[_carried(metric[key]) for key in _SHOWN] for metric in row["metrics"]]]


def unfolded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the script shows where a test is unfolded; what there is nothing of is left out."""
    told = {
        "source": row["source"],
        "message": _carried(row["message"]),
        "output": _pairs(row["output"]),
        "judged": [[_carried(metric[key]) for key in _JUDGED] for metric in row["judged"]],
        "facts": _pairs(row["facts"]),
        "kept": row["kept"],
    }
    return {name: value for name, value in told.items() if value}


def _pairs(pairs: Sequence[tuple[str, str]]) -> list[list[Any]]:
    return [[_carried(name), _carried(said)] for name, said in pairs]


def _carried(value: Any) -> Any:
    return visible(value) if isinstance(value, str) else value


def _judged(metric: Mapping[str, Any]) -> dict[str, Any]:
    """Return a metric as a row shows it, and all that its verdict rests on, in one line."""
    (value, baseline), allowed, verdict = texts(metric), allowed_text(metric), metric["verdict"]
    items = n_text(metric)
    changed = " ".join(filter(None, [change_text(metric), interval_text(metric)]))
    parts = [
        " ".join(filter(None, [f"baseline {baseline}", cohort_text(metric)])) if baseline else "",
        changed,
        chance_text(metric),
        f"allowed {allowed}" if allowed else "",
        items,
        shows_text(metric),
        {True: "higher is better", False: "lower is better", None: ""}[metric["higher_is_better"]],
        metric.get("note") or others_text(metric.get("others", ()), None),
        spread_text(metric),
        timing_text(metric),
    ]
    return {
        "name": metric["name"],
        "value": value,
        "change": " ".join(filter(None, [changed, items])),
        "verdict": verdict,
        "kind": mark_kind(verdict),
        "said": joined(*parts),
    }


def _facts(test: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    used = test["resources"]
    phases, params = test["phases"], test["params"].items()
    yield "Parameters", joined(*(f"{name} = {parameter_text(value)}" for name, value in params))
    yield "Facts", joined(*(f"{name} = {said}" for name, said in (test.get("facts") or {}).items()))
    yield "Source", f"{test['path']}:{test['line']}" if test.get("line") else test.get("path") or ""
    yield "Cause", cause_text(test)
    yield "Attempts", joined(*attempt_texts(test))
    yield "Repeats", joined(*map(_repeat_text, test.get("repeats") or ()))
    yield "Started", f"{test['started'][:19].replace('T', ' ')} UTC" if test["started"] else ""
    yield "Phases", joined(*(f"{word} {seconds_text(phases[key])}" for key, word in _PHASES if phases[key] is not None))
    yield "Device", joined(*_device_use(used))
    yield "Process", joined(*_process_use(used))


def _repeat_text(repeat: Mapping[str, Any]) -> str:
    values = (f"{name} {DASH if value is None else number_text(value)}" for name, value in repeat["metrics"].items())
    return " ".join([f"#r{repeat['repeat']} {repeat['outcome']} on {repeat['worker'] or DASH}", *values])


def _device_use(used: Mapping[str, Any]) -> Iterator[str]:
    for key, word in (("peak_memory_bytes", "peak memory"), ("torch_peak_memory_bytes", "torch's peak")):
        if used.get(key) is not None:
            yield f"{word} {size_text(used[key])}"
    if used.get("utilization_mean") is not None:
        most = "" if used.get("utilization_max") is None else f" (at most {used['utilization_max']:.0f}%)"
        yield f"utilisation {used['utilization_mean']:.0f}%{most}"
    if used.get("energy_j") is not None:
        yield energy_text(used["energy_j"])
    if used.get("temperature_max_c") is not None:
        yield f"up to {used['temperature_max_c']:.0f} °C"
    if used.get("throttled"):
        yield "THROTTLED"
    if used.get("foreign_pids"):
        yield f"other processes on it: {', '.join(map(str, used['foreign_pids']))}"


def _process_use(used: Mapping[str, Any]) -> Iterator[str]:
    if used.get("cpu_percent") is not None:
        yield f"CPU {used['cpu_percent']:.0f}%"
    if (used.get("cpu_pressure_percent") or 0) >= verdicts.CPU_PRESSURE:
        yield f"programs waited for a processor {used['cpu_pressure_percent']:.0f}% of the time"
    if used.get("rss_peak_bytes") is not None:
        yield f"peak memory {size_text(used['rss_peak_bytes'])}"
