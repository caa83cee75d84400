"""For the whole repository: which tests run, and how long they take."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# A worker that compiles all tests anew spends half of the quick lane on that, where the environment has
# PYTHONDONTWRITEBYTECODE, as containers often do.
sys.dont_write_bytecode = False

_NAMES = ("runs", "browser", "neighbours", "engines/slurm", "engines/ray", "gpu")
SLOW = [Path(__file__).parent / "tests" / name for name in _NAMES]
"""What starts pytest, a browser or a cluster."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Some run at every save, others by hand."""
    parser.addoption("--quick", action="store_true", help="Run no test that starts pytest, a browser or a cluster.")
    parser.addoption("--long", action="store_true", help="Run the long versions of tests.")
    parser.addoption("--write-docs", action="store_true", help="Write into pages what their commands print now.")


def pytest_configure(config: pytest.Config) -> None:
    """What a test says of itself."""
    config.addinivalue_line("markers", "long: run with --long alone; a shorter test shows most of it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones to --long."""
    if not config.getoption("long"):
        for item in items:
            if item.get_closest_marker("long") is not None:
                item.add_marker(pytest.mark.skip(reason="a shorter test shows most of it: --long"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the slow ones out of the quick lane."""
    return True if config.getoption("quick") and collection_path in SLOW else None
