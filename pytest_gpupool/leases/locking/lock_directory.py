"""The lock directory: opened once, and everything in it by its descriptor, so that no link leads elsewhere.

All users and runs of a host share it. Nothing that others may have put there is trusted: a file counts only as a
regular one with one name.
"""

from __future__ import annotations

import errno
import pwd
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...processes.kernel import containers
from ...processes.kernel.locks import FileKey
from ...processes.own.system import os
from ...values.errors import UsageProblem
from . import file_systems
from .directory_path import open_directory
from .place import Place, place

_FILE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # what blocks when it is opened is no lock file
_LARGEST = 1 << 16
_TRIES = 3  # how often a file is looked for that somebody removes and makes again meanwhile


class BadFile(Exception):
    """A file of the lock directory is not to be used; the text is a sentence's end that says why, and what to do."""


class LockDirectory:
    """A directory for lock files, open as long as somebody has this."""

    def __init__(self, where: Place) -> None:
        self.path = where.path
        self._place = where
        self._descriptor = -1
        self._mount: containers.Mount | None = None
        self._opened: os.stat_result | None = None
        self.renew()

    def renew(self) -> None:
        """Open what the path names now, which is made where it is not there. Raises UsageProblem."""
        opened = _look(self._place.path) if self._place.to_look else open_directory(self.path)
        self.close()
        self._descriptor, self._mount = opened, containers.mount_of(opened)
        self._opened = os.fstat(opened) if opened >= 0 else None

    def close(self) -> None:
        """Close it; nothing is in it any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def __del__(self) -> None:
        # A test may have closed all descriptors that it found, and opened something else since.
        with suppress(OSError):
            if self._opened is not None and os.path.samestat(os.fstat(self._descriptor), self._opened):
                self.close()

    def refresh(self) -> None:
        """Open what the path names now, where that is another one. Raises UsageProblem."""
        if not self.is_current():
            self.renew()

    def is_current(self) -> bool:
        """Return whether the path still names this directory."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except OSError:
            return False

    def notes(self) -> list[str]:
        """Return what a user should know of where it lies, a line each; nothing where all is as usual."""
        lines = [f"locks are in {self.path}"] if self._place.told else []
        return lines + file_systems.notes(self.path, self._mount)

    def open(self, name: str, flags: int = os.O_RDWR) -> int:
        """Open a file; it is made where it is not there, for all users of the host.

        Raises:
            BadFile: it is not to be used.
            UsageProblem: the directory has vanished, and cannot be made again.
        """
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                return self._checked(name, self._open_existing(name, flags))
            with suppress(FileNotFoundError, FileExistsError):
                self._make(name)
            self.refresh()
        raise BadFile(f"{self.path / name} is removed again and again: find out by whom")

    def read(self, name: str) -> bytes | None:
        """Return the beginning of a file, None where there is none that is to be used."""
        try:
            descriptor = os.open(name, os.O_RDONLY | _FILE, dir_fd=self._descriptor)
        except OSError:
            return None
        try:
            return os.read(descriptor, _LARGEST) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def open_to_look(self, name: str) -> int | None:
        """Open a file for reading, which wakes nobody when it is closed; None where there is none to be used."""
        try:
            return os.open(name, os.O_RDONLY | _FILE, dir_fd=self._descriptor)
        except OSError:
            return None

    def path_of(self, name: str) -> str:
        """Return a path for this process that leads to a file here, whatever the directory's path names by now."""
        return f"/dev/fd/{self._descriptor}/{name}"

    def names(self) -> list[str]:
        """Return the names in it."""
        try:
            return os.listdir(self._descriptor)
        except OSError:
            return []

    def make(self, name: str, mode: int) -> int:
        """Open a new file of this user's. Raises OSError."""
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FILE, mode, dir_fd=self._descriptor)

    def rename(self, old: str, new: str) -> None:
        """Rename a file of this user's. Raises OSError."""
        os.rename(old, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file of this user's; another's stays, as the directory is sticky."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self._descriptor)

    def owner(self, name: str) -> int | None:
        """Return whose a file is, as a uid; None where there is none."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_uid
        except OSError:
            return None

    def holds(self, name: str, descriptor: int) -> bool:
        """Return whether the name here, and the path, still are those of that open file."""
        try:
            named = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(named, os.fstat(descriptor)) and self.is_current()

    def key(self, name: str) -> FileKey | None:
        """Return a file as the kernel's list of locks has it, None where it is not there."""
        try:
            known = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None
        device = (os.major(known.st_dev), os.minor(known.st_dev)) if self._mount is None else self._mount.device
        return FileKey(*device, known.st_ino)

    def _open_existing(self, name: str, flags: int) -> int:
        try:
            return os.open(name, flags | _FILE, dir_fd=self._descriptor)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BadFile(self._why(name, error)) from None

    def _make(self, name: str) -> None:
        try:
            # O_EXCL: what an attacker has put there meanwhile is not opened, and kernels with fs.protected_regular
            # refuse to "make" another user's file.
            descriptor = self.make(name, 0o666)
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError as error:
            raise BadFile(f"{self.path / name} cannot be made: {error.strerror}") from None
        os.fchmod(descriptor, 0o666)  # past the umask: the next holder may be another user
        os.close(descriptor)

    def _checked(self, name: str, descriptor: int) -> int:
        known = os.fstat(descriptor)
        if stat.S_ISREG(known.st_mode) and known.st_nlink <= 1:
            return descriptor
        os.close(descriptor)
        what = "has a second name (a hard link)" if stat.S_ISREG(known.st_mode) else "is no regular file"
        raise BadFile(f"{self.path / name} {what}: remove it")

    def _why(self, name: str, error: OSError) -> str:
        path = self.path / name
        if error.errno in (errno.EISDIR, errno.ENXIO):
            return f"{path} is no regular file: remove it"
        if error.errno == errno.ELOOP:
            return f"{path} is a link: remove it"
        if error.errno in (errno.EACCES, errno.EPERM):
            owner = _owner(name, self._descriptor)
            who = owner if owner == "root" else f"{owner} or root"
            return f"{path} belongs to {owner}, and may not be opened: let {who} remove it"
        return f"{path} cannot be opened: {error.strerror}"


def lock_directory(given: str | None, environ: Mapping[str, str] | None = None) -> LockDirectory:
    """Open the directory of the lock files; ``given`` is the option's value. See :func:`place.place` for the others.

    Raises:
        UsageProblem: it cannot be made or used, or locks do not exclude there.
    """
    return LockDirectory(place(given, os.environ if environ is None else environ))


def look_at(path: Path) -> LockDirectory | None:
    """Open a directory that is there, to look at; None where there is none that can be used."""
    try:
        return LockDirectory(Place(path=path, told=True)) if path.is_dir() else None
    except UsageProblem:
        return None


def directory_to_look_at(given: str | None, environ: Mapping[str, str] | None = None) -> LockDirectory:
    """Return the same directory for who only looks: where it is not there nothing is in it. Raises UsageProblem."""
    return LockDirectory(replace(place(given, os.environ if environ is None else environ), to_look=True))


def _look(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1


def _owner(name: str, here: int) -> str:
    try:
        uid = os.stat(name, dir_fd=here, follow_symlinks=False).st_uid
    except OSError:
        return "its owner"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
