"""Idle times: for how long each worker has had its devices and no test, and what for.

Pure: standard library only, no clock, no files. Whoever holds a planner asks when a worker has ended. To cost next to
nothing where there are many workers and short tests, it looks twice a second at most, before an event changes anything:
what is idle then has been so since the event before, and since the last look where it was idle at that one. A time can
be wrong by the half second between two looks.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..backlog.queue import Queue
from ..workers import Worker, Workers
from .serial import SerialTurn

SECONDS_BETWEEN = 0.5
"""The least time between two looks."""

REASONS = ("stage", "serial", "lock", "set-up")
"""What a worker can wait for: tests of a lower stage, serial ones, others with the same lock, what others have set up.

That last one is tests that are left to those who have their fixtures set up, see :mod:`families`.
"""


class IdleTimes:
    """How long workers have been idle, by reason."""

    def __init__(self, workers: Workers, queue: Queue, serial: SerialTurn) -> None:
        self._workers = workers
        self._queue = queue
        self._serial = serial
        self._seconds: dict[str, dict[str, float]] = {}
        self._before: float | None = None
        self._looked = 0.0
        self._known: frozenset[str] = frozenset()

    def at(self, now: float) -> None:
        """It is that late, and nothing has changed since the last event."""
        before, self._before = self._before, now
        if before is None:
            self._looked = now
        if before is None or now - self._looked < SECONDS_BETWEEN:
            return
        idle = dict(self._idle())
        for name, reason in idle.items():
            if reason is not None:
                since = self._looked if name in self._known else before
                times = self._seconds.setdefault(name, {})
                times[reason] = times.get(reason, 0.0) + now - since
        self._looked, self._known = now, frozenset(idle)

    def of(self, worker: str) -> dict[str, float]:
        """Return the seconds of a worker, present or gone, by reason."""
        return self._seconds.get(worker, {})

    def _idle(self) -> Iterator[tuple[str, str | None]]:
        """Yield who is idle, and why, None where that cannot be told."""
        found: dict[tuple[int, float], str | None] = {}
        for gpus in self._workers.idle.sizes():
            for worker in map(self._workers.__getitem__, self._workers.idle.of_size(gpus)):
                kind = worker.gpus, worker.memory
                if kind not in found:
                    found[kind] = self._reason(worker)
                yield worker.name, found[kind]

    def _reason(self, worker: Worker) -> str | None:
        if self._queue.usable.lacked():
            return None  # perhaps it has not collected what waits
        if self._serial.is_near:
            return "serial"
        if any(map(worker.fits, self._queue.loads.needs())):
            return "set-up" if self._queue.families.some_wait else "lock"
        if self._queue.usable.suiting(worker.gpus, worker.memory) <= 0:
            return None
        return "stage" if self._queue.some_are_later else "serial"
