"""CPU limits: how many cores' worth of time control groups give this process, and which cores a NUMA node has.

A container may run on all cores of its host and yet get the time of two (``docker run --cpus=2``, a pod's limit).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def limit(root: Path = _ROOT) -> float | None:
    """Return how many cores' worth of time this process may use, None where nothing limits it.

    The least of what its control group and those above it allow. ``root`` is where /proc and /sys are looked for.
    """
    found = []
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            found += [_v2(folder) for folder in _upward(root / "sys/fs/cgroup", path)]
            # Beside version 1's hierarchies the unified one has a place of its own.
            found += [_v2(folder) for folder in _upward(root / "sys/fs/cgroup/unified", path)]
        elif "cpu" in controllers.split(","):
            found += [_v1(folder) for folder in _upward(root / "sys/fs/cgroup/cpu", path)]
            found += [_v1(folder) for folder in _upward(root / "sys/fs/cgroup" / controllers, path)]
    return min((cores for cores in found if cores), default=None)


def cores_of_node(node: int, root: Path = _ROOT) -> frozenset[int] | None:
    """Return the cores of a NUMA node, None where the kernel does not tell."""
    try:
        return _ranges("".join(_lines(root / f"sys/devices/system/node/node{node}/cpulist"))) or None
    except ValueError:
        return None


def _upward(mount: Path, path: str) -> list[Path]:
    """Return the folders of a control group and those above it, the mount's own last.

    In a container without a namespace of its own the path is the host's, of which only the mount's root is there.
    """
    group = PurePosixPath(path.lstrip("/"))
    if ".." in group.parts:
        return [mount]  # outside what this namespace may see
    return [mount / folder for folder in (group, *group.parents)]


def _v2(folder: Path) -> float | None:
    quota, _, period = "".join(_lines(folder / "cpu.max")[:1]).partition(" ")
    return _cores(quota, period)


def _v1(folder: Path) -> float | None:
    quota = "".join(_lines(folder / "cpu.cfs_quota_us"))
    return _cores(quota, "".join(_lines(folder / "cpu.cfs_period_us")))


def _cores(quota: str, period: str) -> float | None:
    # "max", or -1 in version 1, is no limit.
    if not quota.isdecimal() or not period.isdecimal() or not int(period):
        return None
    return int(quota) / int(period)


def _ranges(text: str) -> frozenset[int]:
    """Read a list of the kernel's: ``0-3,8,10-11``."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, ValueError):
        return []
