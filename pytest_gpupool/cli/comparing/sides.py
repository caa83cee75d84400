"""Sides: the two runs that a call lays side by side, and by which rules they are judged."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ...reports.words import counted, verb
from ...values.errors import UsageProblem
from ...values.verdicts import ERROR, RTOL
from ...verdicts.baselines import baseline_file
from ...verdicts.baselines.baseline import Baseline
from ...verdicts.compare import compare, compare_with
from ...verdicts.comparison import Comparison
from ...verdicts.decide import Policy
from ..sources import Report, is_baseline, warn, whole_report_of

C = TypeVar("C", bound=Report | Baseline)


@dataclass(frozen=True, slots=True)
class Side(Generic[C]):
    """One of the two, and what the user calls it."""

    name: str
    content: C

    @property
    def title(self) -> str:
        """What people call it: which run, of when and of which commit."""
        if isinstance(self.content, Baseline):
            return f"the baseline {self.name}"
        run, git = self.content["run"], self.content["run"]["git"]
        commit = f", commit {git['commit'][:10]}{' (dirty)' if git.get('dirty') else ''}" if git is not None else ""
        return f"run {run['id']} of {run['started'][:16].replace('T', ' ')}{commit}"


def add_policy(command: argparse.ArgumentParser) -> None:
    """Give a call the options that say when a metric has become worse."""
    text = f"the allowed relative change of a metric that says nothing itself (default: {RTOL})"
    command.add_argument("--rtol", metavar="X", default=str(RTOL), help=text)
    text = f"how likely something is called regressed where nothing has changed, over all metrics (default: {ERROR})"
    command.add_argument("--error", metavar="P", default=str(ERROR), help=text)


def compared(args: argparse.Namespace) -> tuple[Comparison, Side[Report | Baseline], Side[Report]]:
    """Return what the older side ``args.a`` and the newer one ``args.b`` tell, by the options of :func:`add_policy`.

    Raises:
        UsageProblem: one of them cannot be read, or an option is not what it must be.
    """
    policy = Policy(error=_error(args.error), rtol=_rtol(args.rtol))
    old, new = _sides(args)
    _tell_of_gaps(new)
    if isinstance(old.content, Baseline):
        return compare_with(old.content, new.content, policy), old, new
    _tell_of_gaps(Side(old.name, old.content))
    return compare(old.content, new.content, policy), old, new


def _sides(args: argparse.Namespace) -> tuple[Side[Report | Baseline], Side[Report]]:
    old, new = (Side(name, _read(name, args.dir)) for name in (args.a, args.b))
    if not isinstance(new.content, Baseline):
        return old, Side(new.name, new.content)
    if isinstance(old.content, Baseline):
        raise UsageProblem(f"{args.a} and {args.b} are both baselines: give a report or a run with one of them")
    warn(f"{args.b} is a baseline: {args.a} is compared with it")
    return new, Side(old.name, old.content)


def _read(name: str, given: Path | None) -> Report | Baseline:
    path = Path(name)
    return baseline_file.load(path) if path.is_file() and is_baseline(path) else whole_report_of(name, given)


def _tell_of_gaps(side: Side[Report]) -> None:
    tests = side.content["tests"]
    if not side.content["run"]["complete"]:
        left = sum(test["outcome"] == "not-run" for test in tests)
        without = f"{left} of its {counted(len(tests), 'test')} {verb(left, 'has', 'have')} no result"
        told = without if left else "something could not be collected"
        warn(f"{side.name} is incomplete: {told}")


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
