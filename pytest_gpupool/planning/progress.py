"""Progress: which tests are over, and with which of them the next stage begins.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from .backlog.queue import Queue
from .tests import Test


class Progress:
    """How far a run has come. It moves the queue on to the next stage."""

    def __init__(self, tests: Mapping[int, Test], queue: Queue) -> None:
        self._tests = tests
        self._queue = queue
        self._unfinished = set(tests)
        self._by_stage = Counter(test.stage for test in tests.values())  # of the unfinished

    @property
    def finished(self) -> bool:
        """Whether every test is over."""
        return not self._unfinished

    def add(self, tests: Iterable[Test]) -> None:
        """More tests were found."""
        for test in tests:
            self.reopen(test.index)

    def over(self, index: int) -> bool:
        """A test has ended or was given up; return whether the next stage begins with that."""
        if index not in self._unfinished:
            return False
        self._unfinished.discard(index)
        stage = self._tests[index].stage
        self._by_stage[stage] -= 1
        if self._by_stage[stage] or stage != self._queue.stage or self.finished:
            return False
        self._queue.advance(min(stage for stage, count in self._by_stage.items() if count))
        return True

    def reopen(self, index: int) -> None:
        """A test runs again: it is not over, if it was."""
        if index not in self._unfinished:
            self._unfinished.add(index)
            self._by_stage[self._tests[index].stage] += 1
