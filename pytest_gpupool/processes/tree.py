"""The process tree: this process with what descends from it, and the resources that they take."""

from __future__ import annotations

from typing import NamedTuple

from ..values.process_id import ProcessId
from . import table
from .own.system import os


class ResourceUsage(NamedTuple):
    """What processes have taken together: processor time in seconds, resident memory in bytes."""

    seconds: float
    rss: int


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
