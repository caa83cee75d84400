"""Confirming: a test that has ended, of which a metric is suspect, is measured again. Nobody but us counts that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ...foreign.pytest_names import run_phases

CONFIRMS = "gpupool_confirms"
"""What marks the reports of a test that is only measured again."""


class Confirming:
    """A plugin of each process that runs tests; ``confirms`` says whether the test that begins is only measured again.

    Then its phases run as ever, but no plugin that runs tests in its own way hears of it, nor is shown that it begins,
    but for what ``begins``.
    """

    def __init__(self, confirms: Callable[[], bool], begins: Callable[[pytest.Item], None]) -> None:
        self._confirms = confirms
        self._begins = begins

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run it, where it is such a test."""
        if not self._confirms():
            return None
        self._begins(item)
        run_phases(item, nextitem)
        return True
