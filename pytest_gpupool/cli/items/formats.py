"""Formats of items for machines: all items, one row or line for each."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from ...items.flips import Item
from ...items.source import Source, Test
from ...records.store import replacing
from ...values.errors import UsageProblem
from ...values.texts import cell

_TEXTS = ("input", "output", "target")
_BATCH = 10_000

Rows = Callable[[Test], Iterator[Item]]
Row = dict[str, Any]


def write(form: str, path: Path | None, source: Source, tests: Sequence[Test], rows: Rows, *, has_other: bool) -> None:
    """Write the items of tests, to a file or to the standard output.

    Raises:
        UsageProblem: what the format needs is missing, or the file cannot be written.
    """
    names = list(dict.fromkeys(name for test in tests for name in source.score_names(test)))
    items = ((test["nodeid"], item) for test in tests for item in rows(test))
    try:
        if form == "parquet":
            _write_parquet(path, (_row(*one, names, has_other=has_other) for one in items), names, has_other=has_other)
            return
        with _text(path) as file:
            if form == "jsonl":
                for nodeid, item in items:
                    file.write(json.dumps({"test": nodeid, **item}, allow_nan=False) + "\n")
                return
            columns = list(_columns(names, has_other=has_other))
            table = csv.writer(file)
            table.writerow(map(cell, columns))
            for one in items:
                row = _row(*one, names, has_other=has_other)
                table.writerow([cell(row.get(name)) for name in columns])
    except OSError as error:
        if path is None:
            raise
        raise UsageProblem(f"{path} cannot be written: {error.strerror or error}") from None


@contextlib.contextmanager
def _text(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    with replacing(path) as target:
        file = io.TextIOWrapper(target, encoding="utf-8", errors="backslashreplace", newline="")
        try:
            yield file
        finally:
            file.detach()  # with all that was written: the file is closed by who has opened it


def _columns(names: Sequence[str], *, has_other: bool) -> dict[str, str]:
    """Return the columns of a table, in order, and what each holds: a text, a number, a whole number, or a flag."""
    found = {"test": "text", "repeat": "whole", "id": "text", "right": "flag"}
    found |= {f"scores.{name}": "number" for name in names}
    if has_other:
        found |= {"flip": "text", "before.right": "flag", **{f"before.scores.{name}": "number" for name in names}}
    found |= dict.fromkeys(_TEXTS, "text")
    return found | ({"before.output": "text"} if has_other else {}) | {"cut": "text"}


def _row(nodeid: str, item: Item, names: Sequence[str], *, has_other: bool) -> Row:
    row: Row = {"test": nodeid, "repeat": item.get("repeat"), "id": item["id"], "right": item["right"]}
    row |= {f"scores.{name}": value for name, value in item.get("scores", {}).items()}
    row |= {key: _as_text(item.get(key)) for key in _TEXTS}
    row["cut"] = " ".join(item.get("cut", ()))
    if has_other:
        before = item.get("before", {})
        known = set(names)
        row |= {"flip": item["flip"], "before.right": before.get("right")}
        row |= {f"before.scores.{name}": one for name, one in before.get("scores", {}).items() if name in known}
        row["before.output"] = _as_text(before.get("output"))
    return row


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _write_parquet(path: Path | None, rows: Iterator[Row], names: Sequence[str], *, has_other: bool) -> None:
    if path is None:
        raise UsageProblem("parquet is no text: say where to with --output PATH")
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageProblem(
            f"--format parquet needs pyarrow ({error}): pip install 'pytest-gpupool[parquet]', or give --format csv"
        ) from None
    columns = _columns(names, has_other=has_other)
    types = {"text": arrow.string(), "number": arrow.float64(), "whole": arrow.int64(), "flag": arrow.bool_()}
    schema = arrow.schema([(_carried(name), types[kind]) for name, kind in columns.items()])
    kept = {"number": _float, "text": _carried}
    changed = {name: kept[kind] for name, kind in columns.items() if kind in kept}
    with replacing(path) as target, parquet.ParquetWriter(target, schema) as file:
        while batch := list(islice(rows, _BATCH)):
            plain = [{**row, **{name: change(row.get(name)) for name, change in changed.items()}} for row in batch]
            file.write_table(arrow.Table.from_pylist(plain, schema=schema))


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _carried(value: str | None) -> str | None:
    """Return a text with an escape for what UTF-8 cannot carry, a lone surrogate."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode()
