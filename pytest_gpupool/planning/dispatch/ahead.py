"""Ahead: short tests that a worker is given before it wants them, so that asking does not cost more than testing.

Pure: standard library only, no clock, no files. A worker has the test that it runs, the next one, and behind that one
what is queued ahead, which :mod:`stealing` takes back where one of them turns out long.
"""

from __future__ import annotations

from itertools import islice

from ..workers import Worker
from .pace import Pace
from .selection import Selection
from .stealing import Stealing

AHEAD_SECONDS = 0.2
"""How much expected work may be queued behind a worker's next test."""

AHEAD_TESTS = 64
"""How many tests may be queued behind it at most."""


class Ahead:
    """What is queued ahead for each worker."""

    def __init__(self, pace: Pace, selection: Selection, stealing: Stealing) -> None:
        self._pace = pace
        self._selection = selection
        self._stealing = stealing

    def top_up(self, worker: Worker) -> list[int]:
        """Fill up before a worker runs dry, in batches; return what was added. Called when it has ended a test."""
        assigned = len(worker.assigned)
        if not assigned or assigned > AHEAD_TESTS // 2 or not self._selection.may_find(worker):
            return []
        return [] if self._seconds_ahead(worker) > AHEAD_SECONDS / 2 else self.fill(worker)

    def fill(self, worker: Worker) -> list[int]:
        """Assign short tests while there is room, and return them. Called when a worker was given its next test."""
        if self._is_long_before(worker):
            return []
        added: list[int] = []
        room = AHEAD_SECONDS - self._seconds_ahead(worker)
        while len(worker.assigned) <= AHEAD_TESTS:
            # What becomes the next test itself takes none of the room behind it.
            limit = room if len(worker.assigned) > 1 else AHEAD_SECONDS
            index = self._take_short(worker, limit)
            if index is None:
                break
            room -= self._pace.expected(index) if len(worker.assigned) > 1 else 0.0
            worker.assigned.append(index)
            added.append(index)
        self._stealing.note(worker)
        return added

    def _take_short(self, worker: Worker, limit: float) -> int | None:
        return self._selection.take_short(worker, lambda index: self._pace.expected(index) <= limit)

    def _is_long_before(self, worker: Worker) -> bool:
        """Return whether the test that runs from now on, or next, is too long for others to wait behind it."""
        begins = 1 if worker.wants_next else 0
        return any(self._pace.expected(index) > AHEAD_SECONDS for index in islice(worker.assigned, begins, begins + 1))

    def _seconds_ahead(self, worker: Worker) -> float:
        """Return the expected duration of what is queued behind a worker's next test."""
        return sum(map(self._pace.expected, islice(worker.assigned, 2, None)))
