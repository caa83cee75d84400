"""Differences: which tests some workers have collected and others have not. Pure: no clock, no files."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import replace

from ..backlog.queue import Queue
from ..tests import Test


class Differences:
    """Keeps, with each test, which collections lack it. The first collection, 0, has all that there are at first."""

    def __init__(self, tests: MutableMapping[int, Test], queue: Queue) -> None:
        self._tests = tests
        self._queue = queue
        self._collections = {0}

    def add(self, collection: int, lacks: Iterable[int], more: Sequence[Test]) -> None:
        """There is one more collection, which ``lacks`` some tests, and has ``more`` that no other has."""
        earlier = frozenset(self._collections)
        self._collections.add(collection)
        for test in map(self._tests.__getitem__, lacks):
            self._tests[test.index] = replace(test, lacked_by=test.lacked_by | {collection})
        self._queue.sort_anew()
        self._tests.update((test.index, replace(test, lacked_by=earlier)) for test in more)
        self._queue.add(test.index for test in more)
