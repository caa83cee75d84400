"""Wake-ups: the kernel tells when a lock file is closed or a ticket is removed (inotify(7)), also by a kill.

Only closing after writing counts, so that those who merely look, and open for reading, wake nobody.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable

from ...processes.own import clock
from ...processes.own.system import os, select
from ..locking.lock_directory import LockDirectory

_CLOSE_WRITE, _MOVED_TO, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x008, 0x080, 0x200, 0x400, 0x800
_EVENT = struct.Struct("iIII")
_BUFFER = 1 << 16


class Wakeups:
    """What wakes one that waits. Where the kernel gives no such thing, :meth:`wait` merely waits."""

    def __init__(self, directory: LockDirectory) -> None:
        self._directory = directory
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        self._is_relevant: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether the kernel tells; it does not where a user has too many watches."""
        return self._descriptor >= 0

    def watch(self, files: Iterable[str]) -> None:
        """Be waked by what happens to these files, and by tickets that come and go; to repeat it is cheap."""
        if not self.works:
            return
        names = tuple(files)
        self._is_relevant = (*names, "gpupool-")
        self._add(".", _DELETE | _MOVED_TO | _DELETE_SELF | _MOVE_SELF)
        for name in names:
            self._add(name, _CLOSE_WRITE | _DELETE_SELF | _MOVE_SELF)

    def wait(self, seconds: float) -> bool:
        """Wait so long; return early, with True, where something has happened."""
        if not self.works:
            clock.sleep(seconds)
            return False
        deadline = clock.monotonic() + seconds
        while (remaining := deadline - clock.monotonic()) > 0:
            if select.select([self._descriptor], [], [], remaining)[0] and self._read():
                return True
        return False

    def close(self) -> None:
        """Watch nothing any more."""
        if self.works:
            os.close(self._descriptor)
            self._descriptor = -1

    def _add(self, name: str, mask: int) -> None:
        # A file that is not there yet is nobody's; who makes it wakes us when it leaves the queue.
        self._libc.inotify_add_watch(self._descriptor, self._directory.path_of(name).encode(), mask)

    def _read(self) -> bool:
        """Take what has happened; say whether it matters to us."""
        try:
            data = os.read(self._descriptor, _BUFFER)
        except BlockingIOError:
            return False
        at, matters = 0, False
        while at < len(data):
            _, _, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            name = data[at : at + length].rstrip(b"\0").decode(errors="replace")
            at += length
            # Without a name it is a file that we watch.
            matters = matters or not name or name.startswith(self._is_relevant)
        return matters
