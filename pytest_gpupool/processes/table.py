"""The process table: what the kernel says in /proc of a process, its children and its environment. Linux only.

All of the package that reads /proc/PID does it here. The functions are bound at import: a test may put its own in
their place (``mock.patch("os.read")``), and must neither be counted there nor answer here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import O_CLOEXEC, O_RDONLY, close, getpid, kill, read, scandir, sysconf
from os import open as open_
from typing import NamedTuple

_TICKS = sysconf("SC_CLK_TCK")
_PAGE = sysconf("SC_PAGE_SIZE")
_LARGEST_STAT = 1 << 12
_LARGEST_LIST = 1 << 16  # of children of one thread: some 8000
_LARGEST_ENVIRONMENT = 1 << 21  # the kernel takes no more, unless the limit of the stack was raised
_LARGEST_PID = 1 << 31


class Process(NamedTuple):
    """A process as the kernel has it: ``start`` in ticks since the machine started, ``name`` cut to 15 bytes.

    A pid is used again, so pid and ``start`` together are what tells a process from every other one. ``seconds`` is the
    processor time of all its threads and of all children that it has waited for, ``rss`` its resident memory in bytes.
    ``lives`` is false for a zombie.
    """

    parent: int
    group: int
    start: int
    seconds: float
    rss: int
    name: bytes
    lives: bool


def process(pid: int) -> Process | None:
    """Return what the kernel says of a process, None where there is none or it is hidden."""
    text = _content(f"/proc/{pid}/stat", _LARGEST_STAT)
    if not text:
        return None
    # proc(5); the name may hold blanks and brackets itself.
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    return Process(
        parent=int(fields[1]),
        group=int(fields[2]),
        start=int(fields[19]),
        seconds=sum(map(int, fields[11:15])) / _TICKS,
        rss=int(fields[21]) * _PAGE,
        name=head.partition(b"(")[2],
        # The first thread of a process becomes a zombie when it ends, though others go on, and hold the GPU.
        lives=fields[0] not in (b"Z", b"X") or int(fields[17]) > 1,
    )


def start_of(pid: int) -> int | None:
    """Return when a process was started, in ticks since the machine was; None where there is none."""
    known = process(pid)
    return None if known is None else known.start


def all_processes() -> dict[int, Process]:
    """Return all processes of the machine that are not hidden, by pid."""
    pids = [int(name) for name in _names("/proc") if name.isdigit()]
    return {pid: known for pid in pids if (known := process(pid)) is not None}


def exists(pid: int) -> bool:
    """Return whether there is a process of that number, be it hidden or another user's."""
    if not 0 < pid < _LARGEST_PID:
        return False
    try:
        kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def environment(pid: int) -> frozenset[bytes]:
    """Return the variables that a process was started with, ``NAME=value`` each; none where they cannot be read."""
    return frozenset((_content(f"/proc/{pid}/environ", _LARGEST_ENVIRONMENT) or b"").split(b"\0"))


def lineage(pid: int, table: Mapping[int, Process] | None = None) -> dict[int, Process]:
    """Return a process and its ancestors by pid, the nearest first, from ``table`` or as the kernel has them now."""
    look = process if table is None else table.get
    found: dict[int, Process] = {}
    while pid > 0 and pid not in found and (known := look(pid)) is not None:
        found[pid] = known
        pid = known.parent
    return found


def with_descendants(roots: Iterable[int], table: Mapping[int, Process]) -> set[int]:
    """Return these pids and all that descend from them, be they in the table or not."""
    children: dict[int, list[int]] = {}
    for pid, known in table.items():
        children.setdefault(known.parent, []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return found


def lists_children() -> bool:
    """Return whether the kernel lists the children of threads (CONFIG_PROC_CHILDREN)."""
    pid = getpid()
    return _content(f"/proc/{pid}/task/{pid}/children", _LARGEST_LIST) is not None


def descendants_by_lists(root: int) -> set[int]:
    """Return who descends from a process, from its threads' lists: the cost does not grow with the machine's processes.

    Only right where :func:`lists_children` is true.
    """
    found: set[int] = set()
    todo = [root]
    while todo:
        pid = todo.pop()
        new = set(_children(pid)) - found
        found |= new
        todo += new
    return found


def _children(pid: int) -> Iterator[int]:
    for thread in _names(f"/proc/{pid}/task"):
        listed = _content(f"/proc/{pid}/task/{thread}/children", _LARGEST_LIST) or b""
        yield from map(int, listed.split())


def _names(folder: str) -> list[str]:
    try:
        with scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def _content(path: str, most: int) -> bytes | None:
    """Return the beginning of a file of /proc, None where it cannot be read."""
    try:
        descriptor = open_(path, O_RDONLY | O_CLOEXEC)
    except OSError:
        return None
    try:
        return read(descriptor, most)
    except OSError:  # the process has ended since
        return None
    finally:
        close(descriptor)
