"""Stealing: short tests that were queued ahead, taken back for a worker that has none.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .decisions import Steal
from .staffing import Worker
from .tests import Test

Fits = Callable[[Worker, int], bool]
"""Whether a worker can run a test."""


class Stealing:
    """Whom to steal from. One question at a time is open, so that two thieves never share one victim."""

    def __init__(self, tests: Mapping[int, Test], fits: Fits) -> None:
        self._tests = tests
        self._fits = fits
        self._rich: dict[str, Worker] = {}  # with more than the test that they run
        self._asked: Steal | None = None  # the open question
        self._size = 0  # of the worker that was asked

    def note(self, worker: Worker) -> None:
        """A worker's queue has changed."""
        if len(worker.queue) > 1 and not worker.retired:
            self._rich[worker.name] = worker
        else:
            self._rich.pop(worker.name, None)

    def leaves(self, worker: Worker) -> None:
        """Nothing more is to be had from a worker."""
        self._rich.pop(worker.name, None)

    def gives_all(self, worker: Worker) -> None:
        """A worker gives its tests back without being asked, or is gone: it owes no answer."""
        if self._asked is not None and self._asked.worker == worker.name:
            self._asked = None

    def ask(self, thief: Worker) -> Steal | None:
        """Return the question to put for a worker without a test, None where one is open or nobody has anything."""
        if self._asked is not None or (found := self._loot(thief)) is None:
            return None
        self._asked, self._size = found, thief.gpus
        return found

    def may_bring(self, thief: Worker) -> bool:
        """Return whether the open question, or one after it, may bring a worker something."""
        return self._asked is not None and (self._size == thief.gpus or self._loot(thief) is not None)

    def answered(self, worker: str) -> tuple[int, ...] | None:
        """A worker has answered; return the tests that it was asked for, None where it owed no answer."""
        if self._asked is None or self._asked.worker != worker:
            return None
        tests, self._asked = self._asked.tests, None
        return tests

    def _loot(self, thief: Worker) -> Steal | None:
        rich = [worker for worker in self._rich.values() if worker.gpus == thief.gpus and worker is not thief]
        for victim in sorted(rich, key=lambda worker: len(worker.queue), reverse=True):
            loot = [index for index in self._stealable(victim) if self._fits(thief, index)]
            if loot:
                return Steal(victim.name, tuple(loot[len(loot) // 2 :]))
        return None

    def _stealable(self, worker: Worker) -> tuple[int, ...]:
        """The tests behind the running one, or behind the next where that is about to begin, without a group."""
        behind = tuple(worker.queue)[2 if worker.asked else 1 :]
        return tuple(index for index in behind if index not in worker.begun and self._tests[index].group is None)
