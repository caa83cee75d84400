"""Hookspecs: the hooks that other plugins and conftest.py files may implement, as pluggy has them.

All are called in the process that the user started (with ``-n`` xdist's controller), when the run is over and every
metric is decided, before pytest's summary. Arguments may be left out. What they are given is a copy.
"""

from __future__ import annotations

from typing import Any


def pytest_gpupool_metric(nodeid: str, metric: dict[str, Any], config: Any) -> None:
    """Called for each metric of the run's own results, as ``tests[].metrics[]`` of the JSON report has it."""


def pytest_gpupool_decision(nodeid: str, metric: dict[str, Any], config: Any) -> None:
    """Called for each metric that has a verdict, of aggregates too: ``metric["verdict"]`` says it."""


def pytest_gpupool_report(report: dict[str, Any], config: Any) -> None:
    """Called once with the JSON report, whether or not it is written to a file."""
