"""Parquet: the table of :mod:`rows` with types, by pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..records.store import replacing
from ..reports.words import counted
from ..values.texts import visible
from .exporters import Order
from .rows import NUMBERS, WHOLES, Row, table

_DEFAULT = Path("metrics.parquet")
_LARGEST = 1 << 63


def export(report: Mapping[str, Any], order: Order) -> str:
    """Write it, whole or not at all. Raises OSError, and ModuleNotFoundError where pyarrow is not there."""
    import pyarrow
    import pyarrow.parquet

    columns, rows = table(report)
    types = {**dict.fromkeys(NUMBERS, pyarrow.float64()), **dict.fromkeys(WHOLES, pyarrow.int64())}
    types["higher_is_better"] = pyarrow.bool_()
    arrays = {name: pyarrow.array(_column(rows, name), types.get(name, pyarrow.string())) for name in columns}
    path = order.output or _DEFAULT
    with replacing(path) as file:
        pyarrow.parquet.write_table(pyarrow.table(arrays), file)
    return f"{path}: {counted(len(rows), 'row')}"


def _column(rows: Sequence[Row], name: str) -> list[Any]:
    values = [row.get(name) for row in rows]
    if name in NUMBERS:
        return [None if value is None else _float(value) for value in values]
    if name in WHOLES:  # a whole number may be of any size
        return [value if value is None or -_LARGEST <= value < _LARGEST else None for value in values]
    return [visible(value) if isinstance(value, str) else value for value in values]


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:  # a whole number may be of any size
        return None
