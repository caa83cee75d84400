"""File systems: on which of them a lock excludes everybody who should be excluded."""

from __future__ import annotations

from pathlib import Path

from ...processes.kernel import containers
from ...processes.kernel.containers import Mount
from ...values.errors import UsageProblem

# fmt: off
_LOCAL = frozenset((
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "reiserfs", "rootfs", "tmpfs",
    "xfs", "zfs",
))
# fmt: on


def refuse(path: Path, mount: Mount | None) -> None:
    """Raise UsageProblem where the lock directory lies on a network."""
    if mount is not None and mount.is_on_network:
        raise UsageProblem(
            f"the lock directory {path} lies on a network file system ({mount.kind}), where locks do not exclude; "
            "choose one of this host with --gpupool-lock-dir, such as /run/lock"
        )


def notes(path: Path, mount: Mount | None) -> list[str]:
    """Return what a user should know of the file system, a line each."""
    lines = []
    if mount is None:
        lines.append(f"of {path} the file system is not known: on a network, locks do not exclude")
    elif mount.kind not in _LOCAL:
        lines.append(
            f"{path} lies on a file system of kind {mount.kind}, of which it is not known whether locks exclude there; "
            "choose a local one with --gpupool-lock-dir, such as /run/lock"
        )
    if mount is not None and containers.is_of_this_container(mount):
        lines.append(
            f"locks in {path} exclude inside this container only; mount the host's /run/lock here, or another "
            "directory that all share, and name it with GPUPOOL_LOCK_DIR"
        )
    return lines
