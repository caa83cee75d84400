"""Parcels: how a worker's events travel, several in one where that is cheaper."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from ...foreign import xdist_protocol
from ...processes.own.forks import Owner
from ...records import wire
from ...values.messages import PARCEL

QUICK_SECONDS = 0.1
"""After a test that took less, the next one's events travel together: one message costs more than such a test."""

_MAY_WAIT = (xdist_protocol.LOGSTART, xdist_protocol.TESTREPORT, xdist_protocol.LOGFINISH)


class Parcels:
    """Sends events through execnet's channel.

    A parcel is far cheaper than execnet's own way, and nothing in a report can be too strange for it. What still waits
    when the worker dies is about a test that has not ended.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._sending = threading.RLock()  # messages of ours come from the thread that hears the controller, too
        self._waiting: deque[tuple[str, dict[str, object]]] = deque()  # appended to without the lock
        self._quick = False
        self._owner = Owner()

    def send(self, name: str, values: dict[str, object]) -> None:
        """Send an event with those that waited for it, or let it wait for the next. A forked child sends nothing."""
        self._waiting.append((name, values))
        if (self._quick and name in _MAY_WAIT) or not self._owner.is_here:
            return
        with self._sending:
            events = [self._waiting.popleft() for _ in range(len(self._waiting))]
            self._channel.send((PARCEL, wire.dumps(events)))

    def took(self, seconds: float) -> None:
        """A test took so long; the next one will probably take as long."""
        self._quick = seconds < QUICK_SECONDS
