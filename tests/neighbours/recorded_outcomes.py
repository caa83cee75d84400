"""A plugin that writes down how each test ended. It lies in both environments, and the outer run alone loads it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

VARIABLE = "NEIGHBOURS_OUTCOMES"
"""Names the file, in the environment of the outer run alone."""

_file: list[Path] = []


def pytest_configure() -> None:
    """Take the file's name away, so that no inner run has it."""
    _file.append(Path(os.environ.pop(VARIABLE)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write a line for each phase."""
    outcome = f"x{report.outcome}" if hasattr(report, "wasxfail") else report.outcome
    line = [report.nodeid, report.when, outcome, report.longreprtext if report.failed else ""]
    with _file[-1].open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
