"""``gpupool report RUN``: rebuild a report from a run's record, also of a run that was killed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...records import archive
from ...records.archive import Recorded
from ...records.store import HISTORY
from ...reports.publish import Wanted, publish
from ...trends import additions
from ...trends.additions import Additions
from ...values.errors import EXIT_USAGE
from ..sources import add_dir, report_of_run, run_of, warn
from .runs import outcomes_text


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser("report", help="rebuild a report from a run's record, also of a run that was killed")
    command.add_argument("name", metavar="RUN", help="the run's id or the beginning of it, its directory, or 'latest'")
    for form in ("json", "html", "markdown", "junit"):
        text = "append the summary, as markdown," if form == "markdown" else f"write the report as {form}"
        command.add_argument(f"--{form}", metavar="PATH", type=Path, help=f"{text} to this file")
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    recorded = run_of(args.name, args.dir)
    wanted = Wanted(
        json=args.json, html=args.html, markdown=args.markdown, junit=args.junit, folder=recorded.path.resolve()
    )
    print(_summary(recorded))
    base = recorded.path.parent.parent  # of .gpupool/runs/<run>; a copy elsewhere has no past
    run = recorded.facts(), recorded.results, recorded.devices()
    found = additions.collect(base, *run, base / HISTORY) if wanted.paths() else Additions()
    if found.problem is not None:
        warn(found.problem)
    problems = publish(report_of_run(recorded) | found.to_report(), wanted, found.past, recorded.path)
    for problem in problems:
        warn(problem)
    return EXIT_USAGE if problems else 0


def _summary(recorded: Recorded) -> str:
    whole = "complete" if recorded.results.is_complete else "incomplete"
    status = "was killed" if recorded.exit_status is None else f"ended with exit status {recorded.exit_status}"
    if recorded.exit_status is None and archive.goes_on(recorded.path):
        status = "goes on"
    return f"gpupool: run {recorded.id} {status}, {whole}: {outcomes_text(recorded)}"
