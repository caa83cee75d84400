"""Refusal: a marker that makes no sense, or asks for what is not to be had, is its test's error."""

from __future__ import annotations

import pytest

from .recorder import Recorder


class Refusal:
    """The plugin that says so, within the set-up, which other plugins' wrappers have to have seen begin."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Before any fixture is set up."""
        if (why := self._recorder.refuses(item)) is not None:
            pytest.fail(f"gpupool: {why}", pytrace=False)
