"""Rows: a report as one flat table, a row per metric of a test; a test without metrics has one too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..metrics.groups import as_tests
from ..values.texts import safe_repr
from ..verdicts.baselines.baseline import kind_in

Row = dict[str, Any]

TEXTS = ("run", "started", "commit", "test", "outcome", "worker", "device_kind", "devices", "metric", "unit", "kind")
NUMBERS = ("duration_s", "value", "baseline", "change", "p", "peak_memory_bytes", "utilization_mean", "energy_j")
WHOLES = ("attempt", "n")
_ORDER = (
    *("run", "started", "commit", "test", "outcome", "attempt", "worker", "devices", "device_kind", "duration_s"),
    *("metric", "value", "non_finite", "unit", "kind", "higher_is_better", "n"),
    *("verdict", "baseline", "change", "p", "peak_memory_bytes", "utilization_mean", "energy_j"),
)
_OF_METRIC = ("value", "non_finite", "unit", "kind", "higher_is_better", "n", "verdict", "baseline", "change", "p")
_OF_RESOURCES = ("peak_memory_bytes", "utilization_mean", "energy_j")


def table(report: Mapping[str, Any]) -> tuple[list[str], list[Row]]:
    """Return the columns and the rows; parameters and facts have columns of their own, ``param.lr``, ``fact.model``."""
    rows = list(_rows(report))
    more = dict.fromkeys(name for row in rows for name in row if name not in _ORDER)
    return [*_ORDER, *sorted(more)], rows


def facts_of(test: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts that a test has recorded, by name."""
    facts = test.get("facts") or {}
    pairs: Iterable[tuple[Any, Any]]
    pairs = facts.items() if isinstance(facts, Mapping) else ((one["name"], one.get("text", "")) for one in facts)
    return {str(name): text(value) for name, value in pairs}


def text(value: object) -> str:
    """Return a value of a report as text, with an escape for what UTF-8 cannot carry, a lone surrogate."""
    return (value if isinstance(value, str) else safe_repr(value)).encode("utf-8", "backslashreplace").decode()


def tests_of(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tests of a report, and its aggregates as if each were one."""
    return [*report["tests"], *as_tests(report)]


def _rows(report: Mapping[str, Any]) -> Iterator[Row]:
    run, names = report["run"], {device["id"]: device["name"] for device in report["devices"]}
    about = {"run": run["id"], "started": run["started"], "commit": (run.get("git") or {}).get("commit")}
    for test in tests_of(report):
        own = {**about, **_of_test(test, names)}
        if not test["metrics"]:
            yield own
        for metric in test["metrics"]:
            yield own | {"metric": metric["name"]} | {name: metric.get(name) for name in _OF_METRIC}


def _of_test(test: Mapping[str, Any], names: Mapping[str, str]) -> Row:
    resources = test.get("resources") or {}
    return {
        "test": test["nodeid"],
        "outcome": test["outcome"],
        "attempt": test.get("attempt"),
        "worker": test.get("worker"),
        "devices": " ".join(test["devices"]),
        "device_kind": kind_in(test, names),
        "duration_s": test["duration_s"],
        **{name: resources.get(name) for name in _OF_RESOURCES},
        **{f"param.{name}": text(value) for name, value in (test.get("params") or {}).items()},
        **{f"fact.{name}": value for name, value in facts_of(test).items()},
    }
