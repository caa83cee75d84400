"""Captured files: what pytest has captured in a worker so far, read from outside, also when the worker is no more.

pytest captures into files without a name, which it empties after each phase of a test. They are there as long as
somebody has them open: the controller has, until the worker's process has ended and what it left is read.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Mapping

from ..processes import table
from ..values.texts import MESSAGE_LIMIT, shortened


class CapturedFiles:
    """Of one worker. Where pytest captures otherwise (``--capture=sys``, ``-s``) there is none. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptors: dict[str, int] = {}
        self._left: dict[str, str] | None = None  # what was there at the end

    def open(self, pid: int, descriptors: Mapping[str, int]) -> None:
        """Have the files open, which the worker's process has under these descriptors."""
        with self._lock:
            if not self._descriptors and self._left is None:
                opened = {name: table.open_file(pid, number) for name, number in descriptors.items()}
                self._descriptors = {name: descriptor for name, descriptor in opened.items() if descriptor is not None}

    def read(self) -> dict[str, str]:
        """Return what a test has written in its present phase, by stream; the end of it where that is long."""
        with self._lock:
            return self._texts() if self._left is None else self._left

    def close(self) -> None:
        """The worker's process has ended: read what it left, and let go of the files."""
        with self._lock:
            self._left = self._texts()
            for descriptor in self._descriptors.values():
                os.close(descriptor)
            self._descriptors = {}

    def _texts(self) -> dict[str, str]:
        texts = {name: _end_of(descriptor) for name, descriptor in self._descriptors.items()}
        return {name: text for name, text in texts.items() if text}


def _end_of(descriptor: int) -> str:
    with contextlib.suppress(OSError):
        about = os.fstat(descriptor)
        if stat.S_ISREG(about.st_mode):
            start = max(0, about.st_size - MESSAGE_LIMIT)
            return shortened(os.pread(descriptor, MESSAGE_LIMIT, start).decode(errors="replace"))
    return ""
