"""Acceptance: the baseline entries that a report gives. Pure: standard library only, no clock, no files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ..metrics.groups import as_tests
from ..metrics.metric import Metric, Number, from_record
from ..metrics.units import is_timed
from ..metrics.wording import number_text
from ..values.outcomes import GOOD
from ..values.verdicts import GONE, RTOL, is_disturbed
from .baselines.baseline import Baseline, Entry, Key, kind_in, short_run
from .baselines.cohort_files import Addition
from .case import Evidence
from .chance.cohort import Measurement
from .chance.statistics import exact, mean
from .decide import Policy, decide
from .of_run import several

_MOST_SHOWN = 5

_Result = tuple[Entry, Mapping[str, Any], tuple[Metric, ...]]
"""What a metric of a report gives, that metric, and its attempts, where there are several."""


_CHANGED = frozenset({"regressed", "improved"})
_HOW = "accept it by name, with 'gpupool baseline update … --accept TEST::METRIC'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What a report gives: new or changed entries, how many are as before, and what is left out, and why.

    ``additions`` are what the run found of metrics that have an entry, or get one.
    """

    entries: tuple[Entry, ...]
    unchanged: int
    left_out: tuple[str, ...]
    additions: tuple[Addition, ...] = ()
    removed: tuple[Key, ...] = ()
    """Entries of metrics that are gone, as somebody has accepted."""

    def text(self) -> str:
        """Return it in words: ``3 entries written, 2 unchanged, 1 left out``."""
        entries = f"{len(self.entries)} {'entry' if len(self.entries) == 1 else 'entries'} written"
        left_out = f", {len(self.left_out)} left out" if self.left_out else ""
        removed = f", {len(self.removed)} removed" if self.removed else ""
        return f"{entries}, {self.unchanged} unchanged{removed}{left_out}"

    def left_out_lines(self) -> list[str]:
        """Return a line for each of the first that are left out, and their number."""
        lines = [f"not in the baseline: {line}" for line in self.left_out[:_MOST_SHOWN]]
        more = len(self.left_out) - _MOST_SHOWN
        return [*lines, f"… and {more} more are not in the baseline"] if more > 0 else lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What somebody accepts although it has changed: tests, or ``TEST::METRIC``, by name; ``*`` and ``?`` are globs."""

    names: tuple[str, ...] = ()
    everything: bool = False
    nothing_changed: bool = False

    def covers(self, test: str, metric: str) -> bool:
        """Say whether a changed metric is accepted."""
        return self.everything or any(_fits(name, test) or _fits(name, f"{test}::{metric}") for name in self.names)

    def unused(self, keys: Iterable[Key]) -> list[str]:
        """Return the names that are of none of these metrics."""
        known = [(test, metric) for test, metric, _ in keys]
        return [
            name
            for name in self.names
            if not any(_fits(name, test) or _fits(name, f"{test}::{metric}") for test, metric in known)
        ]


def _fits(name: str, text: str) -> bool:
    # fnmatch would take the brackets of a parametrized test for a set of characters.
    return re.fullmatch(re.escape(name).replace(r"\*", ".*").replace(r"\?", "."), text) is not None


def accept(
    report: Mapping[str, Any],
    baseline: Baseline,
    *,
    reason: str,
    policy: Policy | None = None,
    consent: Consent | None = None,
) -> Accepted:
    """Return what a report changes in a baseline.

    What is new gets an entry; what is ``ok`` joins the cohort of its entry, which stays as it is; what has changed, for
    the better or the worse, starts a cohort of its own only with somebody's consent, and is left out else. But where
    nothing was changed, as the consent says, or as both are of one clean commit, what differs is noise: it joins, or
    the cohort would hold only what lies near its first value.

    Metrics of a test that failed are left out, unless nothing but a verdict made it fail. So are those that are not
    finite, times and rates of a device that others used, or that was throttled, those of a device of which the kind is
    not known, and those of which several results of one test (``--dist each``) differ by more than the tolerance: the
    call's, else the entry's, else 1 %. A tolerance that somebody gave an entry stays in it; a direction, too, where
    the test gives none.
    """
    results: defaultdict[Key, list[_Result]] = defaultdict(list)
    left_out: list[str] = []
    removed: list[Key] = []
    for test, kind in _with_kinds(report):
        attempts = several(test.get("attempts", ()))
        for metric in test["metrics"]:
            if metric["verdict"] == GONE:
                if (consent or Consent()).covers(test["nodeid"], metric["name"]):
                    removed += _keys_of(test["nodeid"], metric["name"], kind, baseline)
                else:
                    left_out.append(f"{test['nodeid']} {metric['name']}: it is gone; {_HOW}")
                continue
            problem = _problem(test, metric, kind)
            if problem is None:
                entry = _entry(test, metric, kind, report, reason)
                results[entry.key].append((entry, metric, attempts.get(entry.metric, ())))
            else:
                left_out.append(f"{test['nodeid']} {metric['name']}: {problem}")
    merged = {}
    for key, found in results.items():
        if (problem := _disagreement(found, baseline.get(*key))) is not None:
            left_out.append(f"{key[0]} {key[1]}: {problem}")
        else:
            (_, metric, tries), *others = found
            merged[key] = _merged([entry for entry, *_ in found]), metric, () if others else tries
    accepted = _accepted(merged, baseline, left_out, policy or Policy(), consent or Consent())
    return replace(accepted, removed=tuple(removed))


def _keys_of(test: str, metric: str, kind: str, baseline: Baseline) -> list[Key]:
    """Return the entries of a metric: that for a kind of device; where the test did not run, all."""
    entry = baseline.get(test, metric, kind) if kind else None
    return [entry.key] if entry is not None else [(test, metric, other) for other in baseline.kinds(test, metric)]


def _accepted(
    merged: Mapping[Key, _Result], baseline: Baseline, left_out: list[str], policy: Policy, consent: Consent
) -> Accepted:
    evidence = [
        Evidence(test=entry.test, device=entry.device, metric=_metric(entry, metric), attempts=attempts)
        for entry, metric, attempts in merged.values()
    ]
    entries, additions, unchanged = [], [], 0
    for decision, (entry, *_) in zip(decide(evidence, baseline, policy), merged.values(), strict=True):
        old = baseline.get(*entry.key)
        is_noise = decision.verdict in _CHANGED and (consent.nothing_changed or _is_of_one_commit(entry, old))
        stays = old is not None and (decision.verdict == "ok" or is_noise)
        if old is not None and not stays and not consent.covers(entry.test, entry.metric):
            what = decision.note if decision.verdict == "no-baseline" else f"it is {decision.verdict}"
            left_out.append(f"{entry.test} {entry.metric}: {what}; {_HOW}")
            continue
        new = _with_rules_of(entry, old) if old is None or not stays else _as_before(entry, old)
        unchanged += new == old
        if new != old:
            entries.append(replace(new, samples=None, items=None, later=()))
        found = Measurement(value=entry.value, n=entry.n, samples=entry.samples, items=entry.items)
        if not stays or short_run(entry.run) != short_run(new.run) or entry.samples is not None:
            told = {key: getattr(entry, key) for key in ("run", "commit", "dirty", "date", "reason")}
            additions.append(Addition(entry=new, found=found, **told))
    return Accepted(entries=tuple(entries), unchanged=unchanged, left_out=tuple(left_out), additions=tuple(additions))


def _is_of_one_commit(entry: Entry, old: Entry | None) -> bool:
    return old is not None and entry.commit == old.commit != "" and not entry.dirty and not old.dirty


def _metric(entry: Entry, metric: Mapping[str, Any]) -> Metric:
    found = from_record(metric)
    return replace(found, value=entry.value, n=entry.n, samples=entry.samples, items=entry.items)


def _as_before(entry: Entry, old: Entry) -> Entry:
    """Return the entry that a run is like; what it did not say, the run may."""
    direction = old.higher_is_better if entry.higher_is_better is None else entry.higher_is_better
    return replace(old, unit=entry.unit or old.unit, higher_is_better=direction)


def change(old: Number, new: Number) -> float | None:
    """Return a relative change, None where there is none from 0, or no float can hold it."""
    if not old:
        return None
    try:
        return float((Fraction(new) - Fraction(old)) / abs(Fraction(old)))
    except OverflowError:
        return None


def stale(entries: Iterable[Entry], report: Mapping[str, Any]) -> Iterator[tuple[Entry, str]]:
    """Yield the entries of tests that a report does not have, and why they are stale.

    So are those without their metric in a test that passed there, on that kind of device.
    """
    run = report["run"]["id"]
    metrics: defaultdict[str, set[str]] = defaultdict(set)
    passed: set[tuple[str, str]] = set()
    for test, kind in _with_kinds(report):
        there = [metric["name"] for metric in test["metrics"] if metric["verdict"] != GONE]
        if test["metrics"] and not there and test["started"] is None:
            continue  # it has metrics of the baseline alone
        metrics[test["nodeid"]].update(there)
        if test["outcome"] in GOOD or test.get("judged"):
            passed.add((test["nodeid"], kind))
    for entry in entries:
        if entry.test not in metrics:
            yield entry, f"not collected by run {run}"
        elif entry.metric not in metrics[entry.test] and (entry.test, entry.device) in passed:
            yield entry, f"not recorded in run {run}, where the test passed"


def _with_kinds(report: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the tests of a report, each with the kind of device that it ran on, empty where that is not known."""
    names = {device["id"]: device["name"] for device in report["devices"]}
    return ((test, kind_in(test, names) or "") for test in (*report["tests"], *as_tests(report)))


