"""What pytest-gpupool costs per test, against plain xdist, side by side: empty tests, and nothing to schedule well.

    python benchmarks/overhead.py [--tests 10000] [--workers 2] [--rounds 5]

"command" is the whole command, "controller" the processor time of the controller's process alone, without its workers.
The ratios are the medians of the ratios round by round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sidebyside import FIRST, LATER, Run, median, pytests, ratio, rounds, table

SUITE = """
import pytest

@pytest.mark.parametrize("case", range({tests}))
def test_case(case):
    pass
"""

# At exit, so that the end of the run counts as well.
CONTROLLER = """
import atexit, time
from pathlib import Path

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        atexit.register(write, Path(__file__).with_name("controller"))

def write(path):
    path.write_text(str(time.process_time()))

def pytest_terminal_summary(terminalreporter):
    if hasattr(terminalreporter.config, "workerinput"):
        return  # xdist's workers have a terminal too, which nobody sees
    Path(__file__).with_name("passed").write_text(str(len(terminalreporter.stats["passed"])))
"""

PLAIN = "xdist worksteal"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run cost, in seconds."""

    wall: float
    controller: float


def lay_out(folder: Path, tests: int) -> None:
    """Write empty tests into a folder, and what measures the controller."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(CONTROLLER)
    (folder / "test_suite.py").write_text(SUITE.format(tests=tests))


def cost(run: Run, tests: int) -> Cost:
    """Read what a run cost."""
    if (passed := (run.folder / "passed").read_text()) != str(tests):
        raise SystemExit(f"{passed} of {tests} tests passed in {run.folder}")
    return Cost(wall=run.wall, controller=float((run.folder / "controller").read_text()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    contenders = pytests((PLAIN, FIRST, LATER), args.workers, partial(lay_out, tests=args.tests))
    costs = rounds(contenders, args.rounds, partial(cost, tests=args.tests))
    figures: dict[str, Callable[[Cost], float]] = {
        "command, s": lambda run: run.wall,
        "controller, s": lambda run: run.controller,
    }
    rows = {
        name: (
            *(f"{median(runs, figure):.2f}" for figure in figures.values()),
            *(f"{ratio(runs, costs[PLAIN], figure):.3f}" for figure in figures.values()),
        )
        for name, runs in costs.items()
    }
    columns = (*figures, "÷ command", "÷ controller")
    table(f"{args.tests} empty tests, -n {args.workers}, {args.rounds} rounds", columns, rows)


if __name__ == "__main__":
    main()
