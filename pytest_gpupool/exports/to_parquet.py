"""Parquet: the table of :mod:`rows` with types, by pyarrow."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..values.texts import visible
from .exporters import Order
from .rows import NUMBERS, WHOLES, Row, table

_DEFAULT = Path("metrics.parquet")


def export(report: Mapping[str, Any], order: Order) -> str:
    """Write it, whole or not at all. Raises OSError, and ModuleNotFoundError where pyarrow is not there."""
    import pyarrow
    import pyarrow.parquet

    columns, rows = table(report)
    types = {**dict.fromkeys(NUMBERS, pyarrow.float64()), **dict.fromkeys(WHOLES, pyarrow.int64())}
    types["higher_is_better"] = pyarrow.bool_()
    arrays = {name: pyarrow.array(_column(rows, name), types.get(name, pyarrow.string())) for name in columns}
    path = order.output or _DEFAULT
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        pyarrow.parquet.write_table(pyarrow.table(arrays), draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return f"{path}: {len(rows)} rows"


def _column(rows: Sequence[Row], name: str) -> list[Any]:
    values = [row.get(name) for row in rows]
    if name in NUMBERS:
        return [None if value is None else _float(value) for value in values]
    return [visible(value) if isinstance(value, str) else value for value in values]


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:  # a whole number may be of any size
        return None
