"""Pivots: what a run has measured, a table for each test function, where a row for each metric would be too long.

A function with one metric and two parameters that vary has the values of one as rows, and those of the other as
columns. Others have a column for each metric, and a row for each test, or, where these are too many, for each value of
a parameter: the means over the others, which is said.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from shlex import quote
from typing import Any

from ...matrices.labels import key_of, labels_of
from ...matrices.pivot import pivot
from ...matrices.table import Table
from ...metrics.wording import is_scaled, value_text
from ...records.folding.result import TestResult
from ...values.errors import UsageProblem
from ...values.nodeids import function_of, name_of
from ...values.texts import cut, cut_middle, one_line
from .. import columns
from ..words import NONE, counted, means
from .rows import MOST_ROWS

MOST_LINES = 100
"""Lines of all tables; the first one is shown however long it is."""

_WIDEST_HEAD = 28
_WIDEST_LABEL = 20  # of a value of a parameter; of longer ones ids tell more
_NARROWEST = 8
_MOST_LABELS = 3  # parameters that have a column each
_GAP = 2
_LONGEST_COMMAND = 200
_VERBOSE = "-v shows all"

_Metric = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """A table as text, the first columns of which say what a row is.

    ``number`` is how many rows there would be; ``all_of_it`` says who shows what is left out.
    """

    caption: str
    labels: int = 1
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    number: int
    notes: Sequence[str] = ()
    all_of_it: str = _VERBOSE


def functions(tests: Sequence[TestResult]) -> dict[str, list[TestResult]]:
    """Return the test functions of which several tests have metrics, with these tests."""
    found: dict[str, list[TestResult]] = {}
    for test in tests:
        if test.metrics:
            found.setdefault(function_of(test.nodeid), []).append(test)
    return {function: own for function, own in found.items() if len(own) > 1}


def lines(tests: Mapping[str, Sequence[TestResult]], *, width: int, run: str | None) -> Iterator[str]:
    """Yield the tables of some functions, within ``width``; ``run`` is what the run is called on record, if it is."""
    names = Counter(map(name_of, tests))
    left, used = dict(tests), 0
    for function, own in tests.items():
        name = one_line(name_of(function) if names[name_of(function)] == 1 else function)
        table = [*_fitted(_grid(function, name, own, run), width), ""]
        if used and used + len(table) > MOST_LINES:
            break
        used += len(table)
        yield from table
        del left[function]
    if left:
        metrics = sum(len(test.metrics) for own in left.values() for test in own)
        more = f"… and {counted(metrics, 'metric')} of {counted(len(left), 'more test function')}"
        yield cut(f"{more} ({_VERBOSE}): {', '.join(one_line(name_of(one)) for one in left)}", width)


def _grid(function: str, name: str, tests: Sequence[TestResult], run: str | None) -> _Grid:
    recorded = [_as_in_a_report(test) for test in tests]
    metrics = [*dict.fromkeys(metric for test in tests for metric in test.metrics)]
    is_long = len(tests) > MOST_ROWS
    if len(metrics) == 1:
        table = _oriented(recorded, metrics[0])
        if table is not None and (is_long or (table.counts[1] <= 1 and _is_short(table))):
            return _of_two_parameters(function, name, table, run)
    if is_long and (tables := _by_one_parameter(recorded, metrics)):
        return _of_means(name, tables)
    return _of_tests(name, tests, metrics)


def _as_in_a_report(test: TestResult) -> dict[str, Any]:
    return {
        "nodeid": test.nodeid,
        "params": test.params,
        "outcome": test.outcome,
        "metrics": [*test.metrics.values()],
    }


def _oriented(tests: Sequence[Mapping[str, Any]], metric: str) -> Table | None:
    """Return a metric over the first two parameters that vary, as many rows as columns at least; None without such."""
    try:
        table = pivot(tests, metric=metric)
    except UsageProblem:  # of results in different units there is no mean
        return None
    if table.cols is None or len(table.col_labels) <= len(table.row_labels):
        return None if table.cols is None else table
    return replace(
        table,
        rows=table.cols,
        cols=table.rows,
        row_labels=table.col_labels,
        col_labels=table.row_labels,
        cells=[*zip(*table.cells, strict=True)],
    )


def _is_short(table: Table) -> bool:
    """Return whether all labels can be told apart, where there are ids that tell more."""
    return all(len(label.text) <= _WIDEST_LABEL for label in (*table.row_labels, *table.col_labels))


def _by_one_parameter(tests: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> list[Table]:
    """Return each metric by the first parameter that varies and has no more values than there may be rows, if any."""
    try:
        varying = pivot(tests, metric=metrics[0])
        for name, labels in ((varying.rows, varying.row_labels), (varying.cols, varying.col_labels)):
            if name is not None and len(labels) <= MOST_ROWS:
                return [pivot(tests, metric=metric, rows=name) for metric in metrics]
    except UsageProblem:  # another metric's tests lack it
        pass
    return []


def _of_two_parameters(function: str, name: str, table: Table, run: str | None) -> _Grid:
    assert table.rows is not None
    assert table.cols is not None
    words = ["gpupool", "matrix", run or "", "--metric", table.metric, "--rows", table.rows, "--cols", table.cols]
    command = " ".join(map(quote, [*words, "--test", f"{function}["]))
    is_told = run is not None and len(command) <= _LONGEST_COMMAND and command == one_line(command)
    return _Grid(
        caption=f"{name}: {table.caption}",
        head=[f"{table.rows} \\ {table.cols}", *(label.text for label in table.col_labels)],
        rows=[[label.text, *row] for label, row in islice(zip(table.row_labels, means(table), strict=True), MOST_ROWS)],
        number=len(table.row_labels),
        notes=table.notes,
        all_of_it=command if is_told else _VERBOSE,
    )


def _of_means(name: str, tables: Sequence[Table]) -> _Grid:
    labels = dict.fromkeys(label.text for table in tables for label in table.row_labels)
    found = [
        {label.text: cell for label, (cell,) in zip(table.row_labels, means(table), strict=True)} for table in tables
    ]
    first, *_ = tables
    _, _, over = first.caption.partition(": ")
    return _Grid(
        caption=f"{name} by {first.rows}: {over}",
        head=[first.rows or "", *(_with_unit(table.metric, table.unit) for table in tables)],
        rows=[[text, *(one.get(text, NONE) for one in found)] for text in labels],
        number=len(labels),
        notes=[*dict.fromkeys(note for table in tables for note in table.notes)],
    )


def _of_tests(name: str, tests: Sequence[TestResult], metrics: Sequence[str]) -> _Grid:
    found = {metric: [test.metrics[metric] for test in tests if metric in test.metrics] for metric in metrics}
    units = {metric: _units(found[metric]) for metric in metrics}
    heads = [_with_unit(metric, next(iter(units[metric])) if len(units[metric]) == 1 else None) for metric in metrics]
    names, labelled = _labelled(tests)
    return _Grid(
        caption=f"{name}: {counted(len(tests), 'test')}",
        labels=len(names),
        head=[*names, *heads],
        rows=[
            [*own, *(_value(test.metrics.get(metric), units[metric]) for metric in metrics)]
            for own, test in labelled[:MOST_ROWS]
        ],
        number=len(tests),
    )


def _labelled(tests: Sequence[TestResult]) -> tuple[list[str], list[tuple[list[str], TestResult]]]:
    """Return what tells the tests of a function apart, and each test with that: its parameters, else its id's end.

    By parameters they are in their order, else in that of the tests.
    """
    common = [name for name in tests[0].params if all(name in test.params for test in tests)]
    labels = {name: labels_of(test.params[name] for test in tests) for name in common}
    vary = [name for name in common if len(labels[name]) > 1]
    ranks = {name: {key: rank for rank, key in enumerate(labels[name])} for name in vary}
    places = {tuple(ranks[name][key_of(test.params[name])] for name in vary): test for test in tests}
    texts = {name: [label.text for label in labels[name].values()] for name in vary}
    is_short = all(len(text) <= _WIDEST_LABEL for own in texts.values() for text in own)
    if 0 < len(vary) <= _MOST_LABELS and len(places) == len(tests) and is_short:
        in_order = sorted(places.items(), key=lambda item: item[0])
        return vary, [
            ([texts[name][rank] for name, rank in zip(vary, place, strict=True)], test) for place, test in in_order
        ]
    return [""], [([test.nodeid.removeprefix(function_of(test.nodeid))], test) for test in tests]


def _units(metrics: Sequence[_Metric]) -> set[str]:
    """Return the units in which metrics are shown: where that is more than one, each value has its own."""
    units = {one["unit"] for one in metrics}
    if len(units) == 1 and is_scaled((one["value"] for one in metrics), next(iter(units))):
        return units | {""}
    return units


def _value(metric: _Metric | None, units: set[str]) -> str:
    if metric is None:
        return NONE
    return value_text({**metric, "unit": ""} if len(units) == 1 else metric)


def _with_unit(metric: str, unit: str | None) -> str:
    return f"{metric} in {unit}" if unit else metric


def _fitted(grid: _Grid, width: int) -> Iterator[str]:
    """Yield a table's lines, of its rows and columns as many as there is room for, and what is left out."""
    most = max(width // 2 // grid.labels, _NARROWEST)
    shown = [
        [cut_middle(one_line(cell), most if place < grid.labels else _WIDEST_HEAD) for place, cell in enumerate(row)]
        for row in (grid.head, *grid.rows)
    ]
    number = _columns_within(shown, width, least=grid.labels + 1)
    yield cut(one_line(grid.caption), width)
    is_number = [place >= grid.labels for place in range(number)]
    for line in columns.lines([row[:number] for row in shown], right=is_number):
        yield cut(line, width)
    for note in grid.notes:
        yield cut(f"note: {one_line(note)}", width)
    rest = grid.head[number:]
    parts = [
        counted(grid.number - len(grid.rows), "more row") if grid.number > len(grid.rows) else "",
        f"{counted(len(rest), 'more column')}: {', '.join(map(one_line, rest))}" if rest else "",
    ]
    if told := ", ".join(filter(None, parts)):
        line, where = f"… and {told}", f" ({grid.all_of_it})"
        if len(line + where) <= width:
            yield line + where
        else:
            yield cut(line, width)
            yield f" {where}"


def _columns_within(rows: Sequence[Sequence[str]], width: int, *, least: int) -> int:
    """Return how many columns there is room for, so many at least."""
    used = 0
    for number, column in enumerate(zip(*rows, strict=True)):
        used += max(map(len, column)) + (_GAP if number else 0)
        if used > width and number >= least:
            return number
    return len(rows[0])
