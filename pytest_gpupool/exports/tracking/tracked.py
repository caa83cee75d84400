"""Tracked: a report as runs of an experiment tracker: parameters, tags, metrics and files of one, by plain names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

from ...records.beside.attachments import is_place
from ...records.beside.names import safe
from ...values.nodeids import name_of
from ...verdicts.baselines.baseline import kind_in
from ..exporters import TEST
from ..rows import facts_of, tests_of, text
from .names import Names, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """One run of a tracker."""

    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    files: Mapping[str, str]
    """Where what its tests have kept lies in the run's directory, by the path that it has in the tracker."""


def runs(report: Mapping[str, Any], per: str) -> Iterator[TrackedRun]:
    """Yield the run of the suite, whose metrics are ``test/metric``; or one per test that has run, with its own."""
    tests = [test for test in tests_of(report) if test["outcome"] not in ("not-run", "skipped")]
    if per == TEST:
        yield from (_of_test(report, test) for test in tests)
        return
    found: dict[str, float] = {}
    names = Names()
    for test in tests:
        for name, value in _metrics(test).items():
            found[names.one(f"{plain(name_of(test['nodeid']))}/{name}")] = value
    facts = {f"fact.{name}": value for test in tests for name, value in facts_of(test).items()}
    links = chain.from_iterable(_links(test, f"{name_of(test['nodeid'])}/") for test in tests)
    tags = {**about(report), **_tags(chain(facts.items(), links))}
    files = _files((told["path"], told["path"]) for test in report["tests"] for told in _kept(test))
    yield TrackedRun(name=report["run"]["id"], params={}, tags=tags, metrics=found, files=files)


def about(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what is to be known of the whole run."""
    run, git, counts = report["run"], report["run"].get("git") or {}, report["summary"]
    told = {
        "run": run["id"],
        "commit": git.get("commit"),
        "branch": git.get("branch"),
        "command": run.get("command"),
        "host": (run.get("host") or {}).get("name"),
        "exit_status": run.get("exit_status"),
        "passed": counts.get("passed"),
        "failed": counts.get("failed"),
    }
    return {f"gpupool.{name}": text(value) for name, value in told.items() if value is not None}


def _of_test(report: Mapping[str, Any], test: Mapping[str, Any]) -> TrackedRun:
    kinds = {device["id"]: device["name"] for device in report["devices"]}
    tags = {
        **about(report),
        "gpupool.test": text(test["nodeid"]),
        "gpupool.outcome": test["outcome"],
        "gpupool.device": kind_in(test, kinds) or "",
        **_tags(chain(((f"fact.{name}", value) for name, value in facts_of(test).items()), _links(test))),
    }
    names = Names()
    params = {names.one(plain(name)): text(value) for name, value in (test.get("params") or {}).items()}
    own = {told.get("path") for told in test.get("attachments", ())}
    places = [(told["path"], _below(told["path"], is_own=told["path"] in own)) for told in _kept(test)]
    return TrackedRun(
        name=text(name_of(test["nodeid"])), params=params, tags=tags, metrics=_metrics(test), files=_files(places)
    )


def _tags(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    names = Names()
    return {names.one(plain(name)): text(value) for name, value in pairs}


def _links(test: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield the addresses that a test has attached, as tags of their names."""
    for told in test.get("attachments", ()):
        if "url" in told:
            yield f"attachment.{before}{told['name']}", told["url"]


def _kept(test: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the files that a test has kept, and then those of its repeats and of other attempts, each once."""
    seen = set()
    for one in (test, *test.get("repeats", ()), *test.get("attempts", ())):
        for told in one.get("attachments", ()):
            if "path" in told and told["path"] not in seen:
                seen.add(told["path"])
                yield told


def _below(place: str, *, is_own: bool) -> str:
    """Return what a file of a test is called in the test's run, where the folder of its own attempt is left out."""
    if not is_place(place):  # which is not looked for
        return place
    folder, _, attempt, *rest = PurePosixPath(place).parts
    return "/".join([folder, *([] if is_own and rest else [attempt]), *rest])


def _files(places: Iterable[tuple[str, str]]) -> dict[str, str]:
    names = Names()
    return {names.one("/".join(map(safe, name.split("/"))), "-"): place for place, name in places}


def _metrics(test: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    names = Names()
    for metric in test["metrics"]:
        try:
            value = float(metric["value"])
        except (TypeError, OverflowError):  # there is none, or it is larger than any float
            continue
        found[names.one(plain(metric["name"]))] = value
    if test["duration_s"] is not None:
        found[names.one("duration_s")] = test["duration_s"]
    return found
