"""The sent log: what one attempt at a test writes on a host that has no directory of the run, for whoever has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .log_file import LogFile

MOST_SENT = 8 * 2**20
"""Bytes of one attempt that go to the run's own host; of a longer output the beginning does, and the end."""

MOST_OF_RANK = 2**20
"""Bytes of one rank, which are in its test's log as well."""

Send = Callable[[str, str, bytes], None]
"""Takes a test, the path of its log from the run's directory, and what is to be appended there."""


class SentLog(LogFile):
    """As a :class:`LogFile`, but appended where the run's directory is."""

    def __init__(self, nodeid: str, path: Path, heading: bytes, send: Send, most: int = MOST_SENT) -> None:
        """``path`` is from the run's directory."""
        super().__init__(path, heading, most)
        self._nodeid = nodeid
        self._send = send

    def _append(self, data: bytes) -> None:
        data, self._heading = self._heading + data, b""
        self._send(self._nodeid, self.path.as_posix(), data)
