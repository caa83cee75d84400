"""The turns: who of a run's workers has something of the cluster, and when who was refused is asked for again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ...processes.own import clock

_SETTLE_SECONDS = 15.0  # how long SLURM may count what has ended
_AGAIN_SECONDS = 2.0


class Turns:
    """Shared by a run's workers. Its methods are for any thread.

    What a worker is refused for may be what the run's other workers hold: memory, or how many jobs a user may have.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._present: set[str] = set()
        self._ends = 0
        self._last_end = float("-inf")

    def begin(self, name: str) -> int:
        """A worker is asked for. Return how many have ended by now."""
        with self._changed:
            self._present.add(name)
            return self._ends

    def end(self, name: str) -> None:
        """A worker has ended, and what it had is free."""
        with self._changed:
            if name in self._present:
                self._present.remove(name)
                self._ends += 1
                self._last_end = clock.monotonic()
            self._changed.notify_all()

    def next(self, name: str, since: int, is_told: Callable[[], bool]) -> bool:
        """A worker was refused that was asked for when so many had ended: wait until one more has.

        Return whether it is to be asked for again: not where it is told to end, or where no other worker is left.
        """
        with self._changed:
            self._present.discard(name)
            self._changed.notify_all()
            while not is_told():
                if self._ends > since:
                    return True
                if clock.monotonic() - self._last_end < _SETTLE_SECONDS:
                    self._changed.wait_for(is_told, _AGAIN_SECONDS)
                    return not is_told()
                if not self._present:
                    return False
                self._changed.wait()
            return False

    def look(self) -> None:
        """Somebody is told to end."""
        with self._changed:
            self._changed.notify_all()
