"""Reruns: crashed tests, first while it is open whether they run again, then while they wait to.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..backlog.queue import Queue
from ..tests import Need, Test, kind_of
from ..workers import Worker, Workers


class Reruns:
    """Tests that crashed with their worker: undecided ones, and those that wait outside the queue to run again."""

    def __init__(self, tests: Mapping[int, Test], queue: Queue, workers: Workers) -> None:
        self._tests = tests
        self._queue = queue
        self._workers = workers
        self._undecided: set[int] = set()
        self._waiting: dict[int, frozenset[str]] = {}  # and the devices that each should not have again

    @property
    def waiting(self) -> bool:
        """Whether a test waits here to run again."""
        return bool(self._waiting)

    @property
    def undecided(self) -> bool:
        """Whether a test may run again, and nobody has said so yet."""
        return bool(self._undecided)

    @property
    def undecided_serial(self) -> bool:
        """Whether a test that ran alone crashed, and may run again before others."""
        return bool(self._undecided) and any(self._tests[index].serial for index in self._undecided)

    def crashed(self, index: int) -> None:
        """A test died with its worker: somebody will say whether it runs again."""
        self._undecided.add(index)

    def gives_up(self, index: int) -> bool:
        """A test does not run again; return whether that was undecided."""
        undecided = index in self._undecided
        self._undecided.discard(index)
        return undecided

    def add(self, index: int, avoid: Iterable[str]) -> None:
        """A test runs again, if possible not on these devices.

        In the queue, where it has to wait for others; with the worker that has the rest of its group, if one has; else
        it waits here, before all others.
        """
        self._undecided.discard(index)
        test = self._tests[index]
        if test.locks or test.serial or test.stage > self._queue.stage:
            self._queue.add([index])
        elif (owner := self._owner_of(test)) is not None:
            owner.reserved.appendleft(index)
        else:
            self._waiting[index] = frozenset(avoid)

    def take(self, worker: Worker) -> int | None:
        """Take a test that waits here for a worker, None where none fits or should wait for another one."""
        for index, avoid in self._waiting.items():
            fits = worker.can_run(self._tests[index], self._queue.need_of(index))
            if fits and not (worker.devices & avoid and self._has_others(index, avoid)):
                del self._waiting[index]
                return index
        return None

    def drop(self, is_lost: Callable[[int], bool]) -> list[int]:
        """Take out tests that nobody can run any more, and return them."""
        lost = [index for index in self._waiting if is_lost(index)]
        for index in lost:
            del self._waiting[index]
        return lost

    def all_waiting(self) -> list[int]:
        """Return the tests that wait here."""
        return list(self._waiting)

    def needs(self) -> list[Need]:
        """Return what the tests need that wait here."""
        return [self._queue.need_of(index) for index in self._waiting]

    def undecided_needs(self) -> list[Need]:
        """Return what the undecided tests need."""
        return [self._queue.need_of(index) for index in self._undecided]

    def _has_others(self, index: int, avoid: frozenset[str]) -> bool:
        """Return whether another worker fits a test, or will come, that does not hold these devices."""
        need = self._queue.need_of(index)
        return bool(self._workers.coming[need[0]]) or any(
            other.can_run(self._tests[index], need) and not other.retired and not other.devices & avoid
            for other in self._workers
        )

    def _owner_of(self, test: Test) -> Worker | None:
        """Return the worker that has tests of the same group and kind, assigned or reserved."""
        if test.group is None:
            return None
        need = self._queue.need_of(test.index)
        for worker in self._workers:
            if worker.retired or not worker.can_run(test, need):
                continue
            if any(kind_of(self._tests[index]) == kind_of(test) for index in worker.tests):
                return worker
        return None
