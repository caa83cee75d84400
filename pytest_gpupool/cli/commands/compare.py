"""``gpupool compare A B``: metrics and durations of two reports, A the older, side by side."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ...reports import comparison as documents
from ...values.errors import UsageProblem
from ...values.texts import visible
from ...values.verdicts import BAD, ERROR, FAILING, RTOL
from ...verdicts import baseline_file
from ...verdicts.baseline import Baseline
from ...verdicts.compare import compare, compare_with
from ...verdicts.comparison import Comparison
from ...verdicts.decide import Policy
from ..sources import Report, add_dir, is_baseline, warn, whole_report_of

_ABOUT = """\
Compares the metrics of two runs, and how long their tests took; A is the older one. Each is a JSON report, or a run on
record: its id, the beginning of it, its directory, or 'latest'. One of them may be a baseline file: then the other
one is compared with it.

A metric is judged as with --gpupool-baseline, A's value being the baseline: by B's tolerance, else A's, else --rtol.
Values of another kind of device are compared, and the note says so. The exit status is 1 where a verdict is one of
--fail-on. A metric that is gone from a test, and a test that was good and now fails, count as regressed; durations,
and tests that only one of the two has, never fail.
"""


C = TypeVar("C", bound=Report | Baseline)


@dataclass(frozen=True, slots=True)
class _Side(Generic[C]):
    """One of the two, and what the user calls it."""

    name: str
    content: C

    @property
    def title(self) -> str:
        if isinstance(self.content, Baseline):
            return f"the baseline {self.name}"
        run, git = self.content["run"], self.content["run"]["git"]
        commit = f", commit {git['commit'][:10]}{' (dirty)' if git.get('dirty') else ''}" if git is not None else ""
        return f"run {run['id']} of {run['started'][:16].replace('T', ' ')}{commit}"


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "compare",
        help="compare the metrics and durations of two runs",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("a", metavar="A", help="the older one: a report, a run on record, or a baseline file")
    command.add_argument("b", metavar="B", help="the newer one")
    text = "what makes the exit status 1: regressed, no-baseline, contended, invalid, none (default: regressed,invalid)"
    command.add_argument("--fail-on", metavar="KIND[,KIND…]", action="append", help=text)
    text = f"the allowed relative change of a metric that says nothing itself (default: {RTOL})"
    command.add_argument("--rtol", metavar="X", default=str(RTOL), help=text)
    text = f"how likely something is called regressed where nothing has changed, over all metrics (default: {ERROR})"
    command.add_argument("--error", metavar="P", default=str(ERROR), help=text)
    command.add_argument("--format", choices=("text", "markdown", "json"), default="text", help="default: text")
    text = "show every metric, outcome and duration; in markdown as many as a comment on GitHub may hold"
    command.add_argument("-v", "--verbose", action="store_true", help=text)
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    kinds, policy = _kinds(args.fail_on), Policy(error=_error(args.error), rtol=_rtol(args.rtol))
    old, new = _sides(args)
    _tell_of_gaps(new)
    if isinstance(old.content, Baseline):
        found = compare_with(old.content, new.content, policy)
    else:
        _tell_of_gaps(_Side(old.name, old.content))
        found = compare(old.content, new.content, policy)
    fails = found.fails(kinds)
    _print(found, args, old.title, new.title, fails=fails)
    return int(fails)


def _sides(args: argparse.Namespace) -> tuple[_Side[Report | Baseline], _Side[Report]]:
    old, new = (_Side(name, _read(name, args.dir)) for name in (args.a, args.b))
    if not isinstance(new.content, Baseline):
        return old, _Side(new.name, new.content)
    if isinstance(old.content, Baseline):
        raise UsageProblem(f"{args.a} and {args.b} are both baselines: give a report or a run with one of them")
    warn(f"{args.b} is a baseline: {args.a} is compared with it")
    return new, _Side(old.name, old.content)


def _print(found: Comparison, args: argparse.Namespace, old: str, new: str, *, fails: bool) -> None:
    if args.format == "json":
        print(json.dumps({**documents.plain(found), "a": old, "b": new, "fails": fails}, indent=1, allow_nan=False))
        return
    if args.format == "markdown":
        lines = documents.markdown(found, f"{old} → {new}", verbose=args.verbose)
    else:
        print(f"gpupool: A is {visible(old)}, B is {visible(new)}")
        lines = documents.text(found, verbose=args.verbose)
    for line in lines:
        print(line)


def _read(name: str, given: Path | None) -> Report | Baseline:
    path = Path(name)
    return baseline_file.load(path) if path.is_file() and is_baseline(path) else whole_report_of(name, given)


def _tell_of_gaps(side: _Side[Report]) -> None:
    tests = side.content["tests"]
    if not side.content["run"]["complete"]:
        left = sum(test["outcome"] == "not-run" for test in tests)
        told = f"{left} of its {len(tests)} tests have no result" if left else "something could not be collected"
        warn(f"{side.name} is incomplete: {told}")


def _kinds(given: list[str] | None) -> frozenset[str]:
    if given is None:
        return frozenset(BAD)
    from ...options.parsing import NONE, fail_on  # which imports pytest

    try:
        return frozenset[str]().union(*map(fail_on, given))
    except ValueError as error:
        raise UsageProblem(f"--fail-on={error}: give {', '.join((*FAILING, NONE))}") from None


def _rtol(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise UsageProblem(f"--rtol={text}: give a number from 0, such as {RTOL}")
    return number


def _error(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1:
        raise UsageProblem(f"--error={text}: give a number above 0 and below 1, such as {ERROR}")
    return number
