"""Run the same suite under several schedulers in turn, and say when its tests began and ended.

Each test appends its begin and end to a file, on the clock that all processes share.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SUITE = """
import os, time
import pytest

@pytest.mark.parametrize("case", range({count}))
def test_case(case):
    began = time.monotonic()
    time.sleep(float({durations}[case]))
    os.write(log, f"{{began}} {{time.monotonic()}}\\n".encode())

log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
"""

SCHEDULERS: Mapping[str, Sequence[str]] = {
    "xdist load": ("-p", "no:gpupool", "--dist", "load"),
    "xdist worksteal": ("-p", "no:gpupool", "--dist", "worksteal"),
    "gpupool": ("--gpupool-devices", "cpu"),
}


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One run, in seconds: the whole command, command to first test, first test to last end."""

    wall: float
    first: float
    makespan: float


def time_run(scheduler: str, durations: Sequence[float], workers: int) -> Timing:
    """Run a suite of sleeping tests once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "log"
        (folder / "pytest.ini").write_text("[pytest]\n")
        suite = SUITE.format(count=len(durations), durations=list(durations), log=str(log))
        (folder / "test_suite.py").write_text(suite)
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), *SCHEDULERS[scheduler]]
        # Companions that happen to be installed would be timed as well.
        environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        own = [] if "no:gpupool" in command else ["-p", "pytest_gpupool.plugin"]
        subprocess.run(
            [*command, "-p", "xdist", *own], cwd=folder, env=environ, check=True, capture_output=True, timeout=600
        )
        wall = time.monotonic() - began
        spans = [tuple(map(float, line.split())) for line in log.read_text().splitlines()]
    assert len(spans) == len(durations), "a test is missing"
    first = min(start for start, _ in spans)
    return Timing(wall=wall, first=first - began, makespan=max(end for _, end in spans) - first)


def rounds(durations: Sequence[float], workers: int, count: int, schedulers: Sequence[str]) -> dict[str, list[Timing]]:
    """Run every scheduler once per round, in turn, so that a slow moment of the machine meets all of them."""
    timings: dict[str, list[Timing]] = {name: [] for name in schedulers}
    for number in range(count):
        # Another one begins each time: what a run leaves behind for the next is then nobody's alone.
        for name in (*schedulers[number % len(schedulers) :], *schedulers[: number % len(schedulers)]):
            timings[name].append(time_run(name, durations, workers))
    return timings


def median(timings: Sequence[Timing], figure: Callable[[Timing], float]) -> float:
    """Return the median of one figure."""
    return statistics.median(map(figure, timings))


def table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    """Print a Markdown table."""
    print(f"\n| {title} | {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * len(columns)}")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")
    sys.stdout.flush()
