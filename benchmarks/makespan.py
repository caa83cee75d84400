"""Makespan of four suites under xdist's schedulers and pytest-gpupool's, side by side.

    python benchmarks/makespan.py [--workers 8] [--rounds 3] [--bound 12]

The lower bound is the larger of the longest test and the sum of all divided by the workers. "makespan" is from the
first test's start to the last one's end; "command" is the whole command, start-up included. pytest-gpupool starts
tests as soon as one worker is there, xdist's schedulers when all are: its makespan therefore has the other workers'
start-up inside, theirs does not; "command" has it inside for all.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence

from sidebyside import SCHEDULERS, median, rounds, table


def growing() -> list[float]:
    """13 tests, each 22 % longer than the last, as 13 models of growing size."""
    return [1.22**number for number in range(13)]


def lognormal(count: int, *, ascending: bool = False) -> list[float]:
    """Durations as suites have them: many short ones, few long ones; the same at every call."""
    durations = [random.Random(f"{count}-{number}").lognormvariate(0.0, 1.0) for number in range(count)]
    return sorted(durations) if ascending else durations


def scaled(durations: Sequence[float], bound: float, workers: int) -> list[float]:
    """Scale a suite so that its lower bound is ``bound`` seconds."""
    factor = bound / lower_bound(durations, workers)
    return [round(duration * factor, 4) for duration in durations]


def lower_bound(durations: Sequence[float], workers: int) -> float:
    """No schedule is shorter than its longest test, nor than a perfect division."""
    return max(max(durations), sum(durations) / workers)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bound", type=float, default=12.0, help="seconds that the long suites take at best")
    args = parser.parse_args()
    suites = {
        "13 tests, each 22 % longer": scaled(growing(), args.bound, args.workers),
        "40 tests, lognormal": scaled(lognormal(40), args.bound, args.workers),
        "96 tests, lognormal, ascending": scaled(lognormal(96, ascending=True), args.bound, args.workers),
        "2000 tests of 2 ms": [0.002] * 2000,
    }
    for title, durations in suites.items():
        bound = lower_bound(durations, args.workers)
        timings = rounds(durations, args.workers, args.rounds, tuple(SCHEDULERS))
        rows = {}
        for name, runs in timings.items():
            makespan, command = median(runs, lambda run: run.makespan), median(runs, lambda run: run.wall)
            rows[name] = (f"{makespan:.2f}", f"{makespan / bound:.2f}", f"{command:.2f}", f"{command / bound:.2f}")
        table(f"{title} (bound {bound:.2f} s)", ("makespan, s", "÷ bound", "command, s", "÷ bound"), rows)


if __name__ == "__main__":
    main()
