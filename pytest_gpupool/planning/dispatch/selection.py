"""Selection: what one worker is given next. Pure: no clock, no files."""

from __future__ import annotations

from collections.abc import Callable

from ..backlog.queue import Queue
from ..workers import Worker, Workers
from .reruns import Reruns
from .serial import SerialTurn


class Selection:
    """Takes tests for a worker from where they wait. What is taken here must be assigned to it."""

    def __init__(self, queue: Queue, workers: Workers, reruns: Reruns, serial: SerialTurn) -> None:
        self._queue = queue
        self._workers = workers
        self._reruns = reruns
        self._serial = serial

    def take_next(self, worker: Worker) -> int | None:
        """Take the test that a worker should run next, None where there is none for it now.

        That is the rest of its work unit; then a test that runs again; a serial one, if it is their turn; the best of
        the queue.
        """
        if worker.reserved:
            return worker.reserved.popleft()
        if self._serial.keeps_waiting(worker):
            return None
        if (index := self._serial.take_again(worker)) is not None:
            self._queue.hold_for(worker, index)
            self._queue.goes_to(worker, [index])
            return index
        if (index := self._reruns.take(worker)) is not None:
            self._queue.goes_to(worker, [index])
            return index
        if (serial := self._queue.next_serial()) is not None:
            if (index := self._serial.take(worker, serial)) is not None:
                self._queue.goes_to(worker, serial.tests)
            return index
        unit = self._queue.take(worker, self._workers.moment)
        return None if unit is None else worker.take_on(unit)

    def take_short(self, worker: Worker, is_short: Callable[[int], bool]) -> int | None:
        """Take a test to queue ahead, None where the next is not short, or must run alone, or without others."""
        if worker.locks_held or self._reruns.waiting_for_any or self._serial.is_near:
            return None
        if worker.reserved:
            return worker.reserved.popleft() if is_short(worker.reserved[0]) else None
        unit = self._queue.take_short(worker, is_short, self._workers.moment)
        return None if unit is None else worker.take_on(unit)

    def may_find(self, worker: Worker) -> bool:
        """Return whether anything waits for workers of that size at all: a quick answer before a slow search."""
        return bool(worker.reserved or self._queue.usable.by_size[worker.gpus])
