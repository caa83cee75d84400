"""``gpupool schema``: the JSON Schema of the JSON report."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ...reports.json import schema_text


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser("schema", help="print the JSON Schema of the JSON report")
    command.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    sys.stdout.write(schema_text())
    return 0
