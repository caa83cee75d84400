"""The words of reports: what those that people read say in the same way."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..matrices.common import in_common
from ..matrices.table import Cell, Table
from ..metrics.wording import amount_text, is_scaled, value_text
from ..records.folding.result import TestResult
from ..values import outcomes, verdicts
from ..values.device import Device
from ..values.texts import cut, cut_middle, duration_text, size_text
from ..values.wide_fixture import split_key

NONE = "–"
"""Stands where there is no value."""

NEEDS_NO_LOOK = len(outcomes.BAD) + 1
"""The rank of a test that needs no look."""

_MUCH = 0.05  # of all the time of devices; of a fixture that took less nobody gains by knowing
_LEAST = 0.1  # seconds
_WIDEST = 40
_MOST_PARAMS = 12
_MOST_CAUSES = 10
_MOST_ALIKE = 3
_WIDEST_AGGREGATE = 100
_JUDGED = frozenset({"ok", "improved", "regressed"})


def worst_first(tests: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the tests in the order in which they need a look, otherwise as they were."""
    return sorted(tests, key=rank)


def counts(report: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return how many tests had each outcome, the worst first, without those that none had."""
    numbers = report["summary"]
    return [(outcome, numbers[outcome]) for outcome in outcomes.WORST_FIRST if numbers[outcome]]


def completeness(report: Mapping[str, Any]) -> str:
    """Return the sentence that says whether every test has a result."""
    run = report["run"]
    if not run["collected"]:
        return "No tests were collected."
    if run["complete"]:
        return f"Complete: {counted(run['collected'], 'collected test')}, each with a result."
    left = run["collected"] - run["finished"]
    if not left:
        return "INCOMPLETE: something could not be collected."
    return f"INCOMPLETE: {left} of {counted(run['collected'], 'collected test')} without a result."


def exit_text(run: Mapping[str, Any]) -> str:
    """Return the run's exit status, or why there is none."""
    return "unknown (the run was killed, or goes on)" if run["exit_status"] is None else str(run["exit_status"])


def earlier_run(test: Mapping[str, Any], report: Mapping[str, Any]) -> str | None:
    """Return the id of the run that a test's result was kept from, None where it is of this one."""
    run: str | None = test.get("run")
    return run if run and run != report["run"]["id"] else None


def kept_text(report: Mapping[str, Any]) -> str:
    """Return the sentence on results that were kept from earlier runs, nothing where there is none."""
    runs = Counter(run for test in report["tests"] if (run := earlier_run(test, report)) is not None)
    if not runs:
        return ""
    return f"{counted(runs.total(), 'result')} kept from earlier runs: {', '.join(sorted(runs))}."


def shard_text(report: Mapping[str, Any]) -> str:
    """Return the sentence that says which part of the tests a run had, nothing where it had all of them."""
    shard = report["run"].get("shard")
    return "" if shard is None else f"Shard {part_text(shard, report['run']['collected'])}."


def part_text(shard: Mapping[str, Any], own: int) -> str:
    """Return ``2 of 4: 31 of 120 tests`` for a shard with so many tests of its ``own``."""
    return f"{shard['index']} of {shard['count']}: {own} of {counted(shard['tests'], 'test')}"


def labels(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what people call the devices, by id; where there are several hosts, with that of each."""
    fields, devices = ("id", "kind", "index", "name"), report["devices"]
    named = {device["id"]: Device(**{key: device[key] for key in fields}).label for device in devices}
    hosts = {device["id"]: device["host"] for device in devices if device.get("host")}
    if len(set(hosts.values())) < 2:
        return named
    return {device: f"{hosts[device]}: {label}" if device in hosts else label for device, label in named.items()}


def placement_texts(report: Mapping[str, Any]) -> list[str]:
    """Return sentences on devices on which metrics differ from those on others."""
    from ..trends import placement  # the terminal has no use for it

    names = labels(report)
    return placement.sentences([placement.from_report(one) for one in report.get("placement", ())], names)


def headline(message: str, most: int = 120) -> str:
    """Return the line of a message that says most: pytest's first with an ``E``, else the first."""
    lines = [line for line in message.splitlines() if line.strip()]
    told = next((line[1:] for line in lines if re.match(r"E\s+\S", line)), lines[0] if lines else "")
    return cut(told.strip(), most)


def seconds_text(seconds: float | None) -> str:
    """Return ``1.50 s``, ``12 min``, or a dash where it is not known."""
    if seconds is None:
        return "–"
    return f"{seconds:.2f} s" if seconds < 120 else duration_text(seconds)


def use_text(summary: Mapping[str, Any]) -> str:
    """Return the sentence on makespan, speedup and efficiency, nothing where no test ran."""
    if summary["makespan_s"] is None:
        return ""
    text = f"Makespan {seconds_text(summary['makespan_s'])}"
    if summary["speedup"] is not None and summary["efficiency"] is not None:
        text += f", speedup {summary['speedup']:.2f}, efficiency {summary['efficiency']:.0%}"
    return f"{text}."


def means(table: Table, *, sd: bool = False) -> Iterator[list[str]]:
    """Yield the cells of each row of a table of means; where they are over different numbers of results, with those.

    With ``sd`` the standard deviation follows, where there is one: ``0.97 ± 0.01``.
    """
    unit, (least, most) = table.unit, table.counts
    if unit is not None and is_scaled((cell.mean for row in table.cells for cell in row if cell is not None), unit):
        unit = None
    for row in table.cells:
        yield [
            NONE
            if cell is None
            else _mean_text(cell, cell.unit if unit is None else "", sd=sd)
            + (f" ({cell.count})" if least < most else "")
            for cell in row
        ]


def _mean_text(cell: Cell, unit: str, *, sd: bool) -> str:
    if not sd or cell.sd is None:
        return value_text({"value": cell.mean, "unit": unit})
    return f"{value_text({'value': cell.mean, 'unit': unit})} ± {amount_text(cell.sd, unit, 2)}"


def rank(test: Mapping[str, Any]) -> int:
    """Return how much a test needs a look, 0 the most."""
    if test["outcome"] in outcomes.BAD:
        return outcomes.BAD.index(test["outcome"])
    return NEEDS_NO_LOOK - any(metric["verdict"] in verdicts.BAD for metric in test["metrics"])


def metric_order(metric: Mapping[str, Any], outcome: str) -> tuple[int, bool, float]:
    """Return a metric's place among others: by verdict, then those of tests that failed, then what has changed most."""
    change = metric.get("change")
    # Without a relative change the baseline was 0, or there is none: more than any, or nothing to compare.
    far = 0.0 if metric.get("baseline") is None else math.inf if change is None else abs(change)
    return verdicts.rank(metric["verdict"]), outcome in outcomes.GOOD, -far


def shared_texts(tests: Iterable[tuple[Mapping[str, Any], str, Iterable[Mapping[str, Any]]]]) -> list[str]:
    """Return what failures share: ``8 of 24 metrics regressed, all of accuracy with model=medium``; of one, nothing.

    ``tests`` are parameters, outcome and metrics of each.
    """
    tests = [(params, outcome, list(metrics)) for params, outcome, metrics in tests]
    failed = [params for params, outcome, _ in tests if outcome in outcomes.FAILED]
    # A test whose metric regressed is failed by that: it is told of the metric.
    judged = [(params, metric) for params, _, metrics in tests for metric in metrics if metric["verdict"] in _JUDGED]
    worse = [(params, metric) for params, metric in judged if metric["verdict"] == "regressed"]
    texts = []
    if len(worse) > 1:
        ids = {id(metric) for _, metric in worse}
        others = [(params, metric) for params, metric in judged if id(metric) not in ids]
        names = {metric["name"] for _, metric in worse}
        is_one = len(names) == 1 and any(metric["name"] not in names for _, metric in others)
        of = f" of {next(iter(names))}" if is_one else ""
        alike = _with([params for params, _ in worse], [params for params, _ in others])
        if of or alike:
            texts.append(f"{len(worse)} of {len(judged)} metrics regressed, all{of}{alike}")
    rest = [params for params, outcome, _ in tests if outcome not in outcomes.FAILED]
    if len(failed) > max(1, len(worse)) and (alike := _with(failed, rest)):
        texts.append(f"{len(failed)} of {len(tests)} tests failed, all{alike}")
    return texts


def firsts(report: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of a report first: which aggregates failed, and what failures share."""
    aggregates = report.get("aggregates", ())
    failed = [one for one in aggregates if one["outcome"] == "failed"]
    names = ", ".join(cut_middle(f"{one['name']} of {one['id']}", _WIDEST_AGGREGATE) for one in failed[:_MOST_ALIKE])
    more = f" and {len(failed) - _MOST_ALIKE} more" if len(failed) > _MOST_ALIKE else ""
    told = [f"{len(failed)} of {counted(len(aggregates), 'aggregate')} failed: {names}{more}"] if failed else []
    tests = [(test["params"], test["outcome"], test["metrics"]) for test in report["tests"]]
    return [*told, *shared_texts([*tests, *((one["group"], "passed", [one]) for one in aggregates)])]


def _with(some: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> str:
    alike = in_common(some, others)[:_MOST_ALIKE]
    return f" with {', '.join(f'{name}={cut_middle(text, _WIDEST)}' for name, text in alike)}" if alike else ""


def worst_groups(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the aggregates of a report in the order in which they need a look, otherwise as they were."""
    return sorted(report.get("aggregates", ()), key=lambda one: (not needs_a_look(one), verdicts.rank(one["verdict"])))


def needs_a_look(aggregate: Mapping[str, Any]) -> bool:
    """Return whether an aggregate of a report has failed, could not be judged, or has a bad verdict."""
    return aggregate["outcome"] != "passed" or aggregate["verdict"] in verdicts.BAD


def group_word(aggregate: Mapping[str, Any]) -> str:
    """Return the word on what became of an aggregate: its verdict, or that there is none."""
    return "not judged" if aggregate["outcome"] == "incomplete" else aggregate["verdict"] or ""


def counted(number: int, what: str) -> str:
    """Return ``1 test``, ``2 tests``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def verb(number: int, singular: str, plural: str) -> str:
    """Return which of the two forms goes with so many: ``1 test that needs``, ``1 of 3 tests has``."""
    return singular if number == 1 else plural


def shared_cores(report: Mapping[str, Any], workers: int) -> int | None:
    """Return how many cores so many workers of a run shared, None where they had GPUs, or a core each.

    Their tests take longer the more there are, so that their speedup says nothing.
    """
    cores = ((report.get("run") or {}).get("host") or {}).get("cpu_count")
    on_cpu = all(device.get("kind") == "cpu" for device in report.get("devices", ()))
    return cores if on_cpu and cores is not None and workers > cores else None


def set_up_texts(fixtures: Sequence[Mapping[str, Any]], busy: float) -> Iterator[str]:
    """Yield a sentence for each fixture that took much of the devices' time, which tests had for ``busy`` seconds.

    ``fixtures`` are as a report has them.
    """
    total = busy + sum(map(_seconds, fixtures))
    by_fixture: dict[str, list[Mapping[str, Any]]] = {}
    for entry in fixtures:
        by_fixture.setdefault(split_key(entry["fixture"])[0], []).append(entry)
    for name, entries in by_fixture.items():
        seconds, built = sum(map(_seconds, entries)), sum(entry["built"] for entry in entries)
        if seconds >= max(_LEAST, _MUCH * total):
            times = f"{seconds_text(seconds)} of {seconds_text(total)}"
            each = _by_params(entries)
            yield f"{_short(name)} was built {counted(built, 'time')} ({times}){f': {each}' if each else ''}"


def _by_params(entries: Sequence[Mapping[str, Any]]) -> str:
    told = [
        f"{cut_middle(params, _WIDEST)} ×{entry['built']}"
        for entry in sorted(entries, key=lambda entry: str(entry["fixture"]))
        if (params := split_key(entry["fixture"])[1])
    ]
    more = f", … {len(told) - _MOST_PARAMS} more" if len(told) > _MOST_PARAMS else ""
    return f"{', '.join(told[:_MOST_PARAMS])}{more}"


def _short(name: str) -> str:
    return cut_middle(name, 2 * _WIDEST)


def _seconds(entry: Mapping[str, Any]) -> float:
    return float(entry["setup_s"] + entry["teardown_s"])


def cause_texts(tests: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each test of a report that has a cause, those that need a look first."""
    told = (test for test in tests if test.get("cause") is not None or test.get("attempts"))
    yield from _some_causes((test["nodeid"], _tries(test), test.get("declared_memory_bytes")) for test in told)


def cause_texts_of(tests: Iterable[TestResult]) -> Iterator[str]:
    """Yield the same for results."""
    told = (test for test in tests if test.cause is not None or test.before)
    yield from _some_causes((test.nodeid, [*test.before, test.to_attempt()], test.declared) for test in told)


def cause_text(test: Mapping[str, Any]) -> str:
    """Return that of one test of a report, without its name; nothing where it has no cause."""
    return _cause_words(_tries(test), test.get("declared_memory_bytes"))


def attempt_texts(test: Mapping[str, Any]) -> list[str]:
    """Return what became of each attempt at a test, where there was more than one."""
    return [_attempt_text(attempt) for attempt in test.get("attempts", ())]


def _attempt_text(attempt: Mapping[str, Any]) -> str:
    cause = f" ({attempt['cause']})" if attempt["cause"] else ""
    is_good = attempt["outcome"] in outcomes.GOOD
    word = "measured again" if attempt.get("confirms") and is_good else attempt["outcome"]
    metrics = attempt.get("metrics", ())
    values = ", ".join(f"{metric['name']} {value_text(metric)}" for metric in metrics[:_MOST_ALIKE])
    more = f" and {len(metrics) - _MOST_ALIKE} more" if len(metrics) > _MOST_ALIKE else ""
    told = f" ({values}{more})" if values else ""
    return f"{attempt['attempt']}: {word}{cause} in {attempt['worker'] or NONE}{told}"


def _some_causes(tests: Iterable[tuple[str, Sequence[Mapping[str, Any]], int | None]]) -> Iterator[str]:
    told = [
        (attempts[-1]["outcome"] not in outcomes.BAD, f"{nodeid} {words}")
        for nodeid, attempts, declared in tests
        if (words := _cause_words(attempts, declared))
    ]
    yield from (text for _, text in sorted(told, key=lambda one: one[0])[:_MOST_CAUSES])
    if len(told) > _MOST_CAUSES:
        more = len(told) - _MOST_CAUSES
        yield f"… and {more} more {verb(more, 'test', 'tests')} that ran out of memory or whose device failed"


def _tries(test: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    resources = test.get("resources") or {}
    peak = resources.get("peak_memory_bytes")
    alone = {
        **test,
        "peak_memory_bytes": resources.get("torch_peak_memory_bytes") if peak is None else peak,
        "rss_peak_bytes": resources.get("rss_peak_bytes"),
    }
    return test.get("attempts") or [alone]


def _cause_words(attempts: Sequence[Mapping[str, Any]], declared: int | None) -> str:
    """Return ``ran out of memory in gw0 (peak 61.2 GiB, 8.0 GiB declared); tried again in gw3: passed``."""
    failed = [attempt for attempt in attempts if attempt.get("cause")]
    if not failed:
        return ""
    cause = failed[0]["cause"]
    where = " and ".join(dict.fromkeys(attempt["worker"] or NONE for attempt in failed if attempt["cause"] == cause))
    text = _CAUSES[cause].format(where=where, what=_memory(failed, declared) if cause == outcomes.OUT_OF_MEMORY else "")
    last = attempts[-1]
    if last in failed:
        return f"{text}: {last['outcome']}"
    return f"{text}; tried again in {last['worker'] or NONE}: {last['outcome']}"


_CAUSES = {
    outcomes.OUT_OF_MEMORY: "ran out of memory in {where} ({what})",
    outcomes.MACHINE: "lost its device in {where}",
}


def _memory(attempts: Sequence[Mapping[str, Any]], declared: int | None) -> str:
    peak = "its peak is not known"
    # Who was ended by the kernel had too much of the host's memory.
    host = all(attempt["outcome"] == "crashed" for attempt in attempts)
    key, whose = ("rss_peak_bytes", " of the host's memory") if host else ("peak_memory_bytes", "")
    if peaks := [attempt[key] for attempt in attempts if attempt.get(key) is not None]:
        peak = f"peak {size_text(max(peaks))}{whose}"
    return f"{peak}, {'nothing' if declared is None else size_text(declared)} declared"
