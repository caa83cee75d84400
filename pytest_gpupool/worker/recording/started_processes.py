"""Started processes: after each test it is seen which processes live that were started meanwhile, and told."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from ...processes.tree import Newcomers
from ...values.messages import LeftRunning

if TYPE_CHECKING:
    from .recorder import Recorder


class StartedProcesses:
    """The plugin. What has no parent here any more when its test is over is not seen; see ``sampling.leftovers``."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._newcomers = Newcomers()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Look once its tear-down is over."""
        try:
            return (yield)
        finally:
            with contextlib.suppress(OSError):  # as where there are no descriptors left
                self._look(item.nodeid)

    def _look(self, test: str) -> None:
        new = self._newcomers.look()
        tell = None if self._recorder.gate is None else self._recorder.gate.tell
        if new and tell is not None:
            tell(LeftRunning(test, [list(process) for process in new]))
