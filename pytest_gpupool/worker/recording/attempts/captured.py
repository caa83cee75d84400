"""Captured: what pytest captures of a test goes to its log while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager

import pytest

from ....foreign.pytest_names import capture_descriptors
from ....logs.captured import CapturedOutput
from ....logs.worker_logs import WorkerLogs


class Captured:
    """The plugin. Its wrappers are within pytest's, which begin to capture, and empty the files at the end."""

    def __init__(self, logs: WorkerLogs) -> None:
        self._logs = logs
        self._output: CapturedOutput | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Tests are about to run; where pytest captures otherwise, or not at all, nothing is copied."""
        if self._logs.are_kept and (descriptors := capture_descriptors(session.config)):
            self._output = CapturedOutput(self._logs, descriptors)

    def aside(self) -> AbstractContextManager[None]:
        """What is captured meanwhile is in the log already."""
        return contextlib.nullcontext() if self._output is None else self._output.aside()

    @contextlib.contextmanager
    def copied(self) -> Iterator[None]:
        """Have what is captured meanwhile copied."""
        if self._output is None:
            yield
            return
        self._output.begin()
        try:
            yield
        finally:
            self._output.end()

    def goes_on_here(self) -> None:
        """This is a child that was forked for the running test."""
        if self._output is not None:
            self._output.goes_on_here()

    def close(self) -> None:
        """Copy no more."""
        if self._output is not None:
            self._output.close()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        """Copy what is captured meanwhile."""
        return (yield from self._copied())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Copy what is captured meanwhile."""
        return (yield from self._copied())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """Copy what is captured meanwhile."""
        return (yield from self._copied())

    def _copied(self) -> Generator[None, object, object]:
        __tracebackhide__ = True
        if self._output is None:
            return (yield)
        self._output.begin()
        try:
            return (yield)
        finally:
            self._output.end()
