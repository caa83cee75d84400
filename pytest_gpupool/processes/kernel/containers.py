"""Containers: what this process shares with the rest of the host: the file system of a directory, namespaces."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of linux/proc_ns.h
_CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))  # of Docker; of Podman and Buildah
_ESCAPE = re.compile(r"\\([0-7]{3})")

# fmt: off
# On these, flock is emulated, local to one host, or both (see flock(2), NOTES).
_NETWORK = frozenset((
    "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
    "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "pvfs2", "smb3", "smbfs",
))
# fmt: on


class Mount(NamedTuple):
    """A line of mountinfo (proc_pid_mountinfo(5)): ``root`` is which part of the file system is seen at ``point``.

    ``device`` is the file system's number as the kernel's list of locks has it; what stat says may be another one, as
    on btrfs.
    """

    device: tuple[int, int]
    root: str
    point: str
    kind: str

    @property
    def is_on_network(self) -> bool:
        """Whether other hosts may see it, too."""
        return self.kind in _NETWORK


def mount_of(descriptor: int) -> Mount | None:
    """Return the mount that an open file or directory lies on, None where that cannot be told."""
    try:
        facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    number = re.search(r"^mnt_id:\s*(\d+)$", facts, re.MULTILINE)
    return next((_parse(line) for line in lines if number and line.split(" ", 1)[0] == number[1]), None)


def is_of_this_container(mount: Mount) -> bool:
    """Return whether a file system seems to be this container's own, which nobody outside of it sees.

    What a container was given from outside is mounted beside its root, as a folder of some file system.
    """
    if not in_container():
        return False
    return mount.point == "/" or (mount.kind == "tmpfs" and mount.root == "/")


def in_container() -> bool:
    """Return whether this process seems to run in a container."""
    try:
        if Path("/proc/self/ns/pid").stat().st_ino != _INITIAL_PID_NAMESPACE:
            return True
        if Path("/proc/self/ns/mnt").stat().st_ino != Path("/proc/1/ns/mnt").stat().st_ino:
            return True
    except OSError:  # the first process's is shown to root only
        pass
    return any(path.exists() for path in _CONTAINER_FILES)


def in_user_namespace() -> bool:
    """Return whether some of the host's users are nobody here, as in a rootless container."""
    try:
        return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]
    except OSError:
        return False


def _parse(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    _, _, device, root, point, *_ = before.split(" ")
    major, _, minor = device.partition(":")
    return Mount((int(major), int(minor)), _plain(root), _plain(point), after.split(" ", 1)[0])


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
