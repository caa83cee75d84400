"""Events: what threads of ours wait for. What a test puts in the place of ``threading``'s may never wait."""

from __future__ import annotations

from _thread import TIMEOUT_MAX, allocate_lock
from contextlib import suppress


class Event:
    """Set once or again and again, and waited for; :meth:`clear` is for the one thread that waits."""

    def __init__(self) -> None:
        self._is_set = False
        self._closed = allocate_lock()
        self._closed.acquire()

    def is_set(self) -> bool:
        """Return whether it is."""
        return self._is_set

    def set(self) -> None:
        """Let those go on that wait."""
        self._is_set = True
        self._open()

    def clear(self) -> None:
        """Have the next wait last until it is set again."""
        self._is_set = False
        self._closed.acquire(blocking=False)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is set, up to so long; return whether it is."""
        if not self._closed.acquire(timeout=-1 if seconds is None else min(max(seconds, 0.0), TIMEOUT_MAX)):
            return False
        self._open()
        return True

    def _open(self) -> None:
        with suppress(RuntimeError):  # it is open
            self._closed.release()
