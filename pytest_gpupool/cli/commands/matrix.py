"""``gpupool matrix REPORT --metric M``: a metric over two parameters, as a table."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from ...matrices.pivot import pivot
from ...matrices.table import Table
from ...metrics.groups import as_tests
from ...reports.columns import lines
from ...reports.markdown import escaped
from ...reports.words import means
from ...values.texts import cut, one_line
from ..sources import add_dir, report_of, warn

_LONGEST_NAME = 80


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "matrix",
        help="a metric over two parameters, as a table",
        description="Show a metric over one or two of the parameters that its tests recorded. A cell is the mean over "
        "the other parameters; test functions have rows of their own.",
    )
    command.add_argument("report", metavar="REPORT", help="a JSON report, or a run on record as for 'gpupool report'")
    command.add_argument("--metric", metavar="M", required=True, help="the metric's name")
    neither = "where neither is given, the first two that vary"
    command.add_argument("--rows", metavar="A", help=f"the parameter whose values have a row each ({neither})")
    command.add_argument("--cols", metavar="B", help="the parameter whose values have a column each")
    command.add_argument("--test", metavar="TEXT", help="only tests with this text in their id")
    command.add_argument("--format", choices=_FORMATS, default="text", help="of the output (default: text)")
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    report = report_of(args.report, args.dir)
    tests = report["tests"]
    if not any(metric["name"] == args.metric for test in tests for metric in test["metrics"]):
        tests = [{**one, "nodeid": one["place"]} for one in as_tests(report)] or tests
    table = pivot(tests, metric=args.metric, rows=args.rows, cols=args.cols, test=args.test)
    _FORMATS[args.format](table)
    return 0


def _text(table: Table) -> None:
    rows = [[_line(cell) for cell in row] for row in _cells(table)]
    labels = len(_heads(table))
    print(_line(table.caption, most=None), "", sep="\n")
    for line in lines(rows, right=[column >= labels for column in range(len(rows[0]))]):
        print(line)
    if table.notes:
        print("", *(f"note: {_line(note, most=None)}" for note in table.notes), sep="\n")


def _markdown(table: Table) -> None:
    head, *rows = ([escaped(cut(cell, _LONGEST_NAME)) for cell in row] for row in _cells(table))
    labels = len(_heads(table))
    rule = ["---" if column < labels else "---:" for column in range(len(head))]
    print(escaped(table.caption), "", sep="\n")
    for row in (head, rule, *rows):
        print(f"| {' | '.join(row)} |")
    if table.notes:
        print("", *(f"- {escaped(note)}" for note in table.notes), sep="\n")


def _csv(table: Table) -> None:
    """Numbers as they were recorded. Where a mean is over several results, their counts follow it column by column."""
    for line in (table.caption, *table.notes):  # of which CSV has no place
        warn(_line(line, most=None))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    counted = table.counts[1] > 1
    columns = _columns(table)
    writer.writerow(map(_writable, [*_heads(table), *columns, *(f"n {column}" for column in columns if counted)]))
    for labels, row in zip(_labels(table), table.cells, strict=True):
        means = ["" if cell is None else cell.mean for cell in row]
        counts = [0 if cell is None else cell.count for cell in row]
        writer.writerow([*map(_writable, labels), *means, *(counts if counted else ())])


def _json(table: Table) -> None:
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


def _cells(table: Table) -> Iterator[list[str]]:
    """Yield the rows as people read them, first the head."""
    yield [*_heads(table), *_columns(table)]
    for labels, row in zip(_labels(table), means(table), strict=True):
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


def _writable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate cannot be written


def _line(text: str, most: int | None = _LONGEST_NAME) -> str:
    """Return a text as one line of a terminal."""
    shown = one_line(text)
    return shown if most is None else cut(shown, most)


_FORMATS: dict[str, Callable[[Table], None]] = {"text": _text, "markdown": _markdown, "csv": _csv, "json": _json}
