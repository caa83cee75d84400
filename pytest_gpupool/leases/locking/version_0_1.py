"""Version 0.1: it locks ``ID.N.lock`` in /dev/shm/gpupool. A device that it holds there is not free."""

from __future__ import annotations

from collections.abc import Container

from ...processes.kernel.locks import FileKey
from . import holders, names
from .holders import Holder
from .lock_directory import LockDirectory, look_at
from .locks import is_locked
from .place import VERSION_0_1


def holder_there(
    directory: LockDirectory, device: str, *, flocks: Container[FileKey | None] | None = None
) -> tuple[bool, Holder | None]:
    """Return whether version 0.1 holds a device, and who that is, None where it does not say.

    ``directory`` is where this version locks: in the same one it sees those locks anyhow. With ``flocks``, the kernel's
    list, no lock is tried.
    """
    if directory.path == VERSION_0_1 or not VERSION_0_1.is_dir():
        return False, None
    there = look_at(VERSION_0_1)
    if there is None:
        return False, None
    try:
        for number in names.numbers(device, there.names()):
            name = names.number_lock(device, number)
            if is_locked(there, name) if flocks is None else there.key(name) in flocks:
                return True, holders.read(there, names.note(device, number))
        return False, None
    finally:
        there.close()
