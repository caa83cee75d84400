"""``gpupool pack RUN``: a run's record as one file, to be carried to another machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...records import archive
from ...shards.packing import SUFFIX, pack
from ...values.errors import EXIT_USAGE
from ..sources import add_dir, base_of, warn

_ABOUT = """\
Writes the records and the logs of a run that has ended into one file, which 'gpupool merge' reads on another machine.
What its scripts have written (out_dir) is not in it.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "pack", help="write a run's record as one file, for 'gpupool merge'", description=_ABOUT
    )
    command.add_argument("name", metavar="RUN", help="the run's id or the beginning of it, its directory, or 'latest'")
    text = f"the file (default: the run's id and {SUFFIX}, here)"
    command.add_argument("-o", "--output", metavar="PATH", type=Path, help=text)
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    # A directory that is named needs no others around it.
    path = Path(args.name)
    base = path.parent if args.dir is None and path.is_dir() else base_of(args.dir)
    run = archive.find(base, args.name)
    recorded = archive.load(run)
    target = args.output or Path(f"{recorded.id}{SUFFIX}")
    try:
        size = pack(run, recorded.id, target)
    except OSError as error:
        warn(f"{target} cannot be written: {error.strerror or error}")
        return EXIT_USAGE
    print(f"gpupool: run {recorded.id} packed into {target}, {size / 1024:.0f} KiB")
    return 0
