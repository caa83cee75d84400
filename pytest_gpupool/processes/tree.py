"""The process tree: this process with what descends from it, and the resources that they have taken together."""

from __future__ import annotations

from os import getpid
from typing import NamedTuple

from . import table


class ResourceUsage(NamedTuple):
    """What processes have taken together: processor time in seconds, resident memory in bytes."""

    seconds: float
    rss: int


class ProcessTree:
    """A process and its living descendants. To find them costs more than to read those that are known.

    ``lists`` says whether to find them by the kernel's lists of children; None finds out whether there are any.
    """

    def __init__(self, root: int | None = None, *, lists: bool | None = None) -> None:
        self._root = getpid() if root is None else root
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
