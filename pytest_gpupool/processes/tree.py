"""The tree: this process and what descends from it: the processor time that it has taken, and its memory.

Linux, by /proc. The functions are bound at import: a test may put its own in their place (``mock.patch("os.read")``),
and must neither be counted there nor answer here.
"""

from __future__ import annotations

from os import O_CLOEXEC, O_RDONLY, close, getpid, read, scandir, sysconf
from os import open as open_
from typing import NamedTuple

_TICKS = sysconf("SC_CLK_TCK")
_PAGE = sysconf("SC_PAGE_SIZE")
_LARGEST = 1 << 12
_LARGEST_LIST = 1 << 16  # of children of one thread: some 8000


class Stat(NamedTuple):
    """A process as the kernel has it: ``start`` in ticks since the machine started, ``name`` cut to 15 bytes.

    ``seconds`` is the processor time of all its threads and of all children that it has waited for.
    """

    parent: int
    group: int
    start: int
    seconds: float
    rss: int
    name: bytes


class Burden(NamedTuple):
    """What the processes have taken together: processor time in seconds, resident memory in bytes."""

    seconds: float
    rss: int


class Tree:
    """A process and its living descendants. To find them costs more than to read those that are known.

    ``lists`` says whether the kernel lists the children of threads (CONFIG_PROC_CHILDREN); None finds out.
    """

    def __init__(self, root: int | None = None, *, lists: bool | None = None) -> None:
        self._root = getpid() if root is None else root
        self._members: dict[int, int] = {}  # starts by pid: a number is used again
        self._lists = content(f"/proc/{self._root}/task/{self._root}/children") is not None if lists is None else lists

    def walk(self) -> None:
        """Find the descendants that live now."""
        found = _by_lists(self._root) if self._lists else _by_parents(self._root)
        self._members = {pid: known.start for pid in found if (known := stat(pid)) is not None}

    def burden(self) -> Burden | None:
        """Return what those found by the last walk, and the process itself, have taken; None without /proc.

        What a child took is not lost when it ends: its parent has it then.
        """
        root = stat(self._root)
        if root is None:
            return None
        known = [now for pid, start in self._members.items() if (now := stat(pid)) is not None and now.start == start]
        return Burden(sum(one.seconds for one in (root, *known)), sum(one.rss for one in (root, *known)))


def stat(pid: int) -> Stat | None:
    """Return what the kernel says of a process, None where there is none or it is hidden."""
    text = content(f"/proc/{pid}/stat")
    if not text:
        return None
    # proc(5); the name may hold blanks and brackets itself.
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    return Stat(
        parent=int(fields[1]),
        group=int(fields[2]),
        start=int(fields[19]),
        seconds=sum(map(int, fields[11:15])) / _TICKS,
        rss=int(fields[21]) * _PAGE,
        name=head.partition(b"(")[2],
    )


def content(path: str, most: int = _LARGEST) -> bytes | None:
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


def _by_lists(root: int) -> set[int]:
    """Ask each thread for its children: the cost does not grow with the machine's processes."""
    found: set[int] = set()
    todo = [root]
    while todo:
        pid = todo.pop()
        new = {child for thread in _names(f"/proc/{pid}/task") for child in _children(pid, thread)} - found
        found |= new
        todo += new
    return found


def _names(folder: str) -> list[str]:
    try:
        with scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def _children(pid: int, thread: str) -> list[int]:
    return [int(child) for child in (content(f"/proc/{pid}/task/{thread}/children", _LARGEST_LIST) or b"").split()]


def _by_parents(root: int) -> set[int]:
    """Ask every process of the machine for its parent."""
    children: dict[int, list[int]] = {}
    for name in _names("/proc"):
        if name.isdigit() and (one := stat(int(name))) is not None:
            children.setdefault(one.parent, []).append(int(name))
    found: set[int] = set()
    todo = [root]
    while todo:
        new = set(children.get(todo.pop(), ())) - found
        found |= new
        todo += new
    return found
