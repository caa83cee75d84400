"""Serial tests: whose turn it is to run one while nothing else runs. Pure: no clock, no files."""

from __future__ import annotations

from collections.abc import Mapping

from ..queue import Queue
from ..tests import Test, WorkUnit
from ..workers import Worker, Workers
from .reruns import Reruns


class SerialTurn:
    """Which worker runs serial tests now: from when it is given the first of a work unit to the end of the last."""

    def __init__(self, tests: Mapping[int, Test], queue: Queue, workers: Workers, reruns: Reruns) -> None:
        self._tests = tests
        self._queue = queue
        self._workers = workers
        self._reruns = reruns
        self._worker: str | None = None

    @property
    def is_taken(self) -> bool:
        """Whether a worker runs serial tests now."""
        return self._worker is not None

    @property
    def is_near(self) -> bool:
        """Whether serial tests run now, may run again, or are next: nothing is queued ahead of time then."""
        return self.is_taken or self._reruns.undecided_serial or self._queue.next_serial() is not None

    def keeps_waiting(self, worker: Worker) -> bool:
        """Return whether a worker may begin nothing: another has its turn, or a test that had one may run again."""
        return self._worker not in (None, worker.name) or self._reruns.undecided_serial

    def take(self, worker: Worker, unit: WorkUnit) -> int | None:
        """Give a worker the serial unit that is next, and return its first test.

        None where another test runs or may run again, or where the worker does not fit.
        """
        if self._reruns.waiting or self._reruns.undecided or not worker.fits(unit.need):
            return None
        if any(other.is_busy for other in self._workers if other is not worker):
            return None
        self._worker = worker.name
        return worker.take_on(self._queue.take_serial())

    def ends(self, worker: Worker) -> bool:
        """A worker has fewer tests than before; return whether its turn is over with that."""
        if self._worker != worker.name or any(self._tests[index].serial for index in worker.tests):
            return False
        self._worker = None
        return True

    def leaves(self, worker: Worker) -> None:
        """A worker is gone, and its turn with it."""
        if self._worker == worker.name:
            self._worker = None
