"""Makespan of suites under xdist's schedulers, CTest and pytest-gpupool, side by side.

    python benchmarks/makespan.py [--workers 8] [--rounds 5] [--bound 12] [--suite NAME …]

"makespan" is from the first test's start to the last one's end; "command" is the whole command, start-up included; both
are medians. pytest-gpupool starts tests as soon as one worker is there, xdist's schedulers when all are: its makespan
therefore has the other workers' start-up inside, theirs does not; "command" has it inside for all.

CTest and "gpupool, with history" have run the suite once before: each timed run begins with what that one left.
xdist cannot run the mixed suite, whose tests need 1, 2 or 4 of the devices; there are as many devices as workers. The
suites of models have 4 workers at most: each model takes 2 s to set up, in a fixture of the session or of the module.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import ctest
import families
from sidebyside import (
    BESIDE,
    FIRST,
    LATER,
    SCHEDULERS,
    Case,
    Sharing,
    Timing,
    median,
    note,
    pytests,
    rounds,
    sleepers,
    table,
    timing,
    write_sharing,
)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Tests, and which of pytest's schedulers are to run them."""

    title: str
    cases: Sequence[Case]
    schedulers: Collection[str] = ("xdist load", "xdist worksteal", FIRST, LATER)


def growing() -> list[Case]:
    """13 tests, each 22 % longer than the last, as 13 models of growing size."""
    return [Case(1.22**number) for number in range(13)]


def lognormal(count: int) -> list[Case]:
    """Durations as suites have them: many short ones, few long ones; the same at every call."""
    return [Case(random.Random(f"{count}-{number}").lognormvariate(0.0, 1.0)) for number in range(count)]


def mixed() -> list[Case]:
    """24 tests with one device, 10 with two and 6 with four, in a random order that is always the same."""
    gpus = [1] * 24 + [2] * 10 + [4] * 6
    random.Random("mixed").shuffle(gpus)
    return [replace(case, gpus=count) for case, count in zip(lognormal(len(gpus)), gpus, strict=True)]


def scaled(cases: Sequence[Case], bound: float, devices: int) -> list[Case]:
    """Scale a suite so that its lower bound is ``bound`` seconds."""
    factor = bound / lower_bound(cases, devices)
    return [replace(case, seconds=round(case.seconds * factor, 4)) for case in cases]


def lower_bound(cases: Sequence[Case], devices: int) -> float:
    """Return what no schedule is shorter than, in seconds.

    That is the longest test; a perfect division over the devices; and all tests one after another that need more than
    half of the devices, since no two of them fit beside each other.
    """
    return max(
        max(case.seconds for case in cases),
        sum(case.gpus * case.seconds for case in cases) / devices,
        sum(case.seconds for case in cases if 2 * case.gpus > devices),
    )


def suites(bound: float, devices: int) -> dict[str, Suite]:
    """Return the suites by the names that ``--suite`` takes."""
    ascending = sorted(lognormal(96), key=lambda case: case.seconds)
    return {
        "growing": Suite(title="13 tests, each 22 % longer", cases=scaled(growing(), bound, devices)),
        "lognormal": Suite(title="40 tests, lognormal", cases=scaled(lognormal(40), bound, devices)),
        "ascending": Suite(title="96 tests, lognormal, ascending", cases=scaled(ascending, bound, devices)),
        "short": Suite(title="2000 tests of 2 ms", cases=[Case(0.002)] * 2000),
        "mixed": Suite(
            title="40 tests with 1, 2 and 4 devices",
            # Twice as long, since some workers start anew here: that start should weigh as it does in long suites.
            cases=scaled(mixed(), 2 * bound, devices),
            schedulers=(FIRST, LATER, BESIDE),
        ),
    }


def measure(suite: Suite, workers: int, count: int) -> None:
    """Print one suite's table."""
    if (needed := max(case.gpus for case in suite.cases)) > workers:
        note(f"{suite.title}: left out, since a test needs {needed} devices and --workers gives {workers}")
        return
    contenders = {
        **sleepers(suite.schedulers, workers, suite.cases),
        **ctest.contenders(workers, suite.cases),
    }
    bound = lower_bound(suite.cases, workers)
    timings = rounds(contenders, count, partial(timing, tests=len(suite.cases)))
    for name, runs in timings.items():
        # Rounded durations and clocks are no reason to refuse a perfect schedule.
        if min(run.makespan for run in runs) < 0.999 * bound:
            raise SystemExit(f"{suite.title}: {name} was faster than can be, so tests shared devices")
    rows = {name: _cells(runs, bound) for name, runs in timings.items()}
    table(f"{suite.title} (bound {bound:.2f} s)", ("makespan, s", "÷ bound", "command, s", "÷ bound"), rows)


def _cells(runs: Sequence[Timing], bound: float) -> tuple[str, ...]:
    makespan, command = median(runs, lambda run: run.makespan), median(runs, lambda run: run.wall)
    return (f"{makespan:.2f}", f"{makespan / bound:.2f}", f"{command:.2f}", f"{command / bound:.2f}")


def models(scope: str) -> Sharing:
    """Six models that take 2 s to set up, with 20 tasks each, most of them short."""
    dice = random.Random(3)
    durations = [round(dice.lognormvariate(-1.6, 0.7), 3) for _ in range(20)]
    return Sharing(models=6, load=2.0, durations=durations, scope=scope)


def measure_sharing(suite: Sharing, workers: int, count: int) -> None:
    """Print the table of a suite whose tests share models. Here a makespan has the first set-ups inside, too."""
    lay_out = partial(write_sharing, suite=suite)
    contenders = pytests([name for name in SCHEDULERS if name != BESIDE], workers, lay_out)
    tests = suite.models * len(suite.durations)
    timings = rounds(contenders, count, partial(timing, tests=tests))
    least = families.bound([(suite.load, suite.durations)] * suite.models, workers)
    rows = {name: _sharing_cells(runs, least, suite.load) for name, runs in timings.items()}
    columns = ("makespan, s", "÷ bound", "command, s", "set-ups")
    table(f"{suite.models} {suite.scope} models × {len(suite.durations)} tasks (bound {least:.2f} s)", columns, rows)


def _sharing_cells(runs: Sequence[Timing], bound: float, load: float) -> tuple[str, ...]:
    # The first test begins when the first set-up is over.
    makespan = median(runs, lambda run: run.makespan) + load
    command, loads = median(runs, lambda run: run.wall), median(runs, lambda run: run.loads)
    return (f"{makespan:.2f}", f"{makespan / bound:.2f}", f"{command:.2f}", f"{loads:.0f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bound", type=float, default=12.0, help="seconds that the long suites take at best")
    scopes = {"models": "session", "module-models": "module"}
    names = (*suites(1.0, 8), *scopes)
    parser.add_argument("--suite", action="append", choices=names, help="repeatable; default: all")
    args = parser.parse_args()
    known = suites(args.bound, args.workers)
    for name in args.suite or names:
        if name in known:
            measure(known[name], args.workers, args.rounds)
        else:
            measure_sharing(models(scopes[name]), min(4, args.workers), args.rounds)


if __name__ == "__main__":
    main()
