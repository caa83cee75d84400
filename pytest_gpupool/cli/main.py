"""The program ``gpupool``."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType

from .. import __version__
from ..options.files import refuse_same
from ..processes.own import garbage
from ..values.errors import EXIT_USAGE, GpupoolError
from .commands import baseline, export, history, matrix, report, runs, scaling, schema
from .comparing import comment, compare
from .items import command as items
from .scripts import logs, sweep
from .shards import ingest, merge, pack
from .status.viewing import command as view

_COMMANDS: tuple[ModuleType, ...] = (
    *(report, runs, logs, sweep, pack, merge, baseline, compare, comment, items, view),
    *(matrix, history, ingest, export, scaling, schema),
)
if sys.platform == "linux":  # the pool is there alone, and what it relies on
    from .commands import plan, quarantine, run, status

    _COMMANDS = (run, plan, status, quarantine, *_COMMANDS)

_OUTPUTS = ("json", "html", "markdown", "junit", "code_quality", "output", "durations", "baseline", "history")
"""What commands call the files that they write, where these are paths."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know ASCII only
    parser = _parser()
    try:
        args, unknown = parser.parse_known_args(argv)
        if unknown and hasattr(args, "take_rest"):
            unknown = args.take_rest(args, unknown)
        if unknown:
            getattr(args, "refuse", parser.error)(f"unrecognized arguments: {' '.join(unknown)}")
        with garbage.collection_paused(), _outputs_kept_apart(args):
            exit_status: int = args.run(args)
            sys.stdout.flush()
    except GpupoolError as error:
        print(f"gpupool: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:  # as where the output goes to "head"
        _write_no_more()
        return 1
    except OSError as error:
        if error.filename is not None or error.errno != errno.ENOSPC:
            raise  # of a file that a command should have looked after
        _write_no_more()
        print(f"gpupool: what it prints cannot be written: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    return exit_status


def _write_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left as it ends


@contextmanager
def _outputs_kept_apart(args: argparse.Namespace) -> Iterator[None]:
    """Refuse two outputs that are one file; the command's own words go to standard error where one is standard output.

    Raises:
        UsageProblem: naming both.
    """
    given = {name: path for name in _OUTPUTS if isinstance(path := getattr(args, name, None), Path)}
    refuse_same({f"--{name.replace('_', '-')}": path for name, path in given.items()})
    if not any(map(_is_standard_output, given.values())):
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def _is_standard_output(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False


class _Help(argparse.HelpFormatter):
    """Has room for the longest command's name, which argparse forgets to indent when it measures it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = len("    quarantine")


def _parser() -> argparse.ArgumentParser:
    about = "Share this host's GPUs, and look after pytest-gpupool's runs and reports."
    parser = argparse.ArgumentParser(prog="gpupool", description=about, formatter_class=_Help)
    parser.add_argument("--version", action="version", version=f"gpupool {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser
