"""``gpupool scaling -n 1,2,4 -- ARGS…``: the same suite at several ``-n``: time, speedup, efficiency."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...records.store import write_whole
from ...reports import scaling
from ...reports.words import seconds_text, shared_cores
from ...trends import scaling_chart, speedup
from ...trends.speedup import TimedRun
from ...values.errors import EXIT_USAGE, UsageProblem
from ...values.texts import visible
from ..sources import add_dir, warn
from ..trials import CHART, FOLDER, SignalForwarder, Trial, TrialFolder, command, tail

_TAIL = 30  # lines of a failed run's output

_OURS = {
    "-n": "the numbers of workers are given before '--': gpupool scaling -n 1,2,4 -- …",
    "--gpupool-json": "every run writes a JSON report of its own; it is kept beside its output",
    "--gpupool-dir": "every run keeps its records apart; say with --dir, before '--', where that is",
    "--gpupool-resume": "a resumed run does not run every test",
    "--dist=each": "there every worker runs every test, and more workers have more to do",
}
# -n4 and -vn 4 too: of pytest's short options these take no value.
_NUMBER = re.compile(r"-[vqxslhVd]*n.*|--numprocesses(=.*)?", re.DOTALL)

_ABOUT = """\
Runs pytest with ARGS… at each number of workers, one after the other, and prints time, speedup and efficiency.

Time is that of the whole command, start and collection included; makespan is from the start of the first test to the
end of the last one. Speedup is the time with the fewest workers divided by the time; efficiency is speedup divided by
the workers that ran (from 80% on: excellent, from 50% on: good, else poor; nothing where CPU slots share cores). Every
run starts from the durations that are known now. The first run also warms the machine's caches: run the suite once
before where that takes long.

Metrics must be the same at every number, except those of time or of a rate: else those that differ are listed, and
the exit status is 1, as where a test fails. A run that cannot run all tests ends the measurement, with its status.
"""


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "scaling",
        help="time the same suite with several numbers of workers",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="gpupool scaling -n 1,2,4 [options] -- ARGS…",
    )
    command.add_argument("-n", required=True, dest="numbers", metavar="1,2,4", help="the numbers of workers")
    text = f"where to draw the chart, an SVG file (default: {FOLDER}/{CHART} where the records are kept)"
    command.add_argument("--chart", metavar="PATH", type=Path, help=text)
    command.add_argument("--json", metavar="PATH", type=Path, help="write what was measured to this file")
    text = "show pytest's output, and every metric that differs"
    command.add_argument("-v", "--verbose", action="store_true", help=text)
    command.add_argument("args", metavar="ARGS", nargs="*", help="what to give pytest: files, -k, -m, …")
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    numbers = numbers_of(args.numbers)
    check(args.args)
    base = args.dir or _base()
    picture = _suited(args.chart, "--chart") or base / FOLDER / CHART
    if picture.suffix.lower() != ".svg":
        raise UsageProblem(f"--chart={picture}: the chart is an SVG file: give a path that ends with .svg")
    _suited(args.json, "--json")
    signals = SignalForwarder()
    with TrialFolder.opened(base) as folder, signals.passed_on():
        warn(f"runs {shlex.join([*command('N'), *args.args])}")
        trials = list(_trials(folder, numbers, args, signals))
        good = _tell(trials, args, picture)
    if signals.status is not None or not trials[-1].is_whole:
        _tell_of_the_end(trials[-1], numbers, signals.status)
        return signals.status or trials[-1].status
    return good


def numbers_of(text: str) -> list[int]:
    """Read ``1,2,4``.

    Raises:
        UsageProblem: it is no list of whole numbers from 1, or one is in it twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"0*[1-9][0-9]{0,5}", part, re.ASCII) for part in parts):
        raise UsageProblem(f"-n {text}: give whole numbers from 1, such as 1,2,4")
    numbers = [int(part) for part in parts]
    if len(set(numbers)) < len(numbers):
        raise UsageProblem(f"-n {text}: give every number once")
    return numbers


def check(args: Sequence[str]) -> None:
    """Refuse what the runs are given anyway, and what makes their times say nothing.

    Raises:
        UsageProblem: naming it, and why.
    """
    options = args[: args.index("--")] if "--" in args else args
    for number, arg in enumerate(options):
        whole = "=".join(options[number : number + 2]) if arg == "--dist" else arg
        name = "-n" if _NUMBER.fullmatch(arg) else whole
        reason = _OURS.get(name) or _OURS.get(name.partition("=")[0])
        if reason is not None:
            raise UsageProblem(f"{arg} cannot be among what pytest is given: {reason}")


def _base() -> Path:
    here = Path.cwd()
    return next((path for parent in (here, *here.parents) if (path := parent / ".gpupool").is_dir()), here / ".gpupool")


def _suited(path: Path | None, name: str) -> Path | None:
    """Find out now, not after hours, that a file cannot be written."""
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageProblem(f"{name}={path} cannot be written: {error.strerror}") from None
        if path.is_dir():
            raise UsageProblem(f"{name}={path} is a directory: give the path of a file")
    return path


def _trials(
    folder: TrialFolder, numbers: Sequence[int], args: argparse.Namespace, signals: SignalForwarder
) -> Iterator[Trial]:
    for number in numbers:
        warn(f"n={number} …")
        trial = folder.run(number, args.args, signals, shown=args.verbose)
        if trial.is_whole and trial.report is None and signals.status is None:
            raise UsageProblem(
                "pytest wrote no report: pytest-gpupool is off there (gpupool = off, gpupool_paths, or "
                f"a call within a test), or told not to run tests{_where(trial)}"
            )
        yield trial
        if signals.status is not None or not trial.is_whole:
            return
        warn(f"n={number}: {_outcomes(trial)} in {seconds_text(trial.seconds)}")


def _outcomes(trial: Trial) -> str:
    counts = Counter(test["outcome"] for test in (trial.report or {"tests": ()})["tests"])
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())


def _tell(trials: Sequence[Trial], args: argparse.Namespace, picture: Path) -> int:
    reports = {trial.workers: trial.report for trial in trials if trial.is_whole and trial.report is not None}
    if not reports:
        return 1
    points = speedup.points(_timed(trial) for trial in trials if trial.workers in reports)
    same = speedup.agreement(reports)
    for line in scaling.lines(points, same, reports, verbose=args.verbose):
        print(line)
    files = {picture: scaling_chart.svg(points, title=f"pytest {shlex.join(args.args)}")}
    if args.json is not None:
        plain = scaling.plain(points, same, {trial.workers: trial.status for trial in trials})
        files[args.json] = json.dumps(plain, indent=1, allow_nan=False) + "\n"
    written = [_written(path, text) for path, text in files.items()]
    if not all(written):
        return EXIT_USAGE
    print(f"gpupool: the chart is in {_short(picture)}")
    return int(bool(same.differing) or any(trial.status for trial in trials))


def _timed(trial: Trial) -> TimedRun:
    assert trial.report is not None
    workers = speedup.workers_of(trial.report, trial.workers)
    return TimedRun(
        asked=trial.workers,
        workers=workers,
        time=trial.seconds,
        makespan=trial.report["summary"]["makespan_s"],
        shared_cores=shared_cores(trial.report, workers),
    )


def _written(path: Path, text: str) -> bool:
    try:
        write_whole(path, text)
    except OSError as error:
        warn(f"{path} could not be written: {error.strerror}")
        return False
    return True


def _tell_of_the_end(trial: Trial, numbers: Sequence[int], interrupted: int | None) -> None:
    unmeasured = numbers[numbers.index(trial.workers) + 1 :]
    rest = f"; not measured: n={', '.join(map(str, unmeasured))}" if unmeasured else ""
    if interrupted is not None:
        warn(f"interrupted at n={trial.workers}{rest}")
        return
    for line in [] if trial.log is None else tail(trial.log, _TAIL):
        print(visible(line), file=sys.stderr)
    warn(f"n={trial.workers} ended with exit status {trial.status}{rest}{_where(trial)}")


def _where(trial: Trial) -> str:
    return "" if trial.log is None else f"; its output is in {_short(trial.log)}"


def _short(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
