"""The program ``gpupool``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__
from .reports.json import schema_text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    parser = argparse.ArgumentParser(prog="gpupool", description="Look after pytest-gpupool's pools and reports.")
    parser.add_argument("--version", action="version", version=f"gpupool {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    schema = commands.add_parser("schema", help="print the JSON Schema of the JSON report")
    schema.set_defaults(run=_schema)
    args = parser.parse_args(argv)
    status: int = args.run()
    return status


def _schema() -> int:
    sys.stdout.write(schema_text())
    return 0
