"""What it costs to run a test in a process of its own, in several ways, side by side.

    python benchmarks/isolation.py [--rounds 5] [--tests 40] [--forked PATH]

The suite's module imports torch; its tests are empty. A test takes from pytest's log start to its log finish, a fresh
pytest per test as long as the command. Each round runs all ways in turn; "added" is a round's median test less that
of the same round without isolation; the table has the median, the least and the most over rounds. pytest-forked is
installed at PATH (pip install --target PATH pytest-forked), or left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sidebyside import table

SUITE = """
import pytest
import torch

@pytest.mark.parametrize("number", range({tests}))
def test_one(number):
    assert torch is not None
"""

CONFTEST = """
import time

began = {}

def pytest_runtest_logstart(nodeid):
    began[nodeid] = time.monotonic()

def pytest_runtest_logfinish(nodeid):
    with open(TIMES, "a") as file:
        file.write(f"{time.monotonic() - began[nodeid]}\\n")
"""

FORKED = """
import pytest_forked

whole = pytest_forked.serialize_report

def serialize_report(report):
    values = whole(report)
    values.pop("_id", None)
    return {**values, "nodeid": report.nodeid}

pytest_forked.serialize_report = serialize_report
"""
"""What pytest-forked 1.7.5 lacks for pytest 9.2, whose reports have an id that is no plain value."""

PLAIN = "not isolated"
FRESH = "python -m pytest for each test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the suite is run."""

    options: Sequence[str]
    path: str | None = None
    is_command: bool = False
    """Whether a test is a command of its own, which is timed as a whole."""


@dataclass(slots=True)
class Suite:
    """The folder in which it lies."""

    folder: Path
    tests: int

    def write(self) -> None:
        """Write its files."""
        (self.folder / "pytest.ini").write_text("[pytest]\n")
        (self.folder / "test_suite.py").write_text(SUITE.format(tests=self.tests))
        (self.folder / "mended_forked.py").write_text(FORKED)
        (self.folder / "conftest.py").write_text(f"TIMES = {str(self.folder / 'times')!r}\n{CONFTEST}")

    def median(self, way: Way) -> float:
        """Run it, and return the seconds of its median test."""
        times = self.folder / "times"
        times.unlink(missing_ok=True)
        began = time.monotonic()
        self._run(way)
        took = time.monotonic() - began
        if way.is_command:
            return took
        # The first one loads what all of them need.
        return statistics.median([float(line) for line in times.read_text().split()][1:])

    def _run(self, way: Way) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GPUPOOL_"))}
        if way.path is not None:
            environ["PYTHONPATH"] = os.pathsep.join([way.path, str(self.folder)])
        off = [f"-pno:{name}" for name in ("randomly", "rerunfailures", "timeout", "pytest_cov", "hypothesispytest")]
        command = [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", *off, *way.options]
        done = subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")


def ways(forked: str | None) -> dict[str, Way]:
    """Return them by name, the one without isolation first."""
    isolated = ("--gpupool-devices=cpu", "--gpupool-isolate")
    found = {
        PLAIN: Way(options=("--gpupool-devices=cpu",)),
        "isolated": Way(options=isolated),
        "isolated, -n 1": Way(options=(*isolated, "-n1")),
    }
    if forked is not None:
        found["pytest-forked"] = Way(
            options=("-pno:gpupool", "-ppytest_forked", "-pmended_forked", "--forked"), path=forked
        )
    one = "test_suite.py::test_one[0]"
    return {**found, FRESH: Way(options=("-pno:gpupool", one), is_command=True)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tests", type=int, default=40)
    parser.add_argument("--forked", metavar="PATH")
    args = parser.parse_args()
    contenders = ways(args.forked)
    added: dict[str, list[float]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(Path(folder), args.tests)
        suite.write()
        suite.median(contenders[PLAIN])  # what is compiled and read from disk once
        for _ in range(args.rounds):
            medians = {name: suite.median(way) for name, way in contenders.items()}
            for name, seconds in medians.items():
                added[name].append(seconds - medians[PLAIN])
    rows = {
        name: tuple(f"{1000 * figure(seconds):.1f}" for figure in (statistics.median, min, max))
        for name, seconds in added.items()
        if name != PLAIN
    }
    table(f"added to each test, ms ({args.rounds} rounds of {args.tests} tests)", ("median", "least", "most"), rows)


if __name__ == "__main__":
    main()
