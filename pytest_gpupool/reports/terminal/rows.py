"""Rows: one for each metric, with what it is compared with and where it was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...metrics.wording import (
    baseline_text,
    change_text,
    cohort_text,
    interval_text,
    limits,
    others_text,
    spread_text,
    value_text,
)
from ...records.folding.result import TestResult
from ...values import verdicts
from ...values.nodeids import name_of
from ...values.texts import cut, cut_middle, one_line

MOST_ROWS = 20
"""Rows of metrics that are shown without ``-v``."""

WIDEST = 80
"""Characters of a test's or a metric's name that are shown."""

_WIDEST_CELL = 200  # of numbers with what is said of them, whose units and notes may be of any length

_WORDS = {"no-baseline": "without baseline"}
MARKS: Mapping[str | None, str] = {
    verdict: _WORDS.get(verdict, verdict) for verdict in verdicts.WORST_FIRST if verdict != "ok"
}
"""The verdicts that are marked, in what words, the worst first."""

Pair = tuple[TestResult, Mapping[str, Any]]
"""A test, and a metric of it."""


class Row(NamedTuple):
    """One metric as the table shows it; ``place`` is the device, where it is a GPU, and the worker."""

    test: str
    metric: str
    value: str
    baseline: str
    mark: str
    place: str
    bad: bool


def name_text(name: str) -> str:
    """Return a name of which, where it is long, the middle is left out: both ends differ from other names."""
    return cut_middle(one_line(name), WIDEST)


def attempts_text(attempt: int) -> str:
    """Return how many attempts there were, nothing where it was one."""
    return f"{attempt} attempts" if attempt > 1 else ""


def is_bad(pair: Pair) -> bool:
    """Return whether a metric needs a look."""
    return pair[1]["verdict"] in verdicts.BAD


def lines(pairs: Sequence[Pair], names: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """Yield a line for each metric, and whether it needs a look; ``names`` are what GPUs are called, by id."""
    return _aligned(_shortened([_row(test, metric, names) for test, metric in pairs]))


def _shortened(rows: Sequence[Row]) -> list[Row]:
    """Return rows with the tests' names after the file, where no other test has the same."""
    numbers = Counter(map(name_of, {row.test for row in rows}))
    return [
        row._replace(test=name_text(row.test if numbers[name_of(row.test)] > 1 else name_of(row.test))) for row in rows
    ]


def _aligned(rows: Sequence[Row]) -> Iterator[tuple[str, bool]]:
    columns = ("test", "metric", "value", "baseline", "mark")
    width = {column: max((len(getattr(row, column)) for row in rows), default=0) for column in columns}
    for row in rows:
        cells = [
            f"{row.test:<{width['test']}}",
            f"{row.metric:<{width['metric']}}",
            f"{row.value:>{width['value']}}",
            f"{row.baseline:<{width['baseline']}}",
            f"{row.mark:<{width['mark']}}",
            row.place,
        ]
        yield "  ".join(cell for cell in cells if cell).rstrip(), row.bad


def _row(test: TestResult, metric: Mapping[str, Any], names: Mapping[str, str]) -> Row:
    verdict = metric["verdict"]
    devices = [name for name in dict.fromkeys(names.get(device, "") for device in test.devices) if name]
    return Row(
        test=test.nodeid,
        metric=name_text(metric["name"]),
        value=_cell(f"{value_text(metric)} {spread_text(metric)}".rstrip(), WIDEST),
        baseline=_cell(_why(metric, test.kind) if verdict == "no-baseline" else _comparison(metric), _WIDEST_CELL),
        mark=MARKS.get(verdict, "").upper(),
        place=_cell(" ".join([*devices, test.worker or "", attempts_text(test.attempt)]), WIDEST),
        bad=is_bad((test, metric)),
    )


def _why(metric: Mapping[str, Any], kind: str | None) -> str:
    """Return why a metric has no baseline, as far as that is known."""
    if why := metric.get("note"):
        return f"no baseline for this device: {why}"
    there = others_text(metric.get("others", ()), kind)
    return f"no baseline for this device, {there}" if there else ""


def _comparison(metric: Mapping[str, Any]) -> str:
    """Return ``baseline 0.913 of 5 runs  -3.2 points (-4 to -2.4 points)  (allowed 0.9 points; p 0.001; n 1319)``."""
    if metric.get("baseline") is None:
        return metric.get("note") or ""
    baseline = " ".join(filter(None, ["baseline", baseline_text(metric), cohort_text(metric)]))
    change = " ".join(filter(None, [change_text(metric), interval_text(metric)]))
    bounds = "; ".join(limits(metric))
    return "  ".join(filter(None, [baseline, change, f"({bounds})" if bounds else ""]))


def _cell(text: str, most: int) -> str:
    return cut(one_line(text), most)
