"""Time limits: how long each running test may still take, kept where a test that hangs cannot hold it up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Clock:
    test: str
    limit: float
    deadline: float | None  # None while it is paused


class TimeLimits:
    """One clock a worker. ``overdue(worker, test)`` is called once for a test at its limit, from another thread.

    The controller has one for all its workers, and a process that runs its tests by itself has one for itself.
    """

    def __init__(self, overdue: Callable[[str, str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._overdue = overdue
        self._clock = clock
        self._clocks: dict[str, _Clock] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self, worker: str, test: str, limit: float) -> None:
        """Start the clock of a worker that begins a test, which may take ``limit`` seconds."""
        with self._changed:
            self._clocks[worker] = _Clock(test, limit, self._clock() + limit)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gpupool-watch", daemon=True)
                self._thread.start()
            self._changed.notify()

    def restart(self, worker: str, test: str) -> None:
        """Start it anew, as an attempt at the test begins: the time before does not count."""
        with self._changed:
            clock = self._clocks.get(worker)
            if clock is not None and clock.test == test:
                clock.deadline = self._clock() + clock.limit
                self._changed.notify()

    def pause(self, worker: str, test: str) -> None:
        """Stop it while the test waits for something that is not its own; :meth:`restart` lets it run again."""
        with self._changed:
            clock = self._clocks.get(worker)
            if clock is not None and clock.test == test:
                clock.deadline = None

    def end(self, worker: str) -> None:
        """Forget it: the worker's test has ended, or the worker has."""
        with self._changed:
            self._clocks.pop(worker, None)

    def close(self) -> None:
        """Stop all for good, and wait for the thread; nothing is overdue after this."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now = self._clock()
                due = [
                    name for name, clock in self._clocks.items() if clock.deadline is not None and clock.deadline <= now
                ]
                for name in due:
                    self._overdue(name, self._clocks.pop(name).test)
                deadlines = [clock.deadline for clock in self._clocks.values() if clock.deadline is not None]
                self._changed.wait(min(deadlines) - now if deadlines else None)
