"""Accepting: the baseline entries that a report gives. Pure: standard library only, no clock, no files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .baseline import Baseline, Entry, Key, kind_of
from .statistics import deviation, mean, spread_of
from .timed import is_timed

_MOST_TOLD = 5
_GOOD = frozenset({"passed", "xpassed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What a report gives: new or changed entries, how many stay as they are, and what is left out, and why."""

    entries: tuple[Entry, ...]
    unchanged: int
    left_out: tuple[str, ...]

    def text(self) -> str:
        """Return it in words: ``3 entries written, 2 unchanged, 1 left out``."""
        entries = f"{len(self.entries)} {'entry' if len(self.entries) == 1 else 'entries'} written"
        left_out = f", {len(self.left_out)} left out" if self.left_out else ""
        return f"{entries}, {self.unchanged} unchanged{left_out}"

    def told_left_out(self) -> list[str]:
        """Return a line for each of the first that are left out, and their number."""
        lines = [f"not in the baseline: {line}" for line in self.left_out[:_MOST_TOLD]]
        more = len(self.left_out) - _MOST_TOLD
        return [*lines, f"… and {more} more are not in the baseline"] if more > 0 else lines


def accept(report: Mapping[str, Any], baseline: Baseline, *, reason: str) -> Accepted:
    """Return what a report changes in a baseline.

    Metrics of a test that failed are left out, unless nothing but a verdict made it fail: then they are what is to be
    accepted. So are those that are not finite, and times and rates of a device that others used, or that was throttled.
    A tolerance that somebody gave an entry stays in it; a direction, too, where the test gives none.
    """
    results: defaultdict[Key, list[Entry]] = defaultdict(list)
    left_out: list[str] = []
    names = {device["id"]: device["name"] for device in report["devices"]}
    for test in report["tests"]:
        kind = kind_of([names.get(device, device) for device in test["devices"] if not device.startswith("cpu:")])
        for metric in test["metrics"]:
            problem = _problem(test, metric)
            if problem is None:
                entry = _entry(test, metric, kind, report, reason)
                results[entry.key].append(entry)
            else:
                left_out.append(f"{test['nodeid']} {metric['name']}: {problem}")
    merged = (_merged(entries) for entries in results.values())
    told = [_with_rules_of(entry, baseline.get(*entry.key)) for entry in merged]
    new = tuple(entry for entry in told if not _says_the_same(entry, baseline.get(*entry.key)))
    return Accepted(entries=new, unchanged=len(told) - len(new), left_out=tuple(left_out))


def stale(baseline: Baseline, report: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield the entries of tests that a report does not have, or that have no such metric though they passed there."""
    metrics: dict[str, set[str]] = {}
    passed: set[str] = set()
    for test in report["tests"]:
        metrics.setdefault(test["nodeid"], set()).update(metric["name"] for metric in test["metrics"])
        if test["outcome"] in _GOOD:
            passed.add(test["nodeid"])
    for entry in baseline.entries:
        if entry.test not in metrics or (entry.test in passed and entry.metric not in metrics[entry.test]):
            yield entry


def _problem(test: Mapping[str, Any], metric: Mapping[str, Any]) -> str | None:
    if test["outcome"] not in _GOOD and not test.get("judged"):
        return f"the test is {test['outcome']}"
    if metric["value"] is None:
        return f"it is {metric['non_finite']}"
    used = test.get("resources") or {}
    disturbed = bool(used.get("throttled") or used.get("foreign_pids"))
    if metric["verdict"] == "contended" or (disturbed and is_timed(metric["unit"])):
        return "the device was throttled, or used by others, meanwhile"
    return "its device was lost" if metric["verdict"] == "invalid" else None


def _entry(
    test: Mapping[str, Any], metric: Mapping[str, Any], kind: str, report: Mapping[str, Any], reason: str
) -> Entry:
    run, git = report["run"], report["run"]["git"]
    is_own = test.get("run", run["id"]) == run["id"]  # else it was kept from an earlier run, of another commit perhaps
    samples = metric.get("samples")
    items = None if samples is None or any(isinstance(item, str) for item in samples) else tuple(samples)
    return Entry(
        test=test["nodeid"],
        metric=metric["name"],
        device=kind,
        value=metric["value"],
        n=metric["n"],
        spread=spread_of(metric["value"], metric["n"], items),
        unit=metric["unit"],
        higher_is_better=metric["higher_is_better"],
        samples=items,
        commit=git["commit"] if git is not None and is_own else "",
        dirty=bool(git is not None and is_own and git["dirty"]),
        date=(test["started"] or run["started"])[:19] + "Z",
        run=test.get("run") or run["id"],
        reason=reason,
    )


def _merged(entries: Sequence[Entry]) -> Entry:
    """Return one entry for all the results of one test on one kind of device: ``--dist each`` gives several."""
    if len(entries) == 1:
        return entries[0]
    values = [entry.value for entry in entries]
    return replace(entries[0], value=mean(values), spread=deviation(values), samples=None)


def _with_rules_of(entry: Entry, old: Entry | None) -> Entry:
    if old is None:
        return entry
    direction = old.higher_is_better if entry.higher_is_better is None else entry.higher_is_better
    return replace(entry, atol=old.atol, rtol=old.rtol, higher_is_better=direction)


def _says_the_same(entry: Entry, old: Entry | None) -> bool:
    """Say whether only the origin differs: such a line would be noise in a review."""
    if old is None:
        return False
    origin = {name: getattr(old, name) for name in ("commit", "dirty", "date", "run", "reason")}
    return replace(entry, **origin) == old
