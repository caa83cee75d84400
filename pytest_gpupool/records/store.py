"""The store: where the records of runs lie, ``<gpupool-dir>/runs/<run>/``."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ..processes.own import clock
from ..values.errors import UsageProblem

try:
    import fcntl
except ImportError:  # Windows, where reports are read and written without locks
    fcntl = None  # type: ignore[assignment]

LATEST = "latest"
"""What stands for the latest run that collected any test."""

HISTORY = "history.sqlite"
"""The store of metrics over runs, in the directory of the records, which is used where it is there."""

RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
"""What :func:`new_run_id` returns."""

_OUT = "out"

_RUN_START = re.compile(r"\d{8}T[0-9TZa-f-]*")

LOCK_SECONDS = 10.0
"""How long to wait for a lock: a run that is stopped while it writes must not keep another one from ending."""

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
for _name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):  # Windows has the last one only
    _NEW_FILE |= getattr(os, _name, 0)


def new_run_id(now: float | None = None) -> str:
    """Return a new id that sorts by time: ``20261121T114652Z-9f3c2a``."""
    now = clock.now() if now is None else now
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    # The fraction of the second in 20 bits, so that runs of one second are in order too, and a random digit.
    return f"{stamp}-{int(now % 1 * 0x100000):05x}{secrets.randbelow(16):x}"


def is_run_id(text: str) -> bool:
    """Say whether a text can be the id of a run, or the beginning of one."""
    return _RUN_START.fullmatch(text) is not None


def create_run(base: Path, run_id: str) -> Path:
    """Make the directory of a new run and return it.

    Raises:
        UsageProblem: the directory cannot be made or written.
    """
    directory = base / "runs" / run_id
    try:
        directory.mkdir(parents=True)
        ignore = base / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# Made by pytest-gpupool: records of runs.\n*\n", encoding="utf-8")
    except OSError as error:
        raise UsageProblem(
            f"cannot keep the run's records in {base}: {error.strerror}; "
            "give a directory that you may write with --gpupool-dir"
        ) from None
    return directory


def out_of(run: Path) -> Path:
    """Return where the scripts of a run write: its own folder, or that of the first run that it goes on with."""
    return (run / _OUT).resolve()


def take_over_out(earlier: Path, run: Path) -> None:
    """Have a run write where the one did that it goes on with: its scripts find what they have left there.

    Raises:
        OSError: as the system says it.
    """
    (run / _OUT).symlink_to(out_of(earlier), target_is_directory=True)


def lock(descriptor: int, seconds: float) -> None:
    """Lock an open file or directory for this process alone, until it is closed.

    Raises:
        TimeoutError: another process has kept it locked that long.
        OSError: its file system has no locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    deadline = clock.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock.monotonic() >= deadline:
                raise TimeoutError(None, "another run has kept its lock for too long") from None
            clock.sleep(0.02)


def write_whole(path: Path, text: str | Iterable[str]) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part; leave nothing when it fails.

    ``text`` may be in pieces. What is no regular file is written to, see :func:`replacing`.

    Raises:
        OSError: as the system says it.
    """
    with replacing(path) as file:
        for piece in [text] if isinstance(text, str) else text:
            # A lone surrogate becomes its escape, which is what JSON has for it.
            file.write(piece.encode("utf-8", "backslashreplace"))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a new file, which takes the place of the old one as a whole; where writing fails nothing is left of it.

    A device or a pipe, such as /dev/stdout, stays what it is: what was written goes to it.

    Raises:
        OSError: as the system says it.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        import tempfile  # few want it

        with tempfile.TemporaryFile() as whole:
            yield whole
            whole.seek(0)
            with path.open("wb") as target:
                shutil.copyfileobj(whole, target)
        return
    if path.is_symlink():
        path = path.resolve()  # which stays one
    # A name that nobody can foresee, and no link: the directory may be everybody's.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with os.fdopen(os.open(draft, _NEW_FILE, 0o666), "wb") as file:
            if path.is_file() and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            yield file
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == os.fspath(draft):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None  # whose name people have given
        raise
