"""CSV: the table of :mod:`rows`, on the output where no file is named."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping
from typing import Any

from ..records.store import write_whole
from ..values.texts import visible
from .exporters import Order
from .rows import table


def export(report: Mapping[str, Any], order: Order) -> str:
    """Write it. Raises OSError."""
    columns, rows = table(report)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: visible(value) if isinstance(value, str) else value for name, value in row.items()})
    if order.output is None:
        sys.stdout.write(text.getvalue())
        return ""
    write_whole(order.output, text.getvalue())
    return f"{order.output}: {len(rows)} rows"