def _problem(test: Mapping[str, Any], metric: Mapping[str, Any], kind: str) -> str | None:
    if test["outcome"] not in GOOD and not test.get("judged"):
        return f"the test is {test['outcome']}"
    if not kind:
        return "its device is not known"
    if metric["value"] is None:
        return f"it is {metric['non_finite']}"
    disturbed = is_disturbed(test.get("resources") or {})
    if metric["verdict"] == "contended" or (disturbed and is_timed(metric["unit"])):
        return "the device was throttled, or used by others, meanwhile"
    return "its device was lost" if metric["verdict"] == "invalid" else None


def _entry(
    test: Mapping[str, Any], metric: Mapping[str, Any], kind: str, report: Mapping[str, Any], reason: str
) -> Entry:
    run, git = report["run"], report["run"]["git"]
    is_own = test.get("run", run["id"]) == run["id"]  # else it was kept from an earlier run, of another commit perhaps
    samples = metric.get("samples")
    # One run of a cohort is one attempt: the mean of several is nearer to the truth than the next run will be.
    value = metric.get("single", metric["value"])
    items = None if samples is None or any(isinstance(item, str) for item in samples) else tuple(samples)
    return Entry(
        test=test["nodeid"],
        metric=metric["name"],
        device=kind,
        value=value,
        n=metric["n"],
        unit=metric["unit"],
        higher_is_better=metric["higher_is_better"],
        samples=items,
        items=tuple(metric["items"]) if items is not None and metric.get("items") else None,
        commit=git["commit"] if git is not None and is_own else "",
        dirty=bool(git is not None and is_own and git.get("dirty")),
        date=(run["started"] if is_own else test["started"] or run["started"])[:19] + "Z",
        run=test.get("run") or run["id"],
        reason=reason,
    )


