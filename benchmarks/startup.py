"""What pytest-gpupool adds to a run's start and end, against plain xdist, side by side.

    python benchmarks/startup.py [--workers 8] [--rounds 11]

The suite is one empty test per worker. "first test" is from the command to the first test's start, "command" the whole
command. The ratio is the median of the ratios round by round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from sidebyside import FIRST, Case, Timing, median, ratio, rounds, sleepers, table, timing


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=11)
    args = parser.parse_args()
    contenders = sleepers(("xdist load", FIRST), args.workers, [Case(0.0)] * args.workers)
    timings = rounds(contenders, args.rounds, partial(timing, tests=args.workers))
    figures: dict[str, Callable[[Timing], float]] = {
        "first test, s": lambda run: run.first,
        "command, s": lambda run: run.wall,
    }
    rows = {name: tuple(f"{median(runs, figure):.3f}" for figure in figures.values()) for name, runs in timings.items()}
    rows["gpupool ÷ xdist load"] = tuple(
        f"{ratio(timings[FIRST], timings['xdist load'], figure):.3f}" for figure in figures.values()
    )
    table(f"-n {args.workers}, {args.rounds} rounds", tuple(figures), rows)


if __name__ == "__main__":
    main()
