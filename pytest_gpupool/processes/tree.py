"""The process tree: this process with what descends from it, the resources that they take, and what the host has."""

from __future__ import annotations

from typing import NamedTuple

from ..values.process_id import ProcessId
from . import table
from .own.system import os

# Where a control group's count is, by what /proc/self/cgroup calls its hierarchy: version 2 has no name.
_COUNTS = {
    b"": (("/sys/fs/cgroup", "memory.events"), ("/sys/fs/cgroup/unified", "memory.events")),
    b"memory": (("/sys/fs/cgroup/memory", "memory.oom_control"),),
}

_UNIT = 1024  # /proc/meminfo says kB and means this


class ResourceUsage(NamedTuple):
    """What processes have taken together: processor time in seconds, resident memory in bytes."""

    seconds: float
    rss: int


class HostMemory(NamedTuple):
    """Bytes: all there are, and those that processes can have yet without anything being swapped out."""

    total: int
    available: int


def host_memory() -> HostMemory | None:
    """Return what the kernel says of the host's memory now, None where it says nothing.

    Read here, where no module that a test may hide or replace has a part in it.
    """
    words = [line.split() for line in table.lines_of_all("meminfo")]
    sizes = {line[0]: int(line[1]) * _UNIT for line in words if len(line) > 1}
    if not {b"MemTotal:", b"MemAvailable:"} <= sizes.keys():
        return None
    return HostMemory(sizes[b"MemTotal:"], sizes[b"MemAvailable:"])


def ended_for_memory(root: str = "") -> int:
    """Return how many processes the kernel has ended for want of memory so far, 0 where it does not tell.

    Those of this process's control group, where it has one that counts, else of the whole machine. ``root`` is where
    /proc and /sys are looked for.
    """
    for line in table.lines_at(f"{root}/proc/self/cgroup"):
        _, _, rest = line.partition(b":")
        controllers, _, group = rest.partition(b":")
        for mount, name in _COUNTS.get(controllers, ()):
            if (count := _kills(f"{root}{mount}{os.fsdecode(group).rstrip('/')}/{name}")) is not None:
                return count
    return _kills(f"{root}/proc/vmstat") or 0


def _kills(path: str) -> int | None:
    words = (line.split() for line in table.lines_at(path))
    return next((int(line[1]) for line in words if len(line) > 1 and line[0] == b"oom_kill"), None)


class ProcessTree:
    """A process and its living descendants. To find them costs more than to read those that are known.

    ``lists`` says whether to find them by the kernel's lists of children; None finds out whether there are any.
    """

    def __init__(self, root: int | None = None, *, lists: bool | None = None) -> None:
        self._root = os.getpid() if root is None else root
        self._descendants: dict[int, int] = {}  # starts by pid: a number is used again
        self._lists = table.lists_children() if lists is None else lists

    def walk(self) -> None:
        """Find the descendants that live now."""
        if self._lists:
            found = table.descendants_by_lists(self._root)
        else:
            found = table.with_descendants([self._root], table.all_processes()) - {self._root}
        self._descendants = {pid: start for pid in found if (start := table.start_of(pid)) is not None}

    def usage(self) -> ResourceUsage | None:
        """Return what the process, and those found by the last walk, have taken; None without /proc.

        What a child took is not lost when it ends: its parent has it then.
        """
        root = table.process(self._root)
        if root is None:
            return None
        looked = ((table.process(pid), start) for pid, start in self._descendants.items())
        known = [root, *(now for now, start in looked if now is not None and now.start == start)]
        return ResourceUsage(sum(one.seconds for one in known), sum(one.rss for one in known))


class Newcomers:
    """Which children of this process are new since the last look, and live.

    Without the kernel's lists of children nobody is found: to go through all processes takes too long for each test.
    """

    def __init__(self) -> None:
        self._own = table.identity() if table.lists_children() else None
        self._known = self._children()

    def look(self) -> list[ProcessId]:
        """Return them. Where this process has no child it costs next to nothing."""
        before, self._known = self._known, self._children()
        if not self._known:
            return []
        new = ((pid, table.process(pid)) for pid in self._known - before)
        return [
            ProcessId(pid, known.start, self._own.pid_namespace)
            for pid, known in new
            if self._own is not None and known is not None and known.lives
        ]

    def _children(self) -> set[int]:
        if self._own is None or not _has_children():
            return set()
        return table.children_by_lists(self._own.pid)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
