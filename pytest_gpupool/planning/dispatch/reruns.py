"""Reruns: tests that have failed, first while it is open whether they run again, then while they wait to.

Pure: standard library only, no clock, no files. One that ran out of memory is for a fresh worker: one that has run
nothing, and so has its devices as they were. Where workers share devices it must be one that shares its own with
nobody: such a test waits until nobody has anything to do. So does one that may not run beside others.

Where an engine chooses the devices of a new worker, that may be those which a test is not to have again. A worker that
has nothing else to do is exchanged then: another one is asked for, so often; then the test is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from ..backlog.queue import Queue
from ..tests import Need, Test, kind_of
from ..workers import Worker, Workers


class Reruns:
    """Tests that crashed with their worker: undecided ones, and those that wait outside the queue to run again.

    ``are_shared`` says whether several workers use a device.
    """

    def __init__(self, tests: Mapping[int, Test], queue: Queue, workers: Workers, *, are_shared: bool = False) -> None:
        self._tests = tests
        self._are_shared = are_shared
        self._queue = queue
        self._workers = workers
        self._undecided: set[int] = set()
        self._waiting: dict[int, frozenset[str]] = {}  # and the devices that each should not have again
        self._exchanges: dict[int, int] = {}  # of these, those that must not, and how many more workers are exchanged
        self._fresh: set[int] = set()  # of these, those that wait for a fresh worker
        self._alone: list[int] = []  # those that wait until nobody has anything to do
        self._given: set[int] = set()  # tests that a fresh worker was given

    @property
    def waiting(self) -> bool:
        """Whether a test waits here to run again, as soon as there is a worker for it."""
        return bool(self._waiting)

    @property
    def waiting_for_any(self) -> bool:
        """Whether one waits that any worker may run."""
        return len(self._waiting) > len(self._fresh)

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

    def add(self, index: int, avoid: Iterable[str], *, fresh: bool = False, exchanges: int = 0) -> None:
        """A test runs again, if possible not on these devices, and if ``fresh`` on a worker that has run nothing.

        With ``exchanges`` not at all on these, if it waits here: so many workers are exchanged for its sake.

        In the queue, where it has to wait for others; with the worker that has the rest of its group, if one has; else
        it waits here, before all others.
        """
        self._undecided.discard(index)
        self._given.discard(index)
        test = self._tests[index]
        if fresh and (self._are_shared or test.locks or test.serial):
            self._alone.append(index)
        elif fresh:
            self._waiting[index] = frozenset(avoid)
            self._fresh.add(index)
        elif test.locks or test.serial or test.stage > self._queue.stage:
            self._queue.add([index])
        elif (owner := self._owner_of(test)) is not None:
            owner.reserved.appendleft(index)
        else:
            self._waiting[index] = frozenset(avoid)
        if exchanges and index in self._waiting:
            self._exchanges[index] = exchanges

    def take(self, worker: Worker) -> int | None:
        """Take a test that waits here for a worker, None where none fits or should wait for another one."""
        for index, avoid in self._waiting.items():
            fits = worker.can_run(self._tests[index], self._queue.need_of(index))
            if index in self._fresh and not worker.is_fresh:
                continue
            if fits and not (worker.devices & avoid and (index in self._exchanges or self._has_others(index, avoid))):
                self._given |= self._fresh & {index}
                self._forget(index)
                return index
        return None

    def takes_back(self, index: int) -> bool:
        """A worker has not begun a test that it was given: if that was for a fresh one it waits for another such."""
        if index not in self._given:
            return False
        self.add(index, (), fresh=True)
        return True

    def next_alone(self, worker: Worker) -> int | None:
        """Return the next test that waits until nobody has anything to do, where this worker was started for it."""
        if not (self._alone and worker.is_alone and worker.is_fresh):
            return None
        index = self._alone[0]
        return index if worker.can_run(self._tests[index], self._queue.need_of(index)) else None

    def take_alone(self, index: int) -> None:
        """Such a test is given to the worker."""
        self._alone.remove(index)
        self._given.add(index)

    def has_come(self, worker: Worker) -> None:
        """A fresh worker is here. What it has not collected no other fresh one may have either: anybody may run that.

        So no end of workers is started for a test that comes and goes with each collection.
        """
        lacked = {index for index in (*self._fresh, *self._alone) if not worker.has(self._tests[index].lacked_by)}
        self._fresh -= lacked
        for index in [index for index in self._alone if index in lacked]:
            self._alone.remove(index)
            self.add(index, ())

    def need_alone(self) -> Need | None:
        """Return what the next test needs that waits until nobody has anything to do, None where there is none."""
        return self._queue.need_of(self._alone[0]) if self._alone else None

    def drop(self, is_lost: Callable[[int], bool]) -> list[int]:
        """Take out tests that nobody can run any more, and return them."""
        lost = [index for index in self._waiting if is_lost(index)]
        for index in lost:
            self._forget(index)
        return lost

    def all_waiting(self) -> list[int]:
        """Return the tests that wait here."""
        return [*self._waiting, *self._alone]

    def give_up(self, tests: Container[int]) -> None:
        """These do not run again, for want of time."""
        self.drop(tests.__contains__)
        self._alone = [index for index in self._alone if index not in tests]

    def kept_from(self, worker: Worker) -> list[int]:
        """Return the tests that wait here for other devices than a worker's, for whose sake it is to be exchanged."""
        return [
            index
            for index, avoid in self._waiting.items()
            if self._exchanges.get(index, 0) > 0
            and (worker.is_barred or worker.devices & avoid)
            and worker.can_run(self._tests[index], self._queue.need_of(index))
        ]

    def is_exchanged_for(self, tests: Iterable[int]) -> None:
        """A worker goes, and another one comes in its place, for the sake of these tests."""
        for index in tests:
            self._exchanges[index] -= 1

    def drop_in_vain(self) -> list[int]:
        """Take out tests for which no worker is exchanged any more, and that none of those which are left may run."""
        spent = [(index, avoid) for index, avoid in self._waiting.items() if self._is_spent(index)]
        lost = [index for index, avoid in spent if not self._has_others(index, avoid)]
        for index in lost:
            self._forget(index)
        return lost

    def needs(self) -> list[Need]:
        """Return what the tests need that wait here for a worker, and for which one more may be started."""
        return [self._queue.need_of(index) for index in self._waiting if not self._is_spent(index)]

    def spent_needs(self) -> list[Need]:
        """Return what the others need: they wait for one of those that there are, or that come."""
        return [self._queue.need_of(index) for index in self._waiting if self._is_spent(index)]

    def fresh_needs(self) -> list[Need]:
        """Return what those of them need that wait for a fresh one."""
        return [self._queue.need_of(index) for index in self._fresh if not self._is_spent(index)]

    def _forget(self, index: int) -> None:
        del self._waiting[index]
        self._exchanges.pop(index, None)
        self._fresh.discard(index)

    def undecided_needs(self) -> list[Need]:
        """Return what the undecided tests need."""
        return [self._queue.need_of(index) for index in self._undecided]

    def _has_others(self, index: int, avoid: frozenset[str]) -> bool:
        """Return whether another worker fits a test, or will come, that does not hold these devices."""
        need = self._queue.need_of(index)
        return bool(self._workers.coming[need[0]]) or any(
            other.can_run(self._tests[index], need) and not (other.retired or other.is_barred or other.devices & avoid)
            for other in self._workers
        )

    def _is_spent(self, index: int) -> bool:
        """Return whether so many workers were exchanged for a test's sake that no other one is."""
        return self._exchanges.get(index) == 0

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
