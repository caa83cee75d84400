"""Locks: files of which one process at a time can have each, or several share it. The only importer of filelock.

The lock is flock's, on a descriptor of our own; the file is never unlinked. It ends with the process and with all that
have inherited the descriptor, however they end. Who keeps it has a second one open for writing, the bell: when that is
closed, by whatever, the kernel wakes those that wait. Who merely tries has none: those would keep each other awake.

filelock takes the lock where one process alone is to have it; it knows no shared locks on a descriptor. What is here
tries once.
"""

from __future__ import annotations

import fcntl
from contextlib import suppress

from ...processes.own.system import os
from .lock_directory import BadFile, LockDirectory

_TRIES = 3  # how often a file may be replaced while it is locked


class LockFile:
    """A lock file. Who locks it excludes every other one, other objects of its own process too; or shares it."""

    def __init__(self, directory: LockDirectory, name: str, *, shared: bool = False) -> None:
        self.name = name
        self._directory = directory
        self._shared = shared
        self._descriptor: int | None = None
        self._bell: int | None = None

    @property
    def descriptors(self) -> list[int]:
        """What holds the lock, for who is to inherit it."""
        return [descriptor for descriptor in (self._descriptor, self._bell) if descriptor is not None]

    def lock(self) -> bool:
        """Take it, or say that others have it. Raises BadFile and UsageProblem, see :meth:`LockDirectory.open`."""
        for _ in range(_TRIES):
            descriptor = self._directory.open(self.name, os.O_RDONLY)  # wakes nobody when it is closed in vain
            if not try_lock(descriptor, shared=self._shared):
                os.close(descriptor)
                return False
            if self._directory.holds(self.name, descriptor):
                self._descriptor = descriptor
                return True
            os.close(descriptor)  # a lock on a file that nobody finds any more
            self._directory.refresh()
        return False

    def keep(self) -> None:
        """It is held for longer than a look: its end, whatever brings it, is to wake those that wait for it."""
        if self._bell is None:
            with suppress(BadFile):  # another user's file that may only be read
                self._bell = self._directory.open(self.name, os.O_WRONLY)

    def unlock(self) -> None:
        """Give it back, then wake those that wait for it, if it was kept; where it is not held, nothing happens."""
        if self._descriptor is not None:
            # Not by closing alone: what this process has forked may have the descriptor, too.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        for descriptor in self.descriptors:
            os.close(descriptor)
        self._descriptor = self._bell = None

    def is_lost(self) -> bool:
        """Return whether its file was removed or replaced, so that others can lock one of the same name."""
        return self._descriptor is not None and not self._directory.holds(self.name, self._descriptor)

    def put_back(self) -> bool:
        """Make the file again and lock it; say whether it is held then, which it is not where others came first."""
        again = LockFile(self._directory, self.name, shared=self._shared)
        if not again.lock():
            return False
        again.keep()
        self.unlock()
        self._descriptor, self._bell = again._descriptor, again._bell
        return True


def is_locked(directory: LockDirectory, name: str) -> bool:
    """Return whether anybody holds a lock file at this moment, be it shared.

    flock tells that only to who tries: a free one is locked for that moment, and whoever wants it then must be ready to
    try again. One that is held is not touched, and nothing is made.
    """
    descriptor = directory.open_to_look(name)
    if descriptor is None:
        return False
    try:
        return not try_lock(descriptor, shared=False)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, *, shared: bool) -> bool:
    """Lock an open file, alone or together with others, or say that it is held. Raises OSError."""
    if not shared:
        from filelock import lock_descriptor

        return lock_descriptor(descriptor, blocking=False)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
