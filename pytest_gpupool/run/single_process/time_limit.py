"""The time limit, kept as well as a process can that keeps its own: a signal interrupts the test, which fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator

import pytest

from ...options.options import Options
from ...processes import stacks
from ...processes.own.handlers import Handler
from ...processes.time_limits import TimeLimits
from ...values.errors import MarkerProblem
from ...values.texts import shortened
from ...worker.items.markers import requirement_of
from ...worker.recording.recorder import Recorder
from ...worker.recording.writer import SINGLE_PROCESS

_ALARM = getattr(signal, "SIGRTMIN", 0) + 6  # SIGALRM is pytest-timeout's


class TimeLimit:
    """The plugin that fails a test which takes longer than it may; for an isolated one it is the last resort."""

    def __init__(self, options: Options, recorder: Recorder) -> None:
        self._options = options
        self._recorder = recorder
        self._clock: TimeLimits | None = None
        self._running: tuple[str, float] | None = None  # the test whose time is kept, and its limit

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Keep the time of a test that may take only so long."""
        limit = self._limit(item)
        if limit is None or threading.current_thread() is not threading.main_thread():
            return (yield)
        alarm = Handler(_ALARM, lambda *_: self._fail(limit))
        alarm.set()
        if self._clock is None:
            self._clock = TimeLimits(lambda *_: signal.pthread_kill(threading.main_thread().ident or 0, _ALARM))
        self._running = (item.nodeid, limit)
        try:
            return (yield)
        finally:
            self._running = None
            self._clock.end(SINGLE_PROCESS)
            alarm.put_back()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Each attempt has the whole time."""
        if self._clock is not None and self._running is not None and self._running[0] == nodeid:
            self._clock.begin(SINGLE_PROCESS, *self._running)

    def pytest_unconfigure(self) -> None:
        """Stop the clock."""
        if self._clock is not None:
            self._clock.close()

    def _fail(self, limit: float) -> None:
        self._recorder.takes_too_long()
        frames = stacks.own_stacks()
        pytest.fail(shortened(f"this test took longer than {limit:g} s; its stacks then:\n{frames}"), pytrace=False)

    def _limit(self, item: pytest.Item) -> float | None:
        options = self._options
        try:
            return requirement_of(item).limit_of_worker(options.timeout, isolates=options.isolate)
        except MarkerProblem:
            return None  # said when the test is set up
