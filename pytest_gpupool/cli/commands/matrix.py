"""``gpupool matrix REPORT --metric M``: a metric over two parameters, as a table."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...matrices import chart
from ...matrices.pivot import pivot
from ...matrices.table import Table
from ...metrics.groups import as_tests
from ...records.store import write_whole
from ...reports.columns import lines
from ...reports.markdown import escaped
from ...reports.words import means
from ...values.errors import UsageProblem
from ...values.nodeids import function_of
from ...values.texts import cell, cut, one_line
from ...verdicts.baselines.baseline import kind_in
from ..sources import add_dir, report_of, warn

_LONGEST_NAME = 80
_MEAN, _WITH_SD = "mean", "mean±sd"


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "matrix",
        help="a metric over two parameters, as a table",
        description="Show a metric over one or two of the parameters that its tests recorded. A cell is the mean over "
        "the other parameters; test functions have rows of their own.",
    )
    command.add_argument("report", metavar="REPORT", help="a JSON report, or a run on record as for 'gpupool report'")
    command.add_argument("--metric", metavar="M", help="the metric's name (with --format long: all where left out)")
    neither = "where neither is given, the first two that vary"
    command.add_argument("--rows", metavar="A", help=f"the parameter whose values have a row each ({neither})")
    command.add_argument("--cols", metavar="B", help="the parameter whose values have a column each")
    command.add_argument("--test", metavar="TEXT", help="only tests with this text in their id")
    formats = "of the output (default: text); long: CSV with a row for each test and metric"
    command.add_argument("--format", choices=(*_FORMATS, "long"), default="text", help=formats)
    stat = "what a cell shows: the mean, or with it the standard deviation (default: mean)"
    command.add_argument("--stat", choices=(_MEAN, _WITH_SD, "mean+-sd"), default=_MEAN, help=stat)
    command.add_argument("--plot", metavar="PATH.svg", type=Path, help="draw the table as lines, with error bars (SVG)")
    command.add_argument("--x", metavar="A", help="with --plot: the parameter along the x axis; --cols has a line each")
    command.add_argument("--log", action="store_true", help="with --plot: both axes are logarithmic")
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    _check(args)
    report = report_of(args.report, args.dir)
    if args.format == "long":
        _long(report, metric=args.metric, test=args.test)
        return 0
    tests = report["tests"]
    if not any(metric["name"] == args.metric for test in tests for metric in test["metrics"]):
        tests = [{**one, "nodeid": one["place"]} for one in as_tests(report)] or tests
    if args.plot is not None:
        return _plot(tests, args)
    table = pivot(tests, metric=args.metric, rows=args.rows, cols=args.cols, test=args.test)
    _FORMATS[args.format](table, args.stat != _MEAN)
    return 0


def _check(args: argparse.Namespace) -> None:
    """See that the options go together. Raises UsageProblem."""
    if args.metric is None and args.format != "long":
        raise UsageProblem("--metric: say which metric; only --format long has all of them")
    if args.plot is None and (args.x is not None or args.log):
        raise UsageProblem(f"--{'log' if args.log else 'x'} is for a chart: say where to write it with --plot=PATH.svg")
    if args.plot is None:
        return
    if args.plot.suffix.lower() != ".svg":
        raise UsageProblem(f"--plot={args.plot}: the chart is an SVG file: give a path that ends with .svg")
    if args.rows is not None and args.x is not None and args.rows != args.x:
        raise UsageProblem(f"--x={args.x} and --rows={args.rows}: a chart has one of them along its x axis")
    if args.format != "text":
        raise UsageProblem(f"--plot and --format={args.format} do not go together: call it twice")


def _plot(tests: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> int:
    x, lines = args.x or args.rows, args.cols
    if x is None or lines is None:
        varying = pivot(tests, metric=args.metric, test=args.test)
        free = [name for name in (varying.rows, varying.cols) if name not in (None, x, lines)]
        x = x or next(iter(free), None)
        lines = lines or next((name for name in free if name != x), None)
    if x is None:
        raise UsageProblem("--plot: no parameter varies in all of these tests: name one with --x")
    picture = chart.svg(pivot(tests, metric=args.metric, rows=x, cols=lines, test=args.test), is_log=args.log)
    try:
        args.plot.parent.mkdir(parents=True, exist_ok=True)
        write_whole(args.plot, picture)
    except OSError as error:
        raise UsageProblem(f"{args.plot} cannot be written: {error.strerror}") from None
    print(f"gpupool: the chart is in {args.plot}")
    return 0


_LONG = ("test", "function", "metric", "value", "unit", "kind", "n", "baseline", "change", "verdict", "outcome")


def _long(report: Mapping[str, Any], *, metric: str | None, test: str | None) -> None:
    """Write a row for each test and metric, with a column for each parameter; what is not known is empty."""
    tests = [one for one in report["tests"] if test is None or test in one["nodeid"]]
    found = [(one, each) for one in tests for each in one["metrics"] if metric in (None, each["name"])]
    if not found:
        raise UsageProblem("no test of this report has such a metric" if metric else "this report has no metrics")
    params = dict.fromkeys(name for one, _ in found for name in one["params"])
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(_writable, [*_LONG, "device", "worker", "started", "duration_s", *map(_param, params)]))
    names = {device["id"]: device["name"] for device in report["devices"]}
    for one, each in found:
        told = {**each, "value": each.get("non_finite", each["value"]), "test": one["nodeid"]}
        told |= {"function": function_of(one["nodeid"]), "metric": each["name"], "outcome": one["outcome"]}
        values = [told.get(name) for name in _LONG]
        where = [kind_in(one, names), one["worker"], one["started"], one["duration_s"]]
        writer.writerow([_cell(value) for value in (*values, *where, *(one["params"].get(name) for name in params))])


def _param(name: str) -> str:
    """Return what the column of a parameter is called: no column is called as another."""
    return f"param.{name}" if name in (*_LONG, "device", "worker", "started", "duration_s") else name


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return "" if value is None else value
    return _writable(value if isinstance(value, str) else json.dumps(value))


def _text(table: Table, sd: bool) -> None:
    rows = [[_line(cell) for cell in row] for row in _cells(table, sd)]
    labels = len(_heads(table))
    print(_line(table.caption, most=None), "", sep="\n")
    for line in lines(rows, right=[column >= labels for column in range(len(rows[0]))]):
        print(line)
    if table.notes:
        print("", *(f"note: {_line(note, most=None)}" for note in table.notes), sep="\n")


def _markdown(table: Table, sd: bool) -> None:
    head, *rows = ([escaped(cut(cell, _LONGEST_NAME)) for cell in row] for row in _cells(table, sd))
    labels = len(_heads(table))
    rule = ["---" if column < labels else "---:" for column in range(len(head))]
    print(escaped(table.caption), "", sep="\n")
    for row in (head, rule, *rows):
        print(f"| {' | '.join(row)} |")
    if table.notes:
        print("", *(f"- {escaped(note)}" for note in table.notes), sep="\n")


def _csv(table: Table, sd: bool) -> None:
    """Numbers as they were recorded. Where a mean is over several results, their counts follow it column by column.

    So do standard deviations, with ``sd``.
    """
    for line in (table.caption, *table.notes):  # of which CSV has no place
        warn(_line(line, most=None))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    counted = table.counts[1] > 1
    columns = _columns(table)
    more = [f"n {column}" for column in columns if counted] + [f"sd {column}" for column in columns if sd]
    writer.writerow(map(_writable, [*_heads(table), *columns, *more]))
    for labels, row in zip(_labels(table), table.cells, strict=True):
        means = ["" if cell is None else cell.mean for cell in row]
        counts = [0 if cell is None else cell.count for cell in row]
        spreads = ["" if cell is None or cell.sd is None else cell.sd for cell in row] if sd else []
        writer.writerow([*map(_writable, labels), *means, *(counts if counted else ()), *spreads])


def _json(table: Table, _sd: bool) -> None:
    data = {
        "metric": table.metric,
        "caption": table.caption,
        "rows": {
            "parameter": table.rows,
            "values": [label.value for label in table.row_labels],
            "tests": [label.test for label in table.row_labels],
        },
        "cols": {"parameter": table.cols, "values": [label.value for label in table.col_labels]},
        "cells": [[None if cell is None else asdict(cell) for cell in row] for row in table.cells],
        "means_over": dict(table.over),
        "notes": list(table.notes),
    }
    print(json.dumps(data, indent=1, allow_nan=False))


def _cells(table: Table, sd: bool) -> Iterator[list[str]]:
    """Yield the rows as people read them, first the head."""
    yield [*_heads(table), *_columns(table)]
    for labels, row in zip(_labels(table), means(table, sd=sd), strict=True):
        yield [*labels, *row]


def _heads(table: Table) -> list[str]:
    """Return the heads of the columns that say what a row is."""
    return [*(["test"] if table.names_tests else []), *([] if table.rows is None else [table.rows])]


def _labels(table: Table) -> Iterator[list[str]]:
    for label in table.row_labels:
        yield [*([label.test] if table.names_tests else []), *([] if table.rows is None else [label.text])]


def _columns(table: Table) -> list[str]:
    if table.cols is None:
        return [table.metric]
    return [f"{table.cols}={label.text}" for label in table.col_labels]


def _writable(text: str) -> object:
    return cell(text.encode("utf-8", "backslashreplace").decode())  # a lone surrogate cannot be written


def _line(text: str, most: int | None = _LONGEST_NAME) -> str:
    """Return a text as one line of a terminal."""
    shown = one_line(text)
    return shown if most is None else cut(shown, most)


_FORMATS: dict[str, Callable[[Table, bool], None]] = {"text": _text, "markdown": _markdown, "csv": _csv, "json": _json}
