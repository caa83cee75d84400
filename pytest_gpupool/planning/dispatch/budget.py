"""The budget: tests whose expected end lies beyond the time that a run has do not start.

Pure: standard library only, no clock, no files. What is left never becomes more, so such a test never will: it is given
up. A test is expected to take what earlier runs say, and what has to be set up for it where no worker has that; one of
which nobody knows how long it takes starts as long as there is time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Mapping

from ...values.wide_fixture import WideFixture
from ..backlog.queue import Queue
from ..progress import Progress
from ..tests import Test
from ..workers import Worker, Workers
from .reruns import Reruns


class Budget:
    """Gives up what can no longer end by ``deadline``, on the clock of :class:`Moment`, None where there is none."""

    def __init__(
        self,
        deadline: float | None,
        tests: Mapping[int, Test],
        queue: Queue,
        workers: Workers,
        reruns: Reruns,
        progress: Progress,
    ) -> None:
        self.given_up: list[int] = []
        """The tests that do not start."""
        self._deadline = math.inf if deadline is None else deadline
        self._tests = tests
        self._queue = queue
        self._workers = workers
        self._reruns = reruns
        self._progress = progress
        self._has_expired = False
        self._longest = math.inf  # of what waits, at most, with all that may have to be set up

    def has_more(self) -> None:
        """More tests wait than did when it was last looked."""
        self._longest = math.inf
        self.expire()

    def has_expired(self) -> bool:
        """Give up what is too late; return whether since this was asked last a stage began with that, or all is over.

        Then workers may have something to do that wait, or none may have any more.
        """
        self.expire()
        expired, self._has_expired = self._has_expired, False
        return expired

    def expire(self) -> None:
        """Give up what can no longer end in time."""
        if self._deadline == math.inf:
            return
        left = self._deadline - self._workers.now
        if left > 0 and self._longest <= left:
            return
        ready = {fixture for worker in self._workers if not worker.retired for fixture in worker.set_up}
        waiting = {index: self._tests[index] for index in self._waiting()}
        late = {index for index, test in waiting.items() if left <= 0 or self._expected(test, ready) > left}
        nothing = frozenset[WideFixture]()
        rest = (self._expected(test, nothing) for index, test in waiting.items() if index not in late)
        self._longest = max(rest, default=0.0)
        if not late:
            return
        self._queue.sort_anew(without=late)
        self._reruns.give_up(late)
        for worker in self._workers:
            self._take_from(worker, late)
        self.given_up += sorted(late)
        frees = [self._progress.over(index) for index in sorted(late)]
        self._has_expired |= any(frees) or self._progress.finished

    def _expected(self, test: Test, ready: Container[WideFixture]) -> float:
        missing = (fixture for fixture in test.set_ups if fixture not in ready)
        return (test.seconds or 0.0) + self._queue.costs.total(missing)

    def _waiting(self) -> list[int]:
        reserved = [index for worker in self._workers for index in worker.reserved]
        return [*self._queue.waiting(), *reserved, *self._reruns.all_waiting()]

    def _take_from(self, worker: Worker, late: set[int]) -> None:
        """Take from a worker what it would be given later; its locks are held until the last of the unit ends."""
        if late.isdisjoint(worker.reserved):
            return
        worker.reserved = deque(index for index in worker.reserved if index not in late)
        for index in late & worker.locks_held.keys():
            locks = worker.locks_held.pop(index)
            if worker.is_busy:
                last = worker.tests[-1]
                worker.locks_held[last] = worker.locks_held.get(last, frozenset()) | locks
            else:
                self._queue.release(locks - worker.locks)
