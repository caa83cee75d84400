"""The journal: an append-only file of one JSON record per line, one file per writer.

A line is written by one system call, so that after a kill every line but the last one is whole. Against a power cut it
is also forced to the disk itself, as often as that takes no more than :data:`SYNC_SHARE` of the time: what it may lose
of very short tests, whose records cost less than that, is those of the last moment.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..processes.own import clock, forks
from ..processes.own.system import os

try:
    import fcntl
except ImportError:  # Windows, where journals are read only
    fcntl = None  # type: ignore[assignment]

VERSION = 1
"""Of the records. A reader takes what it knows of a newer one, and says so."""

SYNC_SHARE = 0.02

# Made before any test, which may replace what json makes it of.
_encode, _decode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode, json.JSONDecoder().decode

_LOCK = "hhqqi4x"  # struct flock of fcntl(2), with 64 bits for offsets: type, whence, start, length, pid

_LOSSES = {errno.EIO, errno.ENOSPC, errno.EDQUOT}  # what was written before may be lost


class Journal:
    """Appends records to ``path``. Where the file cannot be written it says so once and keeps nothing.

    ``problem`` is None while all is well, else the reason why later records are not on disk. While the file is open
    a lock on it says that its run goes on, see :func:`is_open`: a child that this process forks lets go of it, and
    writes nothing.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = clock.monotonic) -> None:
        self.path = path
        self.problem: str | None = None
        self._clock = clock
        self._descriptor: int | None = None
        self._file: tuple[int, int] | None = None  # the one that it is of, by file system and inode
        self._due = 0.0  # when the disk may be asked again
        self._owner = forks.Owner()
        forks.in_child(self._let_go)

    def open(self) -> None:
        """Open the file now, not with the first record."""
        if self.path is None or self._descriptor is not None or not self._owner.is_here:
            return
        try:
            # To be read as well, for its last byte.
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"
            return
        with contextlib.suppress(OSError):  # not every file system has locks
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, struct.pack(_LOCK, fcntl.F_RDLCK, 0, 0, 0, 0))
        about = os.fstat(self._descriptor)
        self._file, size = (about.st_dev, about.st_ino), about.st_size
        if not size:
            self._write(dump({"record": "journal", "version": VERSION}) + "\n")
        elif os.pread(self._descriptor, 1, size - 1) != b"\n":
            self._write("\n")  # its writer was cut off

    def append(self, line: str) -> None:
        """Write one record, as :func:`dump` gives it, unless the journal is off or has failed before."""
        if self.path is None or self.problem is not None:
            return
        if not self._is_open():
            self._descriptor = None
            self.open()
        if self._descriptor is not None and self.problem is None:
            self._write(line + "\n")
            began = self._clock()
            if began >= self._due:
                self.sync()
                ended = self._clock()
                self._due = max(self._due, ended + (ended - began) / SYNC_SHARE)

    def sync(self) -> None:
        """Have on the disk itself all that was appended."""
        if self._descriptor is not None and self.problem is None and self._is_open():
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                if error.errno not in _LOSSES:
                    self._due = math.inf  # this file system cannot be asked
                else:
                    self.problem = f"{self.path}: {error.strerror}"

    def close(self) -> None:
        """Close the file; a later record opens it again."""
        if self._descriptor is not None:
            self.sync()
            self._let_go()

    def _let_go(self) -> None:
        if self._descriptor is not None and self._is_open():
            os.close(self._descriptor)
        self._descriptor = None

    def _is_open(self) -> bool:
        # A test may close all descriptors that it finds; what has the number then is not ours to write to.
        if self._descriptor is None:
            return False
        try:
            about = os.fstat(self._descriptor)
        except OSError:
            return False
        return (about.st_dev, about.st_ino) == self._file

    def _write(self, text: str) -> None:
        assert self._descriptor is not None
        data = text.encode()
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"
            return
        if written < len(data):
            self.problem = f"{self.path}: the disk is full"


def dump(record: Mapping[str, Any]) -> str:
    """Return a record as one line of strict JSON, in ASCII."""
    return _encode(record)


def load(line: str) -> Any:
    """Return what :func:`dump` wrote."""
    return _decode(line)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a journal without its heading; a line that is no whole, sound record is passed over."""
    return (record for record in lines(path) if record is not None and record["record"] != "journal")


def lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield for each line of a journal its record, None where it is not a whole, sound one.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    from .record import is_sound  # who only writes needs no shapes

    with file:
        for line in file:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            yield record if is_sound(record) else None


def is_open(path: Path) -> bool:
    """Say whether some process has a journal open; elsewhere than on Linux no run does."""
    if not hasattr(fcntl, "F_OFD_GETLK"):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)  # not inherited, as all that Python opens
    except OSError:
        return False
    try:
        # To ask takes no lock: who asks would be taken for a writer by others that ask, and be in a writer's way.
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, struct.pack(_LOCK, fcntl.F_WRLCK, 0, 0, 0, 0))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return bool(struct.unpack(_LOCK, answer)[0] != fcntl.F_UNLCK)
