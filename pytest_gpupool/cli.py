"""The program ``gpupool``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from . import __version__, archive, garbage
from .archive import Recorded
from .errors import EXIT_USAGE, GpupoolError, UsageProblem
from .model import duration_text, epoch
from .pool import Pool
from .publish import Wanted, publish
from .reports.json import build, schema_text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    args = _parser().parse_args(argv)
    try:
        with garbage.ignored():
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

    report = commands.add_parser("report", help="rebuild a report from a run's record, also of a run that was killed")
    report.add_argument("name", metavar="RUN", help="the run's id or the beginning of it, its directory, or 'latest'")
    for form in ("json", "html", "markdown", "junit"):
        report.add_argument(f"--{form}", metavar="PATH", type=Path, help=f"write the report as {form} to this file")
    report.set_defaults(run=_report)

    runs = commands.add_parser("runs", help="list the runs on record")
    runs.set_defaults(run=_runs)
    for command in (report, runs):
        text = "where the records are kept, as --gpupool-dir (default: .gpupool here or in a folder above)"
        command.add_argument("--dir", metavar="PATH", type=Path, help=text)

    schema = commands.add_parser("schema", help="print the JSON Schema of the JSON report")
    schema.set_defaults(run=_schema)
    return parser


def _report(args: argparse.Namespace) -> int:
    recorded = archive.load(archive.find(_base(args.dir), args.name))
    for problem in recorded.problems:
        print(f"gpupool: {problem}", file=sys.stderr)
    wanted = Wanted(json=args.json, html=args.html, markdown=args.markdown, junit=args.junit)
    print(_summary(recorded))
    problems = publish(build(recorded.facts(), Pool(devices=recorded.devices()), recorded.results), wanted)
    for problem in problems:
        print(f"gpupool: {problem}", file=sys.stderr)
    return EXIT_USAGE if problems else 0


def _runs(args: argparse.Namespace) -> int:
    base = _base(args.dir)
    rows = [("RUN", "AGE", "TESTS", "OUTCOMES", "RESUME")]
    rows += [_row(archive.load(run)) for run in reversed(archive.runs(base))]
    if len(rows) == 1:
        print(f"gpupool: no run is on record in {base}")
        return 0
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (
            f"{cell:>{width}}" if right else f"{cell:<{width}}"
            for cell, width, right in zip(row, widths, _RIGHT, strict=True)
        )
        print("  ".join(cells).rstrip())
    return 0


_RIGHT = (False, True, True, False, False)


def _row(recorded: Recorded) -> tuple[str, str, str, str, str]:
    age = duration_text(time.time() - epoch(recorded.facts()["started"]))
    return (recorded.id, age, str(recorded.results.collected), _outcomes(recorded), _resumable(recorded))


def _outcomes(recorded: Recorded) -> str:
    counts = Counter(test.outcome for test in recorded.results.tests)
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) or "nothing was collected"


def _resumable(recorded: Recorded) -> str:
    if archive.goes_on(recorded.path):
        return "no, it goes on"
    if recorded.plan.each:
        return "no, it was one with --dist each"
    left = sum(not test.may_be_kept for test in recorded.results.tests)
    if not recorded.results.collected:
        return "no"
    return f"yes, {left} left" if left else "nothing is left"


def _summary(recorded: Recorded) -> str:
    whole = "complete" if recorded.results.is_complete else "incomplete"
    status = "was killed" if recorded.exit_status is None else f"ended with exit status {recorded.exit_status}"
    if recorded.exit_status is None and archive.goes_on(recorded.path):
        status = "goes on"
    return f"gpupool: run {recorded.id} {status}, {whole}: {_outcomes(recorded)}"


def _schema(_: argparse.Namespace) -> int:
    sys.stdout.write(schema_text())
    return 0


def _base(given: Path | None) -> Path:
    """Return where the records lie.

    Raises:
        UsageProblem: nowhere.
    """
    here = Path.cwd()
    candidates = [given] if given is not None else [parent / ".gpupool" for parent in (here, *here.parents)]
    found = next((path for path in candidates if (path / "runs").is_dir()), None)
    if found is None:
        where = str(given) if given is not None else f"no .gpupool in {here} or above"
        raise UsageProblem(f"there are no records: {where}; say where with --dir")
    return found
