"""The path to the lock directory: walked step by step, so that nobody can lead it elsewhere meanwhile."""

from __future__ import annotations

import errno
import secrets
import stat
from collections import deque
from contextlib import suppress
from pathlib import Path

from ...processes.kernel import containers
from ...processes.own.system import os
from ...values.errors import UsageProblem
from . import file_systems

_DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40  # as the kernel has it


def open_directory(path: Path) -> int:
    """Open a directory for lock files; what is not there of its path is made. Raises UsageProblem."""
    try:
        descriptor = _walk(path)
    except OSError as error:
        raise UsageProblem(
            f"the lock directory {path} cannot be used: {error.strerror}; choose one with --gpupool-lock-dir"
        ) from None
    try:
        _check(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _walk(path: Path) -> int:
    """Open a directory step by step; what is not there is made."""
    here = os.open("/", os.O_PATH | _DIRECTORY)
    names, links = deque(path.parts[1:]), 0
    try:
        while names:
            name = names.popleft()
            target = _target(name, here, path)
            if target is None:
                step = _step(name, here, is_last=not names)
            else:
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                step = os.open("/" if target.is_absolute() else ".", os.O_PATH | _DIRECTORY, dir_fd=here)
                names.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))
            os.close(here)
            here = step
        return os.open(".", os.O_RDONLY | _DIRECTORY, dir_fd=here)
    finally:
        os.close(here)


def _target(name: str, here: int, path: Path) -> Path | None:
    """Return where a link leads, None where it is none."""
    try:
        if not stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            return None
    except FileNotFoundError:
        return None
    if os.fstat(here).st_mode & stat.S_IWOTH:
        raise UsageProblem(
            f"the lock directory {path} is reached by the link {name!r}, which lies where every user may put one; give "
            "the directory itself with --gpupool-lock-dir"
        )
    return Path(os.readlink(name, dir_fd=here))


def _step(name: str, here: int, *, is_last: bool) -> int:
    flags = os.O_PATH | os.O_NOFOLLOW | _DIRECTORY
    try:
        return os.open(name, flags, dir_fd=here)
    except FileNotFoundError:
        with suppress(FileExistsError):
            _make_shared(name, here) if is_last else os.mkdir(name, dir_fd=here)
        return os.open(name, flags, dir_fd=here)


def _make_shared(name: str, here: int) -> None:
    """Make a directory for all users of the host; nobody sees it before it is one."""
    aside = f".{name}.{secrets.token_hex(8)}"
    os.mkdir(aside, 0o700, dir_fd=here)
    try:
        os.chmod(aside, 0o1777, dir_fd=here)  # past the umask; sticky: nobody may remove another's file
        os.rename(aside, name, src_dir_fd=here, dst_dir_fd=here)
    except OSError as error:
        os.rmdir(aside, dir_fd=here)
        # Somebody has made it meanwhile, and locks in it.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EPERM, errno.EACCES):
            raise


def _check(path: Path, descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise UsageProblem(
            f"in the lock directory {path} every user may remove another's lock; let its owner do 'chmod 1777 {path}', "
            "or choose another one with --gpupool-lock-dir"
        )
    if not os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=descriptor, effective_ids=True):
        raise UsageProblem(
            f"the lock directory {path} may not be written by this user; let its owner do 'chmod 1777 {path}', "
            "or choose one for all users with --gpupool-lock-dir"
        )
    file_systems.refuse(path, containers.mount_of(descriptor))
