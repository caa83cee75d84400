"""Holders: who holds a lock file, written beside it for people, for ``--gpupool-wait``'s message and for who shares.

Only the lock itself excludes; of a device with several slots the note says whether its holder lets others in, and how
much memory it is about to take. This file is written in place, because in a directory with the sticky bit nobody may
replace another user's file; a reader looks at a torn one again, and takes what stays so for "unknown".
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..values.texts import duration_text, epoch

# Kernels with fs.protected_regular refuse O_CREAT on another user's file in a sticky directory.
_FLAGS = os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_LARGEST = 1 << 16
_READS = 3
_MOMENT = 0.001  # seconds; a write takes some hundredths of that
_MOST = 1 << 62  # no device has so many bytes, and what is above may not even fit into a float


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a slot; ``test`` is None between tests, ``since`` is ISO 8601.

    ``slots`` is how many workers its run lets share the device, 1 where it wants it alone; ``memory`` is how many bytes
    of it the running test may take, None where it has not said.
    """

    pid: int
    user: str
    host: str
    worker: str
    run: str
    test: str | None
    since: str
    slots: int = 1
    memory: int | None = None

    @property
    def label(self) -> str:
        """How a person calls it: ``pid 4711 (alice, test_mmlu[llama-8])``."""
        test = f", {self.test.rpartition('::')[2]}" if self.test else ""
        return f"pid {self.pid} ({_printable(self.user + test)})"

    def describe(self, now: float) -> str:
        """Return ``pid 4711 (alice, test_mmlu[llama-8]) for 12 min``."""
        return f"{self.label} for {duration_text(now - epoch(self.since))}"

    def to_json(self) -> dict[str, object]:
        """Return what the file says: the fields, ``slots`` and ``memory`` only where they say something.

        An earlier version of this package, which may lock on the same host, knows neither key and reads no file that
        has one: to it the device is simply held.
        """
        data = asdict(self)
        return {key: value for key, value in data.items() if (key, value) not in (("slots", 1), ("memory", None))}


def myself(*, worker: str, run: str, since: str, slots: int = 1) -> Holder:
    """Return a holder that names this process."""
    return Holder(
        pid=os.getpid(),
        user=_user(),
        host=socket.gethostname(),
        worker=worker,
        run=run,
        test=None,
        since=since,
        slots=slots,
    )


def write(path: Path, holder: Holder | None) -> None:
    """Say who holds the slot, or with None that nobody does. A full disk is no reason to stop: it only informs."""
    data = b"" if holder is None else json.dumps(holder.to_json()).encode()
    try:
        descriptor = _open(path)
        try:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)
    except OSError:
        pass


def read(path: Path, *, sleep: Callable[[float], None] = time.sleep) -> Holder | None:
    """Return who wrote the file last, None where it cannot be told."""
    for _ in range(_READS):
        try:
            data = _content(path)
            return _parse(json.loads(data)) if data else None
        except OSError:
            return None
        except (ValueError, TypeError, RecursionError):
            sleep(_MOMENT)  # its holder may be about to write the rest
    return None


def _content(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    try:
        return os.read(descriptor, _LARGEST)
    finally:
        os.close(descriptor)


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
    if not _is_count(holder.slots, 1) or not (holder.memory is None or _is_count(holder.memory, 0)):
        raise TypeError("wrong types")
    epoch(holder.since)
    return holder


def _is_count(value: object, least: int) -> bool:
    return type(value) is int and least <= value <= _MOST


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
