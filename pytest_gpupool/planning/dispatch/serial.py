"""Serial tests: whose turn it is to run one while nothing else runs. Pure: no clock, no files."""

from __future__ import annotations

from collections.abc import Mapping

from ..backlog.queue import Queue
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
        self._ending: set[str] = set()

    @property
    def is_taken(self) -> bool:
        """Whether a worker runs serial tests now."""
        return self._worker is not None

    @property
    def is_near(self) -> bool:
        """Whether serial tests run now, may run again, or are next: nothing is queued ahead of time then."""
        return self.is_taken or self._reruns.undecided_serial or self._queue.next_serial() is not None

    @property
    def keeps_all(self) -> bool:
        """Whether nobody is to be let go only since there is nothing for it: a serial test runs, or can run next."""
        unit = self._queue.next_serial()
        can_come = unit is not None and self._workers.some_have(unit.need, unit.lacked_by)
        return self.is_under_way or can_come

    @property
    def is_under_way(self) -> bool:
        """Whether a serial test runs, or has died and may run again before all others."""
        return self.is_taken or self._reruns.undecided_serial

    def keeps_waiting(self, worker: Worker) -> bool:
        """Return whether a worker may begin nothing: another has its turn, or a test that had one may run again."""
        return self._worker not in (None, worker.name) or self._reruns.undecided_serial

    def in_the_way(self) -> list[Worker]:
        """Return the workers that wait for devices while one that has its own could run the serial test that is next.

        They may get them in the middle of it, and who knows when: they are to be let go.
        """
        unit = self._queue.next_serial()
        if unit is None or self._reruns.waiting or self._reruns.undecided:
            return []
        idle = map(self._workers.__getitem__, self._workers.idle.of_size(unit.gpus))
        if not any(worker.fits(unit.need) and worker.has(unit.lacked_by) for worker in idle):
            return []
        starting = self._workers.starting
        names = [name for gpus in starting.sizes() for name in starting.of_size(gpus)]
        return [worker for worker in map(self._workers.__getitem__, names) if not worker.leased]

    def take(self, worker: Worker, unit: WorkUnit) -> int | None:
        """Give a worker the serial unit that is next, and return its first test.

        None where another test runs or may run again, where another worker starts, collects or ends, or where this one
        does not fit.
        """
        if (
            self._reruns.waiting
            or self._reruns.undecided
            or not (worker.fits(unit.need) and worker.has(unit.lacked_by))
        ):
            return None
        if self._ending or self._workers.some_come:
            return None
        if any(other.is_busy or other.retired for other in self._workers if other is not worker):
            return None
        self._worker = worker.name
        return worker.take_on(self._queue.take_serial())

    def take_again(self, worker: Worker) -> int | None:
        """Give a worker a test that runs again when nobody has anything to do; a serial one takes its turn with that.

        None where there is none for it, or another worker starts, collects or ends beside a serial one.
        """
        index = self._reruns.next_alone(worker)
        if index is None:
            return None
        if self._tests[index].serial:
            others = any(other.is_busy or other.retired for other in self._workers if other is not worker)
            if others or self._ending or self._workers.some_come:
                return None
            self._worker = worker.name
        self._reruns.take_alone(index)
        return index

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

    def is_ending(self, worker: str) -> None:
        """A worker is gone, but its process is not yet."""
        self._ending.add(worker)

    def has_exited(self, worker: str) -> bool:
        """Its process is gone, too; return whether somebody may have waited for that."""
        self._ending.discard(worker)
        return not self._ending and (self.is_near or self._reruns.need_alone() is not None)
