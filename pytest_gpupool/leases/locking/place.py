"""The place: where on this host the lock files lie, the same for all its users, whatever their environment says."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...processes.kernel.containers import in_user_namespace
from ...values.errors import UsageProblem

PUBLIC = (Path("/run/lock"), Path("/var/tmp"), Path("/dev/shm"))
"""Where every user may write and nobody may remove another's file, the first that there is.

The first is made for lock files, is there on Debian and Ubuntu, and no cleaner empties it. In the second
systemd-tmpfiles leaves alone what is locked. From the third logind removes all that a user has when she logs out
(RemoveIPC=), which the second anchor makes up for.
"""

VERSION_0_1 = Path("/dev/shm/gpupool")
"""Where version 0.1 locks."""

_NOBODY = 65534  # how files of a user look that a user namespace does not know, root's among them


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory for lock files; ``told`` says that the user has named it.

    One ``to_look`` at is not made where it is not there, nor must this user be allowed to write it.
    """

    path: Path
    told: bool
    to_look: bool = False


def place(given: str | None, environ: Mapping[str, str], public: Sequence[Path] = PUBLIC) -> Place:
    """Return where to lock: the option's value, else ``$GPUPOOL_LOCK_DIR``, else the host's public place.

    Raises:
        UsageProblem: this host has none.
    """
    chosen = given or environ.get("GPUPOOL_LOCK_DIR")
    if chosen:
        return Place(path=Path(os.path.abspath(chosen)), told=True)  # noqa: PTH100  (".." is not to be kept)
    found = next((path for path in public if is_public(path)), None)
    if found is None:
        names = ", ".join(map(str, public))
        raise UsageProblem(
            f"no place for lock files: none of {names} is a directory of root's where every user may write (1777); "
            f"let root do 'mkdir -p {public[0]} && chmod 1777 {public[0]}', or choose a directory for all users with "
            "--gpupool-lock-dir or GPUPOOL_LOCK_DIR"
        )
    return Place(path=found, told=False)


def is_public(path: Path) -> bool:
    """Return whether every user may make files there, and none may remove or replace another's."""
    try:
        known = path.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(known.st_mode) or known.st_mode & 0o1777 != 0o1777:
        return False
    return known.st_uid in (0, _NOBODY if in_user_namespace() else 0)
