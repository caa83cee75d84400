"""``gpupool report RUN``: rebuild a report from a run's record, also of a run that was killed."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...records import archive
from ...records.archive import Recorded
from ...records.store import HISTORY, write_whole
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
    command.add_argument(
        "--annotations",
        action="store_true",
        help="print what failed as GitHub's workflow commands, which a job shows at the lines of the tests",
    )
    text = "write what failed to this file as GitLab's artefact 'codequality', which it shows beside a change"
    command.add_argument("--code-quality", metavar="PATH", type=Path, help=text)
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
    report = report_of_run(recorded) | found.to_report()
    problems = publish(report, wanted, found, recorded.path)
    problems += _annotate(args, report)
    for problem in problems:
        warn(problem)
    return EXIT_USAGE if problems else 0


def _annotate(args: argparse.Namespace, report: Mapping[str, Any]) -> list[str]:
    """Have a CI system show what failed beside the change; return why that cannot be."""
    if not args.annotations and args.code_quality is None:
        return []
    from ...forges import annotations

    found = [*annotations.failures(report, _prefix(report["run"]["rootdir"], os.environ))]
    if args.annotations:
        print(*annotations.github(found), sep="\n", flush=True)
    if args.code_quality is not None:
        try:
            args.code_quality.parent.mkdir(parents=True, exist_ok=True)
            write_whole(args.code_quality, json.dumps(annotations.gitlab(found), indent=1) + "\n")
        except OSError as error:
            return [f"{args.code_quality}: {error.strerror}: the file of annotations could not be written"]
    return []


def _prefix(rootdir: str, environ: Mapping[str, str]) -> str:
    """Return rootdir from the repository's top, ``evals/``; nothing where it is that, or lies elsewhere."""
    top = environ.get("GITHUB_WORKSPACE") or environ.get("CI_PROJECT_DIR")
    if top is None or not Path(rootdir).is_relative_to(top) or Path(rootdir) == Path(top):
        return ""
    return f"{Path(rootdir).relative_to(top).as_posix()}/"


def _summary(recorded: Recorded) -> str:
    whole = "complete" if recorded.results.is_complete else "incomplete"
    status = "was killed" if recorded.exit_status is None else f"ended with exit status {recorded.exit_status}"
    if recorded.exit_status is None and archive.goes_on(recorded.path):
        status = "goes on"
    return f"gpupool: run {recorded.id} {status}, {whole}: {outcomes_text(recorded)}"
