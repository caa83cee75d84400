"""``gpupool ingest FILE…``: feed the store of metrics over runs, from reports, runs on record and other stores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...records.store import HISTORY
from ...reports.words import counted
from ...trends import store, trend
from ...trends.trend import MeasuredRun
from ...values.errors import EXIT_USAGE, UsageProblem
from ...values.texts import visible
from ..sources import add_dir, base_of, report_of, warn

_ABOUT = """\
Adds to the store of metrics over runs what JSON reports, runs on record (an id, the beginning of one, a directory, or
'latest') and other stores have. What is there already stays as it is, so that a file may be given twice, and two
machines' stores are merged in any order. A file that cannot be read is named and costs the others nothing. 'gpupool
history', the charts of the HTML report and the placement check read it.
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
    path, status = args.history or base_of(args.dir) / HISTORY, 0
    for name in args.files:
        try:
            measured = _measured(name, args.dir)
        except UsageProblem as problem:  # which costs the others nothing
            warn(f"nothing of {visible(name)} was added: {problem}")
            status = EXIT_USAGE
            continue
        added = store.add(path, measured)
        if added.aside is not None:
            warn(f"{path} was damaged; it is kept as {added.aside}, and a new one has begun")
        print(f"gpupool: {visible(name)}: {counted(added.runs, 'new run')}, {counted(added.values, 'new value')}")
    return status


def _measured(name: str, base: Path | None) -> list[MeasuredRun]:
    source = Path(name)
    if source.is_file() and store.is_one(source):
        return store.runs(source)
    return [trend.of_report(report_of(name, base))]
