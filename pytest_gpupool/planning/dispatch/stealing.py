"""Stealing: short tests that were queued ahead, taken back for a worker that has none.

Pure: standard library only, no clock, no files. The victim is sent a request (:class:`Steal`) and answers with what it
gives back: not always all, since it may have begun a test meanwhile. What comes is dispatched to the thieves, as
workers are called that wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..backlog.queue import Queue
from ..decisions import Steal
from ..tests import Test
from ..workers import Worker


class Stealing:
    """Whom to steal from, and who waits for it. One request at a time is open, so that thieves never share a victim."""

    def __init__(self, tests: Mapping[int, Test], queue: Queue) -> None:
        self.thieves: dict[str, None] = {}
        """The names of those that wait, longest first."""
        self._tests = tests
        self._queue = queue
        self._victims: dict[str, Worker] = {}  # workers with more than the test that they run
        self._open: Steal | None = None
        self._size = 0  # of the worker for which it was sent
        self._unanswered: dict[str, tuple[int, ...]] = {}  # requests that nobody waits for any more, by victim

    def note(self, worker: Worker) -> None:
        """The tests of a worker have changed: it may be a victim from now on, or none any more."""
        if len(worker.assigned) > 1 and not worker.retired:
            self._victims[worker.name] = worker
        else:
            self._victims.pop(worker.name, None)

    def leaves(self, worker: Worker) -> None:
        """A worker was let go or is gone: it is neither victim nor thief."""
        self._victims.pop(worker.name, None)
        self.thieves.pop(worker.name, None)

    @property
    def may_come_late(self) -> bool:
        """Whether tests may come back of a worker that did not answer in time."""
        return bool(self._unanswered)

    def has_not_answered(self, worker: str) -> bool:
        """Wait for a worker's answer no longer; return whether somebody did. It is asked no more until that comes."""
        if self._open is None or self._open.worker != worker:
            return False
        self._unanswered[worker], self._open = self._open.tests, None
        return True

    def owes_nothing(self, worker: Worker) -> None:
        """A worker gives its tests back without a request, or is gone: no answer of its own is waited for."""
        self._unanswered.pop(worker.name, None)
        if self._open is not None and self._open.worker == worker.name:
            self._open = None

    def request(self, thief: Worker) -> Steal | None:
        """Return the request to send for a worker without a test, None where one is open or nobody has anything."""
        if self._open is not None or (found := self._best_for(thief)) is None:
            return None
        self._open, self._size = found, thief.gpus
        return found

    def may_bring(self, thief: Worker) -> bool:
        """Return whether the open request, or one after it, may bring a worker something."""
        return self._open is not None and (self._size == thief.gpus or self._best_for(thief) is not None)

    def answered(self, worker: str) -> tuple[int, ...] | None:
        """A worker has answered; return the tests that were requested of it, None where it owed no answer."""
        if worker in self._unanswered:
            return self._unanswered.pop(worker)
        if self._open is None or self._open.worker != worker:
            return None
        requested, self._open = self._open.tests, None
        return requested

    def _best_for(self, thief: Worker) -> Steal | None:
        """Return half of what the worker with the most has, of the tests that the thief can run."""
        victims = [
            worker
            for worker in self._victims.values()
            if worker.gpus == thief.gpus and worker is not thief and worker.name not in self._unanswered
        ]
        for victim in sorted(victims, key=lambda worker: len(worker.assigned), reverse=True):
            tests = [
                index
                for index in self._stealable(victim)
                if thief.can_run(self._tests[index], self._queue.need_of(index))
            ]
            if tests:
                return Steal(victim.name, tuple(tests[len(tests) // 2 :]))
        return None

    def _stealable(self, worker: Worker) -> tuple[int, ...]:
        """Return the tests behind the running one, or behind the next where that is about to begin, without a group."""
        behind = tuple(worker.assigned)[2 if worker.wants_next else 1 :]
        return tuple(index for index in behind if index not in worker.begun and self._tests[index].group is None)
