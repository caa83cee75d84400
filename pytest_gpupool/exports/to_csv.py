"""CSV: the table of :mod:`rows`, on the output where no file is named."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping
from typing import Any

from ..records.store import write_whole
from ..reports.words import counted
from ..values.texts import cell, visible
from .exporters import Order
from .rows import table


def export(report: Mapping[str, Any], order: Order) -> str:
    """Write it. Raises OSError."""
    columns, rows = table(report)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    if order.output is None:
        sys.stdout.write(text.getvalue())
        return ""
    write_whole(order.output, text.getvalue())
    return f"{order.output}: {counted(len(rows), 'row')}"


def _cell(value: Any) -> object:
    return cell(visible(value) if isinstance(value, str) else value)
