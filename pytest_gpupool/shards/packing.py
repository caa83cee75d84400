"""Packing: a run's directory as one file, a tar archive that gzip has compressed, and a directory made of it again.

Who unpacks trusts nothing: an archive holds plain files below one folder, and its size is bounded.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from ..records import archive
from ..records.store import RUN_ID, replacing
from ..values.errors import UsageProblem
from ..values.texts import safe_repr

FORMAT = "gpupool-pack"
VERSION = 1
SUFFIX = ".tar.gz"

_ABOUT = "gpupool-pack.json"
"""The first member, which says what this is."""

_LEFT_OUT = ("out", "compiled", "resume.lock")
"""What scripts have written, what was compiled, and what only this machine has a use for: no record."""

MOST_BYTES = 8 << 30
"""More than this is not unpacked."""

MOST_FILES = 200_000

_PIECE = 1 << 20
_HEADINGS = 1 << 30  # more than those of all files that may be in one


def pack(run: Path, name: str, target: Path) -> int:
    """Write the records and logs of a run's directory into one file, whole or not at all; return its size in bytes.

    ``name`` is the run's id. What its scripts have written (``out``) stays where it is.

    Raises:
        UsageProblem: the run goes on, its id is none, a file of it cannot be read, or the target would be one of these.
        OSError: as the system says it of the target.
    """
    if archive.goes_on(run):
        raise UsageProblem(f"run {name} still goes on: pack it when it has ended")
    if not RUN_ID.fullmatch(name):
        raise UsageProblem(f"{run} does not say of which run it is: give its directory the run's id as a name")
    if target.resolve().is_relative_to(run.resolve()):
        raise UsageProblem(f"{target} lies in the directory of the run that is packed: give a place outside of it (-o)")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file:
        with tarfile.open(fileobj=file, mode="w:gz") as packed:
            about = json.dumps({"format": FORMAT, "version": VERSION, "run": name}).encode()
            heading = tarfile.TarInfo(_ABOUT)
            heading.size = len(about)
            packed.addfile(heading, io.BytesIO(about))
            for path in _files(run):
                _add(packed, path, f"{name}/{path.relative_to(run).as_posix()}")
        return file.tell()


def is_packed(path: Path) -> bool:
    """Say whether a file may be one that :func:`pack` has written."""
    with contextlib.suppress(OSError):
        if path.is_file():  # a pipe may have nobody who writes
            with path.open("rb") as file:
                return file.read(2) == b"\x1f\x8b"
    return False


def unpack(path: Path, into: Path, *, most_bytes: int = MOST_BYTES, most_files: int = MOST_FILES) -> Path:
    """Make a run's directory of a packed file, below ``into``, which exists; return it.

    Raises:
        UsageProblem: it is none, is damaged, is of a newer version, or holds what no packed run does.
    """
    try:
        with (
            gzip.open(path) as file,
            tarfile.open(fileobj=cast(IO[bytes], _Bounded(file, most_bytes)), mode="r:") as packed,
        ):
            run = _run_of(path, packed)
            directory = into / run
            directory.mkdir()
            room = most_bytes
            for number, member in enumerate(packed):
                if member.size < 0:
                    raise tarfile.ReadError("a size in it is negative")
                if number > most_files:
                    raise UsageProblem(f"{path} holds more than {most_files} files: it is not unpacked")
                if member.name == _ABOUT:
                    continue
                room -= member.size
                if room < 0:
                    raise UsageProblem(f"{path} holds more than {most_bytes} bytes: it is not unpacked")
                _write(packed, member, into / _place(path, member, run))
            _read_on(file)
            return directory
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise UsageProblem(f"{path} is no packed run, or damaged: {error}; 'gpupool pack RUN' makes one") from None
    except OSError as error:
        raise UsageProblem(f"{path} cannot be unpacked: {error.strerror or error}") from None


class _Bounded(io.RawIOBase):
    """What a packed file holds, as long as nobody has to hold much of it in memory: a heading may claim any length."""

    def __init__(self, file: gzip.GzipFile, most_bytes: int) -> None:
        self._file = file
        self._most = most_bytes + _HEADINGS

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes. Raises TarError where that is too much."""
        if not 0 <= size <= _PIECE or self._file.tell() + size > self._most:
            raise tarfile.ReadError("a heading in it is too long")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place of it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()


def _files(run: Path) -> Iterator[Path]:
    for path in sorted(run.iterdir()):
        if path.name in _LEFT_OUT or path.is_symlink():
            continue
        if path.is_dir():
            yield from (one for one in sorted(path.rglob("*")) if one.is_file() and not one.is_symlink())
        elif path.is_file():
            yield path


def _add(packed: tarfile.TarFile, path: Path, name: str) -> None:
    try:
        packed.add(path, arcname=name, recursive=False, filter=_anonymous)
    except OSError as error:
        if error.filename is None:  # of what is written
            raise
        raise UsageProblem(f"{path} cannot be read: {error.strerror}; without it the run is not packed") from None


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out whose files these are, which is nobody's business elsewhere."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _read_on(file: gzip.GzipFile) -> None:
    """Read what is behind the archive's end: nothing, but what tells whether all before it is as it was written.

    Raises:
        TarError: there is something.
        OSError, EOFError: it is not as it was written.
    """
    left = _HEADINGS
    while piece := file.read(_PIECE):
        left -= len(piece)
        if left < 0 or piece.strip(b"\0"):
            raise tarfile.ReadError("something is behind its end")


def _run_of(path: Path, packed: tarfile.TarFile) -> str:
    heading = packed.next()
    if heading is None or heading.name != _ABOUT or not heading.isreg() or heading.size > _PIECE:
        raise UsageProblem(f"{path} is no packed run: 'gpupool pack RUN' makes one")
    about = json.loads(_content(packed, heading).read())
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("version"), int):
        raise UsageProblem(f"{path} is no packed run: 'gpupool pack RUN' makes one")
    if about["version"] > VERSION:
        raise UsageProblem(f"{path} is of a newer pytest-gpupool: unpack it with that one")
    run = about.get("run")
    if not isinstance(run, str) or not RUN_ID.fullmatch(run):
        raise UsageProblem(f"{path} is damaged: {safe_repr(run, 60)} is no run")
    return run


def _place(path: Path, member: tarfile.TarInfo, run: str) -> PurePosixPath:
    """Return where a member belongs. Raises UsageProblem where that is not below the run's own folder."""
    name = PurePosixPath(member.name)
    is_below = not name.is_absolute() and name.parts[:1] == (run,) and len(name.parts) > 1
    # Where a backslash parts folders it is no character of a name.
    if not member.isreg() or not is_below or ".." in name.parts or (os.sep == "\\" and "\\" in member.name):
        raise UsageProblem(f"{path} holds {safe_repr(member.name, 100)}, as no packed run does: it is not unpacked")
    return name


def _write(packed: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with _content(packed, member) as source, target.open("xb") as file:
        while piece := source.read(_PIECE):
            file.write(piece)


def _content(packed: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = packed.extractfile(member)
    if content is None:
        raise tarfile.ReadError(f"{safe_repr(member.name, 100)} has no content")
    return content
