"""The verdicts of a run: from the results of its tests to what the decision changes in them.

A run that ends asks here, and ``gpupool report`` of one that was killed.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..metrics import groups
from ..metrics.groups import Group
from ..metrics.metric import Metric, from_record
from ..records.folding.result import TestResult, that_count
from ..records.folding.results import Results
from ..values.nodeids import file_of, is_within, place_of
from ..values.outcomes import GOOD
from ..values.verdicts import DISTURBED, GONE, INVALID, is_lost
from .baselines.baseline import Baseline, Entry
from .case import DECIDED, Decision, Evidence
from .decide import Policy, decide
from .narrowing import is_narrowed
from .verdict import sentence

Record = Mapping[str, Any]

Filled = Callable[[Record], Record]
"""Gives the record of a metric with its values per item, which lie elsewhere, see :meth:`Items.filled`."""


def _as_it_is(metric: Record) -> Record:
    return metric


STRICT = "[XPASS(strict)]"
"""How the message begins of a test that pytest fails since it was expected to fail, strictly, and did not."""


def decided(
    results: Results,
    baseline: Baseline,
    policy: Policy,
    fail_on: Collection[str],
    paths: Sequence[str] | None = None,
    filled: Filled = _as_it_is,
) -> Iterator[tuple[TestResult | Group, dict[str, Any]]]:
    """Yield each test with metrics, and each group of an aggregate, with a record of what is decided of it.

    So are tests of which the baseline has metrics that are gone, those included that were not collected, where the run
    is complete and its ``paths``, see :func:`scope.paths`, have had room for them.

    A test that ended well fails by a verdict in ``fail_on``; one that was expected to fail has done so. The line of
    such a verdict goes with the message of a test that has failed anyway. The record of a test is one of kind
    ``decided``, that of a group ``aggregated``.
    """
    compared = [(test, [*missing(test, baseline)]) for test in results.tests]
    tests = [(test, gone) for test, gone in compared if test.metrics or gone]
    all_groups = groups.of_run(results)
    evidence = [evidence_of(test, filled) for test, _ in tests]
    whole = [_evidence(group, group.metric) for group in all_groups if group.metric is not None and group.is_judged]
    decisions = iter(decide([*(one for of_test in evidence for one in of_test), *whole], baseline, policy))
    for (test, gone), of_test in zip(tests, evidence, strict=True):
        yield test, _record(test, {one.metric.name: next(decisions) for one in of_test}, gone, fail_on)
    for group in all_groups:
        yield group, _group_record(group, next(decisions) if group.is_judged else None, fail_on)
    if results.is_complete and paths is not None:
        there = {*(test.nodeid for test in results.tests), *(group.id for group in all_groups)}
        # What one shard has left out another one may have run.
        yield from _removed(there, results.deselected - there, baseline, paths, fail_on)


def gated(results: Results, fail_on: Collection[str]) -> Iterator[tuple[Group, dict[str, Any]]]:
    """Yield the same of groups where there is no baseline: their floors and ceilings alone decide."""
    for group in groups.of_run(results):
        yield group, _group_record(group, None, fail_on)


def missing(test: TestResult, baseline: Baseline) -> Iterator[dict[str, Any]]:
    """Yield, as results have them, the metrics that the baseline has of a test that ran, and the test has not."""
    if test.kind is None or not test.finished:
        return
    for name in baseline.metrics(test.nodeid, test.kind):
        entry = baseline.get(test.nodeid, name, test.kind)
        if name not in test.metrics and entry is not None:
            note = "it was not recorded" if test.outcome in GOOD else f"the test is {test.outcome}"
            yield _gone(entry, note)


def _gone(entry: Entry, note: str) -> dict[str, Any]:
    rules = {"higher_is_better": entry.higher_is_better, "n": None, "atol": entry.atol, "rtol": entry.rtol}
    decided = {"baseline": entry.value, "change": None, "interval": None, "p": None, "cohort": len(entry.runs)}
    about = {"name": entry.metric, "value": None, "kind": None, "unit": entry.unit}
    return about | rules | decided | {"note": note, "verdict": GONE}


def _removed(
    there: Collection[str],
    deselected: Collection[str],
    baseline: Baseline,
    paths: Sequence[str],
    fail_on: Collection[str],
) -> Iterator[tuple[TestResult, dict[str, Any]]]:
    """Yield the tests of the baseline that a run of these paths would have, and has not; ``there`` are those it has.

    None where it has no test of the baseline at all: then that is of something else, see :func:`mismatch`. Nor one
    that was ``deselected``, or a group of tests of which one was.
    """
    known: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in baseline.entries:
        known[entry.test].setdefault(entry.metric, entry)
    if not any(name in there for name in known):
        return
    for name, metrics in known.items():
        file = file_of(name)
        if name in there or name in deselected:
            continue
        if (place := place_of(name)) != name and any(is_within(one, place) for one in deselected):
            continue
        if any(path in ("", file) or file.startswith(f"{path}/") for path in paths):
            test = TestResult(nodeid=name, outcome="skipped", message=_NOT_THERE)
            record = _record(test, {}, [_gone(entry, _NOT_THERE) for entry in metrics.values()], fail_on)
            yield test, {"outcome": test.outcome, "message": test.message} | record


_NOT_THERE = "the test is not in this run"


def mismatch(tests: Sequence[TestResult], baseline: Baseline, command: str) -> str | None:
    """Return why a baseline is not one of these tests, None where some metric was compared, or all may be new.

    Such a run is no success, whatever its tests say: nothing was looked at. ``command`` is its command line.
    """
    metrics = [metric for test in tests for metric in test.metrics.values() if metric["verdict"] != GONE]
    compared = [one for one in metrics if one["verdict"] != "no-baseline" or one.get("note")]
    if not baseline.entries or not metrics or compared:
        return None
    here = sorted({test.kind or "an unknown device" for test in tests if test.metrics})
    if there := sorted({name for metric in metrics for name in metric.get("others", ())}):
        return f"its entries are for {', '.join(there)}, and this run was on {', '.join(here)}"
    known, ran = {entry.test for entry in baseline.entries}, [test.nodeid for test in tests if test.metrics]
    for test in ran:
        same = next((one for one in known if one.endswith(f"/{test}") or test.endswith(f"/{one}")), None)
        if same is not None:
            return f"it has {same}, which is {test} here: run pytest with the rootdir that it was made with"
    files = set() if is_narrowed(command) else {file_of(one) for one in known}
    renamed = next((test for test in ran if file_of(test) in files), None)
    # Tests of other files may be new.
    return None if renamed is None else f"its tests of {file_of(renamed)} have other ids, and none is {renamed}"


def _evidence(group: Group, metric: Metric) -> Evidence:
    return Evidence(test=group.id, metric=metric, device=group.device, disturbed=group.disturbed, lost=group.lost)


def _group_record(group: Group, decision: Decision | None, fail_on: Collection[str]) -> dict[str, Any]:
    """Return the record of a group: what is decided, but for its floor and its ceiling, which go before that."""
    if group.metric is None or not group.is_judged:
        text = f"not judged: {group.problem}"
        return {
            "group": group.key,
            "metric": {"verdict": None, "note": text},
            "outcome": "incomplete",
            "message": text,
        }
    is_invalid = group.lost or not group.metric.is_finite
    told: dict[str, Any] = {"verdict": INVALID if is_invalid else None} if decision is None else decision.to_record()
    gate = group.gate()
    if gate and told["verdict"] not in DISTURBED:
        told["verdict"] = "regressed"
    if note := "; ".join(filter(None, [gate, group.note, told.get("note")])):
        told["note"] = note
    fails = told["verdict"] in fail_on
    metric = {**group.metric.to_record(), **told}
    message = f"{sentence(metric, kind=group.device or '')}, over {group.tests} tests" if fails else None
    return {"group": group.key, "metric": told, "outcome": "failed" if fails else "passed", "message": message}


def evidence_of(test: TestResult, filled: Filled = _as_it_is) -> list[Evidence]:
    """Return what a test has found of each of its metrics."""
    disturbed = any(one.is_disturbed for one in (test, *test.repeats))
    attempts = several(test.attempts, filled)
    return [
        Evidence(
            test=test.nodeid,
            metric=from_record(filled(metric)),
            device=test.kind,
            attempts=attempts.get(name, ()),
            disturbed=disturbed,
            lost=is_lost(metric),
        )
        for name, metric in test.metrics.items()
        if metric["verdict"] != GONE
    ]


def several(attempts: Iterable[Record], filled: Filled = _as_it_is) -> dict[str, tuple[Metric, ...]]:
    """Return what several attempts at a test, as results and reports list them, have measured of each metric.

    Those count that :func:`that_count` tells. Metrics of which there is but one are left out.
    """
    found: defaultdict[str, list[Metric]] = defaultdict(list)
    for metric in that_count(attempts):
        found[metric["name"]].append(from_record(filled(metric)))
    return {name: tuple(metrics) for name, metrics in found.items() if len(metrics) > 1}


def undecided(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an earlier run found of a test, see :meth:`TestResult.to_record`, without what it had decided."""
    metrics = [_undecided(metric) for metric in result["metrics"] if metric["verdict"] != GONE]
    found = {**result, "metrics": metrics}
    if not result.get("is_judged", False):
        return found
    outcome = "xpassed" if result["outcome"] == "xfailed" else "passed"
    return found | {"outcome": outcome, "is_judged": False, "message": None}


