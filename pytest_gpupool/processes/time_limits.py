"""Time limits: how long each running test may still take, kept where a test that hangs cannot hold it up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from .own import clock
from .own.events import Event


@dataclass(slots=True)
class _Clock:
    test: str
    limit: float
    deadline: float | None  # None while it is paused


class TimeLimits:
    """One clock a worker. ``overdue(worker, test)`` is called once for a test at its limit, from another thread.

    The controller has one for all its workers, and a process that runs its tests by itself has one for itself.
    """

    def __init__(self, overdue: Callable[[str, str], None], *, clock: Callable[[], float] = clock.monotonic) -> None:
        self._overdue = overdue
        self._clock = clock
        self._clocks: dict[str, _Clock] = {}
        self._waiting: set[str] = set()  # workers that wait for us, whether we know already what they run or not
        self._lock = threading.RLock()  # who is told may use the limits
        self._changed = Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self, worker: str, test: str, limit: float) -> None:
        """Start the clock of a worker that begins a test, which may take ``limit`` seconds.

        Who says so may be late: the test may be nearly over by now, and its worker wait for us.
        """
        with self._lock:
            deadline = None if worker in self._waiting else self._clock() + limit
            self._clocks[worker] = _Clock(test, limit, deadline)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gpupool-watch", daemon=True)
                self._thread.start()
            self._changed.set()

    def restart(self, worker: str, test: str) -> None:
        """Start it anew, as an attempt at the test begins: the time before does not count."""
        with self._lock:
            clock = self._clocks.get(worker)
            if clock is not None and clock.test == test and worker not in self._waiting:
                clock.deadline = self._clock() + clock.limit
                self._changed.set()

    def pause(self, worker: str, test: str) -> None:
        """Stop it while the test waits for something that is not its own; :meth:`restart` lets it run again."""
        with self._lock:
            clock = self._clocks.get(worker)
            if clock is not None and clock.test == test:
                clock.deadline = None

    def wait(self, worker: str) -> None:
        """Stop the clock of a worker while its test waits for us; :meth:`go_on` lets it run again, from the start."""
        with self._lock:
            self._waiting.add(worker)
            if (clock := self._clocks.get(worker)) is not None:
                clock.deadline = None

    def go_on(self, worker: str) -> None:
        """The worker's test waits for us no more; where it did not, nothing happens."""
        with self._lock:
            if worker in self._waiting:
                self._waiting.remove(worker)
                if (clock := self._clocks.get(worker)) is not None:
                    clock.deadline = self._clock() + clock.limit
                    self._changed.set()

    def end(self, worker: str) -> None:
        """Forget it: the worker's test has ended, or the worker has."""
        with self._lock:
            self._clocks.pop(worker, None)

    def close(self) -> None:
        """Stop all for good, and wait for the thread; nothing is overdue after this."""
        with self._lock:
            self._closed = True
            self._changed.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (seconds := self._look()) is not None:
            self._changed.wait(seconds)

    def _look(self) -> float | None:
        """Tell of those that are overdue; return how long there is nothing to do then, None at the end."""
        self._changed.clear()
        with self._lock:
            if self._closed:
                return None
            now = self._clock()
            due = [name for name, clock in self._clocks.items() if clock.deadline is not None and clock.deadline <= now]
            for name in due:
                self._overdue(name, self._clocks.pop(name).test)
            deadlines = [clock.deadline for clock in self._clocks.values() if clock.deadline is not None]
            # A limit may be a number of seconds that no clock has.
            return min(min(deadlines) - now, threading.TIMEOUT_MAX) if deadlines else threading.TIMEOUT_MAX
