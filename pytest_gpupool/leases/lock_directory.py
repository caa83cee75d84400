"""The lock directory: where the lock files lie, which all users and runs of a host share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..values.errors import UsageProblem

SHARED_MEMORY = Path("/dev/shm/gpupool")

# On these, flock is emulated, local to one host, or both (see flock(2), NOTES).
# fmt: off
NETWORK_FILE_SYSTEMS = frozenset((
    "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
    "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "pvfs2", "smb3", "smbfs",
))
# fmt: on


def lock_directory(given: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the directory of the lock files, made where it is not there.

    ``given`` is the option's value; without one ``$GPUPOOL_LOCK_DIR``, shared memory and the temporary directory
    follow, in this order.

    Raises:
        UsageProblem: it cannot be made or used, or lies on a network file system.
    """
    environ = os.environ if environ is None else environ
    chosen = given or environ.get("GPUPOOL_LOCK_DIR")
    if chosen:
        path = Path(chosen).absolute()
    elif SHARED_MEMORY.is_dir() or os.access(SHARED_MEMORY.parent, os.W_OK | os.X_OK):
        # Where others already lock here, anywhere else would not exclude them.
        path = SHARED_MEMORY
    else:
        path = Path(tempfile.gettempdir()) / "gpupool"
    _make_shared(path)
    _refuse_network(path)
    return path


def _make_shared(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        path.chmod(0o1777)  # past the umask: every user of the host locks here, none may remove another's file
    except FileExistsError:
        if not path.is_dir():
            raise UsageProblem(
                f"the lock directory {path} is not a directory; choose one with --gpupool-lock-dir"
            ) from None
    except OSError as error:
        raise UsageProblem(
            f"the lock directory {path} cannot be made: {error.strerror}; choose one with --gpupool-lock-dir"
        ) from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise UsageProblem(
            f"the lock directory {path} may not be written by this user; let its owner do 'chmod 1777 {path}', "
            "or choose one for all users with --gpupool-lock-dir"
        )


def _refuse_network(path: Path) -> None:
    kind = _file_system(path.resolve())
    if kind in NETWORK_FILE_SYSTEMS:
        raise UsageProblem(
            f"the lock directory {path} lies on a network file system ({kind}), where locks do not exclude; "
            "choose one of this host with --gpupool-lock-dir, such as /dev/shm/gpupool"
        )


def _file_system(path: Path) -> str | None:
    import psutil

    best: Any = None
    for mount in psutil.disk_partitions(all=True):
        # Of two mounts at one point the later hides the earlier.
        if path.is_relative_to(mount.mountpoint) and (best is None or len(mount.mountpoint) >= len(best.mountpoint)):
            best = mount
    return None if best is None else best.fstype