def _undecided(metric: Mapping[str, Any]) -> dict[str, Any]:
    verdict = INVALID if metric["verdict"] == INVALID else None
    measured = {"value": metric["single"]} if "single" in metric else {}
    return {name: value for name, value in metric.items() if name not in DECIDED} | measured | {"verdict": verdict}


def _record(
    test: TestResult, found: Mapping[str, Decision], gone: Sequence[dict[str, Any]], fail_on: Collection[str]
) -> dict[str, Any]:
    told = {name: decision.to_record() for name, decision in found.items()}
    record: dict[str, Any] = {"worker": test.worker or "", "test": test.nodeid, "metrics": told}
    if gone:
        record |= {"gone": [*gone]}
    bad = [{**test.metrics[name], **one} for name, one in told.items() if one["verdict"] in fail_on]
    if test.outcome in GOOD or test.outcome == "skipped":  # else the test says itself why it has them not
        bad += [one for one in gone if GONE in fail_on]
    return record | _outcome(test, [sentence(metric, kind=test.kind or "") for metric in bad])


def _outcome(test: TestResult, lines: Sequence[str]) -> dict[str, Any]:
    message = test.message or ""
    new = [line for line in lines if line not in message.splitlines()]
    if not new:
        return {}
    if test.outcome in GOOD or test.outcome == "skipped":  # what it had measured before that counts
        outcome = "xfailed" if test.outcome == "xpassed" else "failed"
        return {"outcome": outcome, "message": "\n".join(lines)}
    if message.startswith(STRICT):
        return {"outcome": "xfailed", "message": "\n".join(lines)}
    if test.outcome in ("failed", "error", "xfailed"):
        return {"message": "\n".join(filter(None, [message, *new]))}
    return {}
