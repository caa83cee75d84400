"""The upper part of the HTML page, without its script: figures, facts, what is wrong, devices, workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...metrics import wording
from ...metrics.wording import (
    amount_text,
    baseline_text,
    chance_text,
    change_text,
    cohort_text,
    interval_text,
    n_text,
    shows_text,
    value_text,
)
from ...values import verdicts
from ...values.texts import size_text
from ..words import (
    counted,
    group_word,
    labels,
    metric_order,
    needs_a_look,
    seconds_text,
    set_up_texts,
    shared_cores,
    worst_groups,
)
from . import clusters as alike

DASH = "–"
"""Stands for what is not known."""

MOST_WRONG = 100
"""Metrics that the summary lists; the table of tests has all."""


MOST_CLUSTERS = 20
"""Kinds of failure that the summary lists."""

MOST_ALIKE = 3
"""Tests of each that it names."""


def figures(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the large figures of the summary: the figure, what it is, and a note."""
    run, summary = report["run"], report["summary"]
    yield str(run["collected"]), "test" if run["collected"] == 1 else "tests", f"{run['finished']} with a result"
    metrics = sum(len(test["metrics"]) for test in report["tests"]) + len(report.get("aggregates", ()))
    if metrics:
        yield str(metrics), "metric" if metrics == 1 else "metrics", _verdicts(summary["metrics"])
    if summary["makespan_s"] is not None:
        yield seconds_text(summary["makespan_s"]), "makespan", "first start to last end"
    used = sum(device["tests"] > 0 for device in report["devices"])
    if (cores := shared_cores(report, used)) is not None:
        yield str(used), "CPU slots", f"share {counted(cores, 'core')}: no speedup can be told"
        return
    if summary["speedup"] is not None:
        yield f"{summary['speedup']:.2f}", "speedup", f"{seconds_text(summary['busy_s'])} of device time"
    if summary["efficiency"] is not None:
        yield f"{summary['efficiency']:.0%}", "efficiency", f"of {counted(used, 'device')} used"


