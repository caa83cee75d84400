"""Given tests: what the controller has given to this worker and what has not run yet."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...foreign.xdist_worker import TestQueue
from ...values.messages import Rest

Next = Any
"""What comes next: a test's number; ``Rest``, where none is there now; or xdist's ``SHUTDOWN`` at the end."""


class GivenTests:
    """Filled by the thread that hears the controller, emptied by the one that runs tests."""

    def __init__(self, queue: TestQueue) -> None:
        self._queue = queue
        self.answers = 0
        """How many times the controller has said what comes next. It is counted when that is in the queue."""

    def wait(self) -> Next:
        """Wait for what comes next."""
        return self._queue.get()

    def next_at_once(self) -> Next | None:
        """Return what comes next, None where the controller has not said it yet."""
        with self._queue.lock() as queued:
            return queued.popleft() if queued else None

    def rest(self) -> None:
        """The controller answers that there is no next test now."""
        self._queue.put(Rest())

    def give_back(self, wanted: Collection[int]) -> list[int]:
        """Take out those of the wanted tests that have not begun, and return them."""
        with self._queue.lock() as queued:
            given = [index for index in queued if index in wanted]
            kept = [index for index in queued if index not in wanted]
            queued.clear()
            queued.extend(kept)
        return given

    def give_back_all(self) -> list[int]:
        """Take out everything; return the tests among it."""
        with self._queue.lock() as queued:
            given = [index for index in queued if isinstance(index, int)]
            queued.clear()
        return given
