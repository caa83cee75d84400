"""Memory: what the host has, and what the kernel has ended for want of it."""

from __future__ import annotations

from typing import NamedTuple

from .. import table
from ..own.system import os

# Where a control group's count is, by what /proc/self/cgroup calls its hierarchy: version 2 has no name.
_COUNTS = {
    b"": (("/sys/fs/cgroup", "memory.events"), ("/sys/fs/cgroup/unified", "memory.events")),
    b"memory": (("/sys/fs/cgroup/memory", "memory.oom_control"),),
}

_UNIT = 1024  # /proc/meminfo says kB and means this


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
