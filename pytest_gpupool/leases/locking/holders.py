"""Holders: who holds a device, written beside the lock for people. The lock excludes, and nothing that is read here.

Any user of the host may write such a note, and it stays behind where its writer is killed. It is written in place,
because in a directory with the sticky bit nobody may replace another user's file; a reader looks at a torn one again,
and takes what stays so for "unknown".
"""

from __future__ import annotations

import getpass
import json
import pwd
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from ...processes import table
from ...processes.own import clock
from ...processes.own.system import os
from ...values.errors import UsageProblem
from ...values.process_id import ProcessId
from ...values.texts import duration_text, epoch
from .lock_directory import BadFile, LockDirectory

_READS = 3
_MOMENT = 0.001  # seconds; a write takes some hundredths of that
_LONGEST_COMMAND = 60  # of a process that has left no note; a line has to hold it
_MOST = 1 << 62  # no device has so many bytes, and what is above may not even fit into a float


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a device; ``since`` and ``until``, the expected end, are ISO 8601.

    ``run`` and ``worker`` are a test run's, ``command`` is another program's; ``test`` is None between tests. ``slots``
    is how many workers its run lets share the device, 1 where it has it alone; ``memory`` is how many bytes of it the
    running test may take, None where it has not said.
    """

    pid: int
    started: int | None = None
    pid_namespace: int | None = None
    uid: int | None = None
    user: str
    host: str
    run: str | None = None
    command: str | None = None
    worker: str | None = None
    test: str | None = None
    since: str | None = None
    until: str | None = None
    slots: int = 1
    memory: int | None = None

    @property
    def process(self) -> ProcessId | None:
        """What the process is known by, None where the note does not tell enough."""
        return ProcessId.from_json(asdict(self))

    @property
    def label(self) -> str:
        """How a person calls it: ``pid 4711 (alice, test_mmlu[llama-8])``."""
        test = self.test.rpartition("::")[2] if self.test else self.command
        return f"pid {self.pid} ({printable(self.user + (f', {test}' if test else ''))})"

    def describe(self, now: float) -> str:
        """Return ``pid 4711 (alice, test_mmlu[llama-8]) for 12 min``."""
        return self.label if self.since is None else f"{self.label} for {duration_text(now - epoch(self.since))}"

    def to_json(self) -> dict[str, object]:
        """Return what the note says: the fields that say something."""
        return {key: value for key, value in asdict(self).items() if value is not None and (key, value) != ("slots", 1)}


def myself(
    *, since: str, run: str | None = None, worker: str | None = None, command: str | None = None, slots: int = 1
) -> Holder:
    """Return a holder that names this process."""
    known = table.identity() or ProcessId(os.getpid(), 0, 0)
    return Holder(
        pid=known.pid,
        started=known.started,
        pid_namespace=known.pid_namespace,
        uid=os.getuid(),
        user=user_name(),
        host=socket.gethostname(),
        run=run,
        worker=worker,
        command=command,
        since=since,
        slots=slots,
    )


def by_pid(pid: int) -> Holder | None:
    """Return a holder of which only the number is known, by what the kernel says of it; None where there is none."""
    known = table.identity(pid)
    owner, command = table.owner(pid), table.command(pid)
    if known is None or owner is None:
        return None
    short = " ".join(command.split())[:_LONGEST_COMMAND] or None
    return Holder(pid=pid, user=name_of(owner), uid=owner, host=socket.gethostname(), command=short)


def write(directory: LockDirectory, name: str, holder: Holder | None) -> None:
    """Say who holds a device, or with None that nobody does. A full disk is no reason to stop: it only informs."""
    data = b"" if holder is None else json.dumps(holder.to_json()).encode()
    with suppress(OSError, BadFile, UsageProblem):
        descriptor = directory.open(name)
        try:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)


def read(directory: LockDirectory, name: str, *, sleep: Callable[[float], None] = clock.sleep) -> Holder | None:
    """Return who wrote the note last, None where it cannot be told."""
    for _ in range(_READS):
        data = directory.read(name)
        if not data:
            return None
        try:
            return parse(json.loads(data))
        except (ValueError, TypeError, RecursionError):
            sleep(_MOMENT)  # its holder may be about to write the rest
    return None


def printable(text: str) -> str:
    """Return a text of another user's, which must not command this one's terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def user_name() -> str:
    """Return this user's name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def name_of(uid: int) -> str:
    """Return a user's name, the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def parse(data: object) -> Holder:
    """Make a holder of what a note says; keys that are not known are left out. Raises ValueError, TypeError."""
    if not isinstance(data, dict):
        raise TypeError("not an object")
    known: Mapping[str, Any] = {field.name: data[field.name] for field in fields(Holder) if field.name in data}
    holder = Holder(**known)
    if type(holder.pid) is not int or not all(isinstance(text, str) for text in (holder.user, holder.host)):
        raise TypeError("wrong types")
    texts = (holder.run, holder.command, holder.worker, holder.test, holder.until)
    if not all(text is None or isinstance(text, str) for text in texts):
        raise TypeError("wrong types")
    counts = (holder.started, holder.pid_namespace, holder.uid, holder.memory)
    if not _is_count(holder.slots, 1) or not all(count is None or _is_count(count, 0) for count in counts):
        raise TypeError("wrong types")
    for moment in (holder.since, holder.until):
        if moment is not None:
            epoch(moment)
    return holder


def _is_count(value: object, least: int) -> bool:
    return type(value) is int and least <= value <= _MOST
