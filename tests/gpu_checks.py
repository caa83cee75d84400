"""Checks on real GPUs: skipped, with the reason, where there is none; at the end one table says what was seen.

A plugin, which tests/conftest.py registers: there is one conftest.py in this tree.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import gpu_table
import pytest
from gpu_machine import GpuHost, Machine, find
from gpu_table import Checks

HERE = "tests/gpu/"
_rows = pytest.StashKey[Checks]()
_machine: list[Machine] = []  # of this process; what a worker of xdist has found the controller does not know
_began = time.monotonic()


@pytest.fixture(scope="session")
def machine() -> Machine:
    """The GPUs and the torch of this host; skips where there is none."""
    found = find()
    if isinstance(found, str):
        pytest.skip(found)
    _machine.append(found)
    return found


@pytest.fixture
def real_host(machine: Machine, tmp_path: Path) -> GpuHost:
    """This host, to run pytest on one of its devices."""
    return GpuHost(tmp_path, machine)


@pytest.fixture
def checks(request: pytest.FixtureRequest) -> Checks:
    """Takes what is expected and what was seen; the test fails where these differ, when it has seen all."""
    made = Checks()
    request.node.stash[_rows] = made
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Keep a test's rows in its report, also where it fails halfway, and fail it where one is bad."""
    try:
        yield
    finally:
        made = item.stash.get(_rows, Checks())
        item.user_properties += [(gpu_table.PROPERTY, list(row.cells)) for row in made.rows]
    if made.bad:
        told = "\n".join(f"{row.what}: expected {row.expected}, seen {row.seen}" for row in made.bad)
        pytest.fail(told, pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    kinds = ("passed", "failed", "error", "skipped")
    reports = [report for kind in kinds for report in terminalreporter.stats.get(kind, []) if HERE in report.nodeid]
    reports.sort(key=lambda report: getattr(report, "start", 0.0))
    if not reports:
        return
    name = str(_machine[0]) if _machine else "a real GPU"
    terminalreporter.section(f"checks on {name}")
    for line in gpu_table.lines(gpu_table.rows_of(reports), time.monotonic() - _began):
        terminalreporter.write_line(line)
