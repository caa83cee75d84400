"""Kernel locks: which files are locked, by whom, and which abstract Unix sockets there are, without touching any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..own.system import os


class FileKey(NamedTuple):
    """A file as the kernel's list of locks has it: major and minor number of its file system, and inode."""

    major: int
    minor: int
    inode: int


def flocks() -> dict[FileKey, list[int]]:
    """Return the files that are locked by flock, each with the pids that locked it.

    Locks of processes in another pid namespace are not shown here (proc_locks(5)). A lock that other processes have
    inherited is its first holder's, and stays so when that one has ended.
    """
    found: dict[FileKey, list[int]] = {}
    for line in _lines("/proc/locks"):
        # "1: FLOCK  ADVISORY  WRITE 4711 fe:00:2252803 0 EOF"; one that waits has "->" after the number.
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK":
            found.setdefault(_key(fields[5]), []).append(int(fields[4]))
    return found


def held_flocks(pid: int) -> dict[FileKey, str] | None:
    """Return the files that are locked by descriptors of a process, each with its path, which may be gone by now.

    A lock that it has inherited is among them, and one that it waits for is not. None where its descriptors may not be
    looked at: those of other users' processes.
    """
    try:
        names = os.listdir(f"/proc/{pid}/fdinfo")
    except OSError:
        return None
    return {key: path for name in names for key, path in _flocks_of(pid, name)}


def abstract_sockets(prefix: str) -> set[str]:
    """Return the names of this network namespace's abstract Unix sockets that begin so; see unix(7)."""
    names = (line.rpartition(" ")[2] for line in _lines("/proc/net/unix"))
    return {name[1:] for name in names if name.startswith(f"@{prefix}")}


def _flocks_of(pid: int, descriptor: str) -> Iterator[tuple[FileKey, str]]:
    try:
        facts = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text(errors="replace")
        path = os.readlink(f"/proc/{pid}/fd/{descriptor}") if "FLOCK" in facts else ""
    except OSError:  # closed meanwhile
        return
    for line in facts.splitlines():
        # "lock:	1: FLOCK  ADVISORY  WRITE 4711 fe:00:2252803 0 EOF" (proc(5))
        fields = line.split()
        if fields[:1] == ["lock:"] and len(fields) >= 7 and fields[2] == "FLOCK":
            yield _key(fields[6]), path.removesuffix(" (deleted)")


def _key(text: str) -> FileKey:
    major, minor, inode = text.split(":")
    return FileKey(int(major, 16), int(minor, 16), int(inode))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
