"""Comparing: a report beside an older one, or beside a baseline, by the rules of verdicts.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..metrics.groups import as_tests
from ..metrics.metric import Metric, from_record
from ..values.outcomes import GOOD, WHOLE
from ..values.verdicts import GONE, is_disturbed, is_lost
from .baselines.baseline import Baseline, Entry, is_cpu, kind_in
from .case import Decision, Evidence
from .chance.intervals import Z
from .chance.statistics import spread_of
from .comparison import CONCERNS, Comparison, Duration, OutcomeChange, Pair, Value
from .decide import Policy, decide
from .of_run import several

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """A test of a report; ``kind`` is the kind of device that it ran on, None where that is not known."""

    nodeid: str
    params: Mapping[str, Any]
    outcome: str
    kind: str | None
    duration: float | None
    metrics: Mapping[str, Mapping[str, Any]]
    attempts: Mapping[str, tuple[Metric, ...]]
    disturbed: bool

    @property
    def took(self) -> float | None:
        """Its duration, where it ran to its end."""
        return self.duration if self.outcome in WHOLE else None


def compare(old: Report, new: Report, policy: Policy) -> Comparison:
    """Compare two reports, as a run with a baseline that the older one was the first accepted run of.

    Tests are joined by their ids; where one is there more than once, as with ``--dist each``, by their order too.
    Values from another kind of device are compared, and it is noted; those in another unit are not.
    """
    before, after = _tests(old), _tests(new)
    both = [name for name in after if name in before]
    beside = [_beside(name, before.get(name), test, metric) for name, test in after.items() for metric in test.metrics]
    entries = Baseline(tuple(one.entry for one in beside if one.entry is not None))
    gone = [
        _gone(name, after[name], key, _value(was), was["unit"])
        for name in both
        for key, was in before[name].metrics.items()
        if key not in after[name].metrics
    ]
    return Comparison(
        metrics=_worst_first([*_decided(beside, entries, policy), *gone]),
        outcomes=_changed((name, before[name], after[name]) for name in both),
        durations=_durations((name, before[name].took, after[name].took) for name in both),
        makespan=next(iter(_durations([("", _makespan(old), _makespan(new))])), None),
        gone=tuple(name for name in before if name not in after),
        new=tuple(name for name in after if name not in before),
        params={name: test.params for name, test in after.items()},
    )


def compare_with(baseline: Baseline, new: Report, policy: Policy) -> Comparison:
    """Compare a report with a baseline: like with like, so that an entry for another kind of device does not count."""
    after = _tests(new)
    beside = [_with_entry(baseline, name, test, metric) for name, test in after.items() for metric in test.metrics]
    known = dict.fromkeys(entry.test for entry in baseline.entries)
    there = {test.nodeid for test in after.values()}
    return Comparison(
        metrics=_worst_first([*_decided(beside, baseline, policy), *_gone_from(baseline, after)]),
        gone=tuple(name for name in known if name not in there),
        new=tuple(name for name, test in after.items() if test.metrics and test.nodeid not in known),
        params={name: test.params for name, test in after.items()},
    )


def named(report: Report) -> Iterator[tuple[str, Report]]:
    """Yield a report's tests, and its groups as if they were tests, each with the name by which it is compared."""
    seen: Counter[str] = Counter()
    for test in (*report["tests"], *as_tests(report)):
        seen[test["nodeid"]] += 1
        number = seen[test["nodeid"]]
        yield test["nodeid"] if number == 1 else f"{test['nodeid']} ({number})", test


def half_width(metric: Mapping[str, Any]) -> float | None:
    """Return half of the 95 % interval of a value by itself, None where neither items nor their number tell it."""
    found = from_record(metric)
    if metric["value"] is None or (found.samples is None and found.kind != "proportion"):
        return None
    spread = spread_of(found.value, found.n, found.samples)
    return None if spread is None else Z * spread