def _merged(entries: Sequence[Entry]) -> Entry:
    """Return one entry for all the results of one test on one kind of device: ``--dist each`` gives several."""
    if len(entries) == 1:
        return entries[0]
    values = [entry.value for entry in entries]
    value = values[0] if len(set(values)) == 1 else mean(values)
    n = entries[0].n if len({entry.n for entry in entries}) == 1 else None
    return replace(entries[0], value=value, n=n, samples=None, items=None)


def _disagreement(results: Sequence[_Result], old: Entry | None) -> str | None:
    """Return why the results of one test give no value that could stand for all of them, None where they do."""
    if len(results) == 1:
        return None
    values = [entry.value for entry, *_ in results]
    if len(units := sorted({entry.unit for entry, *_ in results})) > 1:
        return f"its {len(values)} results are in different units: {', '.join(map(repr, units))}"
    rules = [(metric["atol"], metric["rtol"]) for _, metric, _ in results]
    rules += [(old.atol, old.rtol)] if old is not None else []
    atol, rtol = next((rule for rule in rules if rule != (None, None)), (None, RTOL))
    least, most = min(values), max(values)
    allowed = max(exact(atol or 0), exact(rtol or 0) * max(abs(exact(least)), abs(exact(most))))
    if exact(most) - exact(least) <= allowed:
        return None
    ends = " to ".join(number_text(value, 6) for value in (least, most))
    return f"its {len(values)} results differ by more than the tolerance: {ends}"


def _with_rules_of(entry: Entry, old: Entry | None) -> Entry:
    if old is None:
        return entry
    direction = old.higher_is_better if entry.higher_is_better is None else entry.higher_is_better
    return replace(entry, atol=old.atol, rtol=old.rtol, higher_is_better=direction)
