"""Live: ``--gpupool-live``, a table on the terminal while the run goes on; without a terminal a line now and then.

A thread in the controller's process reads the run's journals, to which workers write before the controller hears of it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Generator
from typing import Any

import pytest

from ..options import companions
from ..processes.own.events import Event
from ..run.controller import Controller
from . import painter
from .displays import LogDisplay, TableDisplay
from .snapshot import Observer

_DUMB = ("", "dumb", "unknown")
_JOIN_SECONDS = 2.0  # a driver may not answer


class Live:
    """The display of one run. ``workers``: other processes run the tests."""

    def __init__(self, controller: Controller, *, workers: bool) -> None:
        """Raises UsageProblem where there is a terminal, but not what it takes to draw a table."""
        self.refresh = 1.0
        """Seconds between two looks at the run, on a terminal."""
        self.interval = 30.0
        """Seconds between two lines, where there is none."""
        self._controller = controller
        self._config = controller.config
        self._workers = workers
        self._is_off = companions.debugs(self._config)
        self._is_captured = companions.captures(self._config)
        self._is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "") not in _DUMB
        if self._is_terminal and not self._is_off:
            painter.need_rich()
        self._observer = Observer(controller)
        self._display: TableDisplay | LogDisplay | None = None
        self._ended = Event()
        self._thread: threading.Thread | None = None

    @pytest.hookimpl
    def pytest_report_header(self) -> list[str]:
        """Say so where there is nothing to be seen."""
        return ["gpupool: --gpupool-live has no effect with --pdb or --trace"] if self._is_off else []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Begin, before xdist starts workers: they have standard error from this process."""
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is None or self._is_off:
            return
        self._display = self._table(reporter) or self._log(reporter)
        if self._display is not None:
            self._config.add_cleanup(self._close)
            self._thread = threading.Thread(target=self._run, args=(self._display,), name="gpupool-live", daemon=True)
            self._thread.start()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Make way for pytest's summary."""
        if self._display is not None:
            self._ended.set()
            self._display.stop()
        return (yield)

    @pytest.hookimpl
    def pytest_enter_pdb(self) -> None:
        """A debugger that a test calls has the terminal to itself."""
        if self._display is not None:
            self._display.pause()

    @pytest.hookimpl
    def pytest_leave_pdb(self) -> None:
        """It has gone."""
        if self._display is not None and not self._ended.is_set():
            self._display.resume()

    def _table(self, reporter: Any) -> TableDisplay | None:
        if not self._is_terminal:
            return None
        shared = self._workers or not self._is_captured
        with contextlib.suppress(OSError):
            return TableDisplay(self._observer, reporter, refresh=self.refresh, shared=shared, workers=self._workers)
        return None

    def _log(self, reporter: Any) -> LogDisplay | None:
        if self._config.get_verbosity() < 0:
            return None
        return LogDisplay(self._observer, reporter, interval=self.interval)

    def _run(self, display: TableDisplay | LogDisplay) -> None:
        try:
            self._observer.open()
            while not self._ended.wait(display.seconds):
                display.step()
        except Exception as error:  # whatever it is, it is no reason for the run to fail
            display.stop()
            self._controller.console.warn(f"the live display ended early: {type(error).__name__}: {error}")
        finally:
            self._observer.close()

    def _close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
        if self._display is not None:
            self._display.close()
