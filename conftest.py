"""For the whole repository: an option for the long versions of tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Long versions of tests are run by hand."""
    parser.addoption("--long", action="store_true", help="Run the long versions of tests.")
