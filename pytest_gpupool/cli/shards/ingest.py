"""``gpupool ingest FILE…``: feed the store of metrics over runs, from reports, runs on record and other stores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...records.store import HISTORY
from ...reports.words import counted
from ...trends import store, trend
from ...values.texts import visible
from ..sources import add_dir, base_of, report_of, warn

_ABOUT = """\
Adds to the store of metrics over runs what JSON reports, runs on record (an id, the beginning of one, a directory, or
'latest') and other stores have. What is there already stays as it is, so that a file may be given twice, and two
machines' stores are merged in any order. 'gpupool history', the charts of the HTML report and the placement check
read it.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "ingest",
        help="add reports, runs and other stores to the history",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("files", metavar="FILE", nargs="+", help="a report, a run on record, or another store")
    text = "the store, a SQLite file, which is made where it is not there (default: history.sqlite beside the records)"
    command.add_argument("--history", metavar="PATH", type=Path, help=text)
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    path = args.history or base_of(args.dir) / HISTORY
    for name in args.files:
        source = Path(name)
        if source.is_file() and store.is_one(source):
            added = store.merge(path, source)
        else:
            added = store.add(path, [trend.of_report(report_of(name, args.dir))])
        if added.aside is not None:
            warn(f"{path} was damaged; it is kept as {added.aside}, and a new one has begun")
        print(f"gpupool: {visible(name)}: {counted(added.runs, 'new run')}, {counted(added.values, 'new value')}")
    return 0
