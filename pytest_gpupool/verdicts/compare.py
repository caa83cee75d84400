"""Comparing: a report beside an older one, or beside a baseline, by the rules of verdicts.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from ..metrics.metric import from_record
from ..values.outcomes import GOOD, WHOLE
from ..values.verdicts import is_disturbed, is_lost
from . import verdict as verdicts
from .baseline import Baseline, Entry, is_cpu, kind_in
from .comparison import CONCERNS, GONE, Comparison, Duration, OutcomeChange, Pair, Value

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """A test of a report; ``kind`` is the kind of device that it ran on, None where that is not known."""

    nodeid: str
    outcome: str
    kind: str | None
    duration: float | None
    metrics: Mapping[str, Mapping[str, Any]]
    disturbed: bool

    @property
    def took(self) -> float | None:
        """Its duration, where it ran to its end."""
        return self.duration if self.outcome in WHOLE else None


def compare(old: Report, new: Report, *, rtol: float) -> Comparison:
    """Compare two reports, with ``rtol`` where neither of them gives a tolerance.

    Tests are joined by their ids; where one is there more than once, as with ``--dist each``, by their order too.
    Values from another kind of device are compared, and it is noted; those in another unit are not.
    """
    before, after = _tests(old), _tests(new)
    both = [name for name in after if name in before]
    return Comparison(
        metrics=_worst_first(
            pair for name, test in after.items() for pair in _pairs(name, before.get(name), test, rtol)
        ),
        outcomes=_changed((name, before[name], after[name]) for name in both),
        durations=_durations((name, before[name].took, after[name].took) for name in both),
        makespan=next(iter(_durations([("", _makespan(old), _makespan(new))])), None),
        gone=tuple(name for name in before if name not in after),
        new=tuple(name for name in after if name not in before),
    )


def compare_with(baseline: Baseline, new: Report, *, rtol: float) -> Comparison:
    """Compare a report with a baseline: like with like, so that an entry for another kind of device does not count."""
    after = _tests(new)
    pairs = (_judged_by(baseline, name, test, rtol) for name, test in after.items())
    known = dict.fromkeys(entry.test for entry in baseline.entries)
    there = {test.nodeid for test in after.values()}
    return Comparison(
        metrics=_worst_first([*chain.from_iterable(pairs), *_gone_from(baseline, after)]),
        gone=tuple(name for name in known if name not in there),
        new=tuple(name for name, test in after.items() if test.metrics and test.nodeid not in known),
    )


def _tests(report: Report) -> dict[str, _Test]:
    names = {device["id"]: device["name"] for device in report["devices"]}
    seen: Counter[str] = Counter()
    tests = {}
    for test in report["tests"]:
        seen[test["nodeid"]] += 1
        number = seen[test["nodeid"]]
        tests[test["nodeid"] if number == 1 else f"{test['nodeid']} ({number})"] = _Test(
            nodeid=test["nodeid"],
            outcome=test["outcome"],
            kind=kind_in(test, names),
            duration=test["duration_s"],
            metrics={metric["name"]: metric for metric in test["metrics"]},
            disturbed=is_disturbed(test.get("resources") or {}),
        )
    return tests


def _pairs(name: str, old: _Test | None, new: _Test, rtol: float) -> Iterator[Pair]:
    before = {} if old is None else old.metrics
    for key, metric in new.metrics.items():
        was = before.get(key)
        if old is None or was is None:
            yield _judged(name, new, metric, None, rtol)
        else:
            yield _beside(name, old, was, new, metric, rtol)
    for key, was in before.items():
        if key not in new.metrics:
            yield _gone(name, new, key, _value(was), was["unit"])


def _beside(name: str, old: _Test, was: Mapping[str, Any], new: _Test, metric: Mapping[str, Any], rtol: float) -> Pair:
    if was["value"] is None or is_lost(was):
        lost = "the device was lost in A" if is_lost(was) else ""
        return replace(_judged(name, new, metric, None, rtol), old=_value(was), note=lost)
    if was["unit"] and metric["unit"] and was["unit"] != metric["unit"]:
        return replace(_judged(name, new, metric, None, rtol), old=was["value"], note=f"A has it in {was['unit']}")
    disturbed = old.disturbed or was["verdict"] == "contended"
    pair = _judged(name, new, metric, _entry(name, was, old.kind or ""), rtol, disturbed=disturbed)
    if None not in (old.kind, new.kind) and old.kind != new.kind:
        return replace(pair, note=f"other device: {old.kind} → {new.kind}")
    return pair


def _judged_by(baseline: Baseline, name: str, test: _Test, rtol: float) -> Iterator[Pair]:
    for key, metric in test.metrics.items():
        entry = None if test.kind is None else baseline.get(test.nodeid, key, test.kind)
        pair = _judged(name, test, metric, entry, rtol)
        others = () if entry is not None else baseline.kinds(test.nodeid, key)
        lost = "its device is not known, " if test.kind is None else ""
        yield replace(pair, note=f"{lost}there is one for {', '.join(others)}") if others else pair


def _gone_from(baseline: Baseline, after: Mapping[str, _Test]) -> Iterator[Pair]:
    told = set()
    for entry in baseline.entries:
        test, key = after.get(entry.test), (entry.test, entry.metric)
        if test is None or entry.metric in test.metrics or key in told:
            continue
        # Of a test that did not run nobody knows on which kind of device it would have.
        if test.outcome == "not-run" or test.kind is None or _is_for(entry, test.kind):
            told.add(key)
            yield _gone(entry.test, test, entry.metric, entry.value, entry.unit)


def _is_for(entry: Entry, kind: str) -> bool:
    return entry.device == kind or (is_cpu(entry.device) and is_cpu(kind))


def _judged(
    name: str, test: _Test, metric: Mapping[str, Any], entry: Entry | None, rtol: float, *, disturbed: bool = False
) -> Pair:
    judgement = verdicts.judge(from_record(metric), entry, rtol=rtol, seed=f"{name} {metric['name']}")
    lost = is_lost(metric)
    disturbed = disturbed or test.disturbed or metric["verdict"] == "contended"
    verdict = verdicts.adjusted(judgement.verdict, metric["unit"], disturbed=disturbed, lost=lost)
    return Pair(
        test=name,
        metric=metric["name"],
        unit=metric["unit"],
        old=judgement.baseline,
        new=_value(metric),
        verdict=verdict or judgement.verdict,
        n=metric["n"],
        change=judgement.change,
        allowed=judgement.allowed,
        detectable=judgement.detectable,
        p_value=judgement.p_value,
        note="the device was lost" if lost else judgement.note or "",
    )


def _gone(name: str, test: _Test, metric: str, value: Value, unit: str) -> Pair:
    note = "" if test.outcome in GOOD else f"the test is {test.outcome}"
    return Pair(test=name, metric=metric, unit=unit, old=value, new=None, verdict=GONE, note=note)


def _entry(test: str, record: Mapping[str, Any], kind: str) -> Entry:
    rules = {key: record[key] for key in ("value", "n", "unit", "higher_is_better", "atol", "rtol")}
    return Entry(test=test, metric=record["name"], device=kind, samples=_samples(record), **rules)


def _samples(record: Mapping[str, Any]) -> tuple[float, ...] | None:
    samples = record.get("samples")
    return None if samples is None else tuple(map(float, samples))


def _value(record: Mapping[str, Any]) -> Value:
    value: Value = record.get("non_finite", record["value"])
    return value


def _makespan(report: Report) -> float | None:
    seconds: float | None = report["summary"]["makespan_s"]
    return seconds


def _worst_first(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    def key(pair: Pair) -> tuple[int, float]:
        # A change from 0 has no size that could be compared.
        size = float("inf") if pair.change is None else abs(pair.change)
        return CONCERNS.index(pair.verdict), -size

    return tuple(sorted(pairs, key=key))


def _changed(tests: Iterable[tuple[str, _Test, _Test]]) -> tuple[OutcomeChange, ...]:
    changed = [OutcomeChange(test=name, old=old.outcome, new=new.outcome) for name, old, new in tests]
    return tuple(sorted((one for one in changed if one.old != one.new), key=lambda one: not one.is_worse))


def _durations(times: Iterable[tuple[str, float | None, float | None]]) -> tuple[Duration, ...]:
    known = [Duration(test=name, old=old, new=new) for name, old, new in times if old is not None and new is not None]
    return tuple(sorted(known, key=lambda one: -(float("inf") if one.change is None else one.change)))
