"""Holders: who holds a lock file, written beside it for people and for ``--gpupool-wait``'s message.

Only the lock itself excludes. This file is written in place, because in a directory with the sticky bit nobody may
replace another user's file; a reader takes a torn one for "unknown".
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from .model import duration_text, epoch

# Kernels with fs.protected_regular refuse O_CREAT on another user's file in a sticky directory.
_FLAGS = os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_LARGEST = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a slot; ``test`` is None between tests, ``since`` is ISO 8601."""

    pid: int
    user: str
    host: str
    worker: str
    run: str
    test: str | None
    since: str

    def describe(self, now: float) -> str:
        """Return ``pid 4711 (alice, test_mmlu[llama-8]) for 12 min``."""
        test = f", {self.test.rpartition('::')[2]}" if self.test else ""
        return f"pid {self.pid} ({_printable(self.user + test)}) for {duration_text(now - epoch(self.since))}"


def myself(*, worker: str, run: str, since: str) -> Holder:
    """Return a holder that names this process."""
    return Holder(
        pid=os.getpid(), user=_user(), host=socket.gethostname(), worker=worker, run=run, test=None, since=since
    )


def write(path: Path, holder: Holder | None) -> None:
    """Say who holds the slot, or with None that nobody does. A full disk is no reason to stop: it only informs."""
    data = b"" if holder is None else json.dumps(asdict(holder)).encode()
    try:
        descriptor = _open(path)
        try:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)
    except OSError:
        pass


def read(path: Path) -> Holder | None:
    """Return who wrote the file last, None where it cannot be told."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        try:
            data = json.loads(os.read(descriptor, _LARGEST))
        finally:
            os.close(descriptor)
        return _parse(data)
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _parse(data: object) -> Holder:
    # Any user of the host may write this file, so nothing in it is trusted.
    if not isinstance(data, dict):
        raise TypeError("not an object")
    holder = Holder(**data)
    texts = (holder.user, holder.host, holder.worker, holder.run, holder.since)
    if type(holder.pid) is not int or not all(isinstance(text, str) for text in texts):
        raise TypeError("wrong types")
    if holder.test is not None and not isinstance(holder.test, str):
        raise TypeError("wrong types")
    epoch(holder.since)
    return holder


def _printable(text: str) -> str:
    # Another user's text must not command this one's terminal.
    return "".join(character if character.isprintable() else "?" for character in text)


def _open(path: Path) -> int:
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError:
        descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
        _share(descriptor)
        return descriptor


def _share(descriptor: int, chmod: Callable[[int, int], None] = os.fchmod) -> None:
    # Past the umask: the next holder may be another user.
    chmod(descriptor, 0o666)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())