def facts(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield when, where and how the run went, each with its name; what is not known is empty."""
    run = report["run"]
    yield "Duration", seconds_text(run["duration_s"])
    yield "Set-up", joined(*set_up_texts(report.get("fixtures", ()), report["summary"]["busy_s"]))
    yield "Host", joined(run["host"]["name"], run["host"]["platform"], _cores(run["host"]["cpu_count"]))
    yield "Directory", run["rootdir"]
    yield "Sources", _sources(run["git"])
    yield "Software", joined(*(f"{name} {version}" for name, version in run["software"].items() if version))
    yield "Engine", "" if run["engine"] == "local" else run["engine"]
    yield "Seed", "" if run["seed"] is None else str(run["seed"])
    yield "Goes on with run", run["resumed_from"] or ""
    yield "Set for all workers", joined(*_common_variables(report["workers"]))


def _common_variables(workers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the environments of all workers were given alike; of what differs, the devices, they have a table."""
    told = [worker["environment"].items() for worker in workers if worker.get("environment")]
    return (
        [f"{name}={value}" for name, value in told[0] if all((name, value) in other for other in told)] if told else []
    )


def wrong_metrics(tests: Iterable[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the metrics that need a look, the worst verdict first, of each the largest change.

    Each test comes with its place on the page.
    """
    wrong = [
        (metric, test, place)
        for place, test in tests
        for metric in test["metrics"]
        if metric["verdict"] in verdicts.BAD
    ]
    return [_wrong(*each) for each in sorted(wrong, key=lambda each: metric_order(each[0], each[1]["outcome"]))]


def clusters(tests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the failures by what they say, those of most tests first; each test comes with its place on the page."""
    return [
        {
            "text": cluster.text,
            "count": len(cluster.tests),
            "outcomes": joined(*dict.fromkeys(tests[place][1]["outcome"] for place in cluster.tests)),
            "tests": [(tests[place][0], tests[place][1]["nodeid"]) for place in cluster.tests[:MOST_ALIKE]],
            "more": max(0, len(cluster.tests) - MOST_ALIKE),
        }
        for cluster in alike.clusters(test for _, test in tests)[:MOST_CLUSTERS]
    ]


def aggregates(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each metric that is judged over many tests, those that need a look first."""
    return [
        {
            "id": one["id"],
            "name": one["name"],
            "value": value_text(one),
            "baseline": baseline_text(one) or DASH,
            "change": " ".join(filter(None, [change_text(one), interval_text(one)])) or DASH,
            "said": joined(chance_text(one), cohort_text(one), shows_text(one), one.get("note") or ""),
            "tests": f"{one['tests']} of {one['tests'] + one['missing']}" if one["missing"] else str(one["tests"]),
            "word": group_word(one),
            "kind": "bad" if needs_a_look(one) else mark_kind(one["verdict"]),
        }
        for one in worst_groups(report)
    ]


def mark_kind(verdict: str | None) -> str:
    """Return in which of the page's ways a verdict is marked."""
    return "bad" if verdict in verdicts.BAD else {"ok": "ok", "improved": "good"}.get(verdict or "", "odd")


def devices(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row per device of the pool."""
    names = labels(report)
    return [_device(device, names[device["id"]]) for device in report["devices"]]


def workers(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row per worker."""
    names = labels(report)
    return [
        {
            "id": worker["id"],
            "host": joined(worker["host"] or "", "" if worker["pid"] is None else f"pid {worker['pid']}") or DASH,
            "devices": joined(*(names.get(device, device) for device in worker["devices"])) or DASH,
            "wait": seconds_text(worker["lease_wait_s"]),
            "exit": worker["exit"] or "unknown",
            "bad": worker["exit"] in ("crashed", "killed"),
        }
        for worker in report["workers"]
    ]


def joined(*parts: str) -> str:
    """Return the parts that are not empty, with commas."""
    return ", ".join(part for part in parts if part)


def allowed_text(metric: Mapping[str, Any]) -> str:
    """Return ``± 0.01``, of a proportion ``± 0.8 points``: what was allowed, nothing where that is not known."""
    allowed = metric.get("allowed")
    if allowed is None:
        return ""
    is_share = metric.get("kind") == "proportion"
    return f"± {wording.allowed_text(metric) if is_share else amount_text(allowed, metric['unit'])}"


def _verdicts(numbers: Mapping[str, int]) -> str:
    told = [f"{numbers[verdict]} {verdict}" for verdict in (*verdicts.BAD, "improved") if numbers[verdict]]
    return joined(*told) or (f"{numbers['ok']} ok" if numbers["ok"] else "")


def _wrong(metric: Mapping[str, Any], test: Mapping[str, Any], anchor: str) -> dict[str, Any]:
    return {
        "nodeid": test["nodeid"],
        "anchor": anchor,
        "name": metric["name"],
        "value": value_text(metric),
        "baseline": baseline_text(metric) or DASH,
        "change": " ".join(filter(None, [change_text(metric), interval_text(metric)])) or DASH,
        "allowed": allowed_text(metric) or DASH,
        "said": joined(
            chance_text(metric), n_text(metric), cohort_text(metric), shows_text(metric), metric.get("note") or ""
        ),
        "verdict": metric["verdict"],
    }


def _device(device: Mapping[str, Any], label: str) -> dict[str, Any]:
    size, use, energy = device["memory_total_bytes"], device["utilization_mean"], device["energy_j"]
    return {
        "label": label,
        "id": device["id"],
        "name": device["name"],
        "memory": DASH if size is None else size_text(size),
        "tests": device["tests"],
        "busy": seconds_text(device["busy_s"]),
        "utilization": DASH if use is None else f"{use:.0f}%",
        "energy": DASH if energy is None else energy_text(energy),
        "quarantined": device["quarantined"],
    }


def energy_text(joules: float) -> str:
    """Return ``1234 J``, ``56 kJ``."""
    return f"{joules:.0f} J" if joules < 10_000 else f"{joules / 1000:.0f} kJ"


def _cores(count: int | None) -> str:
    return "" if count is None else f"{count} CPU cores"


def _sources(git: Mapping[str, Any] | None) -> str:
    if git is None:
        return ""
    return joined(git["commit"], f"branch {git['branch']}" if git["branch"] else "", "changed" if git["dirty"] else "")
