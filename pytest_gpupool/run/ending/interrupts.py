"""Interrupts: SIGTERM ends a run as Ctrl-C does, with fixtures torn down and reports written, and exit status 143."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from types import FrameType

import pytest

from ...processes.own.handlers import Handler

EXIT_SIGTERM = 128 + signal.SIGTERM
"""What a shell shows for a process that SIGTERM ended."""


class Interrupts:
    """Hears SIGTERM while the session goes on; a second one ends what is left without grace."""

    def __init__(self) -> None:
        self._handler: Handler | None = None
        self._heard = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Begin to hear, unless the program that called pytest does so itself."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._handler = Handler(signal.SIGTERM, self._stop)
            self._handler.set()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Say what ended the run. Other plugins hear of an interrupt: pytest shows no summary for other statuses."""
        if self._heard:
            session.exitstatus = EXIT_SIGTERM
        return (yield)

    def pytest_unconfigure(self) -> None:
        """Leave the signal as it was."""
        if self._handler is not None:
            self._handler.put_back()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._heard:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            raise KeyboardInterrupt
        self._heard = True
        pytest.exit("gpupool: SIGTERM", pytest.ExitCode.INTERRUPTED)
