"""The log file: what one attempt at a test writes, appended at once to the log of its test."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..processes.own.forks import Owner
from ..processes.own.system import os

MOST = 64 * 2**20
"""Bytes of one attempt that a log has; of a longer output it has the beginning, and the last :data:`LAST`."""

LAST = 2**16

_LEFT_OUT = "\n... gpupool: this log is full ({} MiB); of what follows it has the end ...\n"


class LogFile:
    """Made without a file: that is there with the first output. Where it cannot be written nothing is kept."""

    def __init__(self, path: Path, heading: bytes, most: int = MOST) -> None:
        self.path = path
        self._heading = heading
        self._descriptor: int | None = None
        self._has_failed = False
        self._owner = Owner()
        self._most = self._left = most
        self._last = b""

    @property
    def is_there(self) -> bool:
        """Whether anything was written."""
        return self._descriptor is not None

    def write(self, data: bytes) -> None:
        """Append what was written; a child that this process has forked does not."""
        if not data or self._has_failed or not self._owner.is_here:
            return
        kept, rest = data[: self._left], data[self._left :]
        if kept:
            self._append(kept)
            self._left -= len(kept)
            if rest or not self._left:
                self._append(_LEFT_OUT.format(self._most >> 20).encode())
        self._last = (self._last + rest)[-LAST:]

    def goes_on_here(self) -> None:
        """Write in this process, a child of the one that has done so until now."""
        self._owner = Owner()

    def close(self) -> None:
        """Nothing more comes."""
        if self._last and self._owner.is_here:
            self._append(self._last)
            self._last = b""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor, self._has_failed = None, True

    def _append(self, data: bytes) -> None:
        try:
            if self._descriptor is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags, 0o644)
                data = self._heading + data
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:  # a full or read-only disk costs the log, not the test
            self._has_failed = True
