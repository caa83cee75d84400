"""``gpupool logs``: what the tests of a run have written, and write."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import Any

from ...logs.reading import pieces
from ...values.errors import UsageProblem
from ..sources import add_dir, base_of
from .following import follow, write
from .wanted import by_name, no_log, run_and_test


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser("logs", help="show what tests have written, and write (-f)")
    run = "the run: its id or the beginning of it, its directory, or 'latest' (default: the one that goes on)"
    command.add_argument("name", metavar="RUN", nargs="?", help=run)
    test = "tests whose id has this in it, or a worker such as gw0 (default: all)"
    command.add_argument("test", metavar="TEST", nargs="?", help=test)
    command.add_argument("-f", "--follow", action="store_true", help="go on until the run is over")
    rank = "of tests that run something by torchrun, show what that rank alone has written"
    command.add_argument("--rank", metavar="N", type=int, help=rank)
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    run, test = run_and_test(base_of(args.dir), args.name, args.test)
    wanted, found = by_name(test), False
    if args.follow:
        with suppress(KeyboardInterrupt):  # which is how one ends it
            found = follow(run, wanted, args.rank)
            if not found:
                raise UsageProblem(no_log(run, test, args.rank))
        return 0
    for piece in pieces(run, wanted, args.rank):
        found = write(piece.data()) or found
    if not found:
        raise UsageProblem(no_log(run, test, args.rank))
    return 0
