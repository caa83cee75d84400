"""The program ``gpupool``."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..processes import garbage
from ..values.errors import GpupoolError
from .commands import baseline, compare, history, matrix, report, runs, scaling, schema

_COMMANDS = (report, runs, baseline, compare, matrix, history, scaling, schema)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know ASCII only
    args = _parser().parse_args(argv)
    try:
        with garbage.collection_paused():
            status: int = args.run(args)
            sys.stdout.flush()
    except GpupoolError as error:
        print(f"gpupool: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:  # as where the output goes to "head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left as it ends
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpupool", description="Look after pytest-gpupool's runs and reports.")
    parser.add_argument("--version", action="version", version=f"gpupool {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser
