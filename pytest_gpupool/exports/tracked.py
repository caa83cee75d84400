"""Tracked: a report as runs of an experiment tracker: parameters, tags and metrics of one, by plain names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..values.nodeids import name_of
from ..verdicts.baseline import kind_in
from .exporters import TEST
from .rows import facts_of, tests_of, text

_OTHER = re.compile(r"[^\w./ -]+", re.ASCII)
_LONGEST = 240  # MLflow takes 250 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """One run of a tracker."""

    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


def runs(report: Mapping[str, Any], per: str) -> Iterator[TrackedRun]:
    """Yield the run of the suite, whose metrics are ``test/metric``; or one per test that has run, with its own."""
    tests = [test for test in tests_of(report) if test["outcome"] not in ("not-run", "skipped")]
    if per == TEST:
        yield from (_of_test(report, test) for test in tests)
        return
    found: dict[str, float] = {}
    for test in tests:
        for name, value in _metrics(test).items():
            found[_distinct(f"{plain(name_of(test['nodeid']))}/{name}", found)] = value
    facts = {f"fact.{name}": value for test in tests for name, value in facts_of(test).items()}
    yield TrackedRun(name=report["run"]["id"], params={}, tags={**about(report), **facts}, metrics=found)


def about(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what is to be known of the whole run."""
    run, git, counts = report["run"], report["run"].get("git") or {}, report["summary"]
    told = {
        "run": run["id"],
        "commit": git.get("commit"),
        "branch": git.get("branch"),
        "command": run["command"],
        "host": run["host"]["name"],
        "exit_status": run["exit_status"],
        "passed": counts["passed"],
        "failed": counts["failed"],
    }
    return {f"gpupool.{name}": text(value) for name, value in told.items() if value is not None}


def plain(name: str) -> str:
    """Return a name as every tracker takes it."""
    return (_OTHER.sub("_", name).strip("_ /") or "_")[:_LONGEST]


def _of_test(report: Mapping[str, Any], test: Mapping[str, Any]) -> TrackedRun:
    names = {device["id"]: device["name"] for device in report["devices"]}
    tags = {
        **about(report),
        "gpupool.test": test["nodeid"],
        "gpupool.outcome": test["outcome"],
        "gpupool.device": kind_in(test, names) or "",
        **{f"fact.{name}": value for name, value in facts_of(test).items()},
    }
    params = {plain(name): text(value) for name, value in (test.get("params") or {}).items()}
    return TrackedRun(name=name_of(test["nodeid"]), params=params, tags=tags, metrics=_metrics(test))


def _metrics(test: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in test["metrics"]:
        try:
            value = float(metric["value"])
        except (TypeError, OverflowError):  # there is none, or it is larger than any float
            continue
        found[_distinct(plain(metric["name"]), found)] = value
    if test["duration_s"] is not None:
        found[_distinct("duration_s", found)] = test["duration_s"]
    return found


def _distinct(name: str, taken: Mapping[str, float]) -> str:
    number = 1
    while (one := name if number == 1 else f"{name} {number}") in taken:
        number += 1
    return one