def _tests(report: Report) -> dict[str, _Test]:
    names = {device["id"]: device["name"] for device in report["devices"]}
    return {
        name: _Test(
            nodeid=test["nodeid"],
            params=test.get("params") or {},
            outcome=test["outcome"],
            kind=kind_in(test, names),
            duration=test["duration_s"],
            metrics={metric["name"]: metric for metric in test["metrics"] if metric["verdict"] != GONE},
            attempts=several(test.get("attempts", ())),
            disturbed=is_disturbed(test.get("resources") or {}),
        )
        for name, test in named(report)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beside:
    """A metric of the newer report, and what it is compared with: ``entry`` where the older report gives one.

    ``note`` and ``old`` are what is told where that could not be compared.
    """

    name: str
    test: _Test
    metric: Mapping[str, Any]
    evidence: Evidence
    entry: Entry | None = None
    note: str = ""
    old: Value = None


def _decided(beside: Sequence[_Beside], baseline: Baseline, policy: Policy) -> Iterator[Pair]:
    decisions = decide([one.evidence for one in beside], baseline, policy)
    for one, decision in zip(beside, decisions, strict=True):
        yield _pair(one, decision)


def _evidence(
    name: str, test: _Test, metric: Mapping[str, Any], device: str | None, *, disturbed: bool = False
) -> Evidence:
    disturbed = disturbed or test.disturbed or metric["verdict"] == "contended"
    found, lost = from_record(metric), is_lost(metric)
    attempts = test.attempts.get(found.name, ())
    return Evidence(test=name, metric=found, device=device, attempts=attempts, disturbed=disturbed, lost=lost)


def _beside(name: str, old: _Test | None, new: _Test, key: str) -> _Beside:
    metric, was = new.metrics[key], None if old is None else old.metrics.get(key)
    device, disturbed, entry = new.kind or "", False, None
    note, value = "", None
    if old is None or was is None:
        pass
    elif was["value"] is None or is_lost(was):
        note, value = "the device was lost in A" if is_lost(was) else "", _value(was)
    elif was["unit"] and metric["unit"] and was["unit"] != metric["unit"]:
        note, value = f"A has it in {was['unit']}", was["value"]
    else:
        disturbed, entry = old.disturbed or was["verdict"] == "contended", _entry(name, was, device)
        is_other = None not in (old.kind, new.kind) and old.kind != new.kind
        note = f"other device: {old.kind} → {new.kind}" if is_other else ""
    evidence = _evidence(name, new, metric, device, disturbed=disturbed)
    return _Beside(name=name, test=new, metric=metric, evidence=evidence, entry=entry, note=note, old=value)


def _with_entry(baseline: Baseline, name: str, test: _Test, key: str) -> _Beside:
    metric = test.metrics[key]
    there = test.kind is not None and baseline.get(test.nodeid, key, test.kind) is not None
    others = () if there else baseline.kinds(test.nodeid, key)
    lost = "its device is not known, " if test.kind is None else ""
    note = f"{lost}there is one for {', '.join(others)}" if others else ""
    evidence = _evidence(test.nodeid, test, metric, test.kind)
    return _Beside(name=name, test=test, metric=metric, evidence=evidence, note=note)


def _pair(one: _Beside, decision: Decision) -> Pair:
    is_told = one.entry is not None or decision.verdict == "no-baseline"  # else it was compared with another kind's
    note = "the device was lost" if one.evidence.lost else (one.note if is_told else "") or decision.note or ""
    return Pair(
        test=one.name,
        metric=one.metric["name"],
        unit=one.metric["unit"],
        old=decision.baseline if one.old is None else one.old,
        new=_value(one.metric),
        verdict=decision.verdict,
        kind=one.evidence.metric.kind,
        n=one.metric["n"],
        change=decision.change,
        interval=decision.interval,
        allowed=decision.allowed,
        atol=one.metric.get("atol"),
        detectable=decision.detectable,
        detectable_alone=decision.detectable_alone,
        higher_is_better=decision.higher_is_better,
        p_value=decision.p,
        cohort=decision.cohort,
        note=note,
    )


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


def _gone(name: str, test: _Test, metric: str, value: Value, unit: str) -> Pair:
    note = "" if test.outcome in GOOD else f"the test is {test.outcome}"
    return Pair(test=name, metric=metric, unit=unit, old=value, new=None, verdict=GONE, note=note)


def _entry(test: str, record: Mapping[str, Any], kind: str) -> Entry:
    rules = {key: record[key] for key in ("value", "n", "unit", "higher_is_better", "atol", "rtol")}
    items = record.get("items")
    return Entry(
        test=test,
        metric=record["name"],
        device=kind,
        samples=_samples(record),
        items=None if items is None else tuple(items),
        **rules,
    )


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
