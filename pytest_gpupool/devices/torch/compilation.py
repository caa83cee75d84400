"""Compilation: where torch and Triton keep what they have compiled, and by how many threads torch compiles.

Both know what they have by its content: processes of one user can share a folder, on one host. Nothing is loaded here.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ...processes.kernel import containers

INDUCTOR, TRITON = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")
"""Variables that say by how many threads a process computes and compiles, each for itself."""

_NAME = "pytest-gpupool"


def shared_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder that all processes of this user share on this host, None where there is none that is safe.

    In ``$XDG_CACHE_HOME`` or ``~/.cache`` unless that is on a network or another user's, else among temporary files.
    Code is loaded from there: nobody else may write to it.
    """
    with contextlib.suppress(RuntimeError, OSError):  # nobody's home is known, or it cannot be looked at
        home = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        if home.is_absolute() and _is_safe(_there(home / _NAME)):
            return home / _NAME
    with contextlib.suppress(OSError):
        path = Path(tempfile.gettempdir()).resolve() / f"{_NAME}-{os.geteuid()}"
        path.mkdir(mode=0o700, exist_ok=True)
        if _is_safe(path):
            return path
    return None


def variables(folder: Path, present: Mapping[str, str]) -> dict[str, str]:
    """Return what is set for a folder; what is ``present`` stays, and Triton's place follows a user's for torch."""
    found = {INDUCTOR: str(folder / "inductor"), TRITON: str(folder / "triton")}
    return {} if INDUCTOR in present else {name: value for name, value in found.items() if name not in present}


def _there(path: Path) -> Path:
    """Return the path, or of what it is in the first that exists."""
    return next(one for one in (path, *path.parents) if one.exists())


def _is_safe(path: Path) -> bool:
    """Return whether a directory is of this host, and this user alone writes to it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        facts, mount = os.fstat(descriptor), containers.mount_of(descriptor)
        is_ours = facts.st_uid == os.geteuid() and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return is_ours and os.access(path, os.W_OK | os.X_OK) and mount is not None and not mount.is_on_network
    finally:
        os.close(descriptor)
