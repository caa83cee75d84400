"""Tickets: a file for each that waits, named by when it came, locked as long as its process lives.

Times are in nanoseconds since the host started (CLOCK_BOOTTIME), which every process of the host has in common and
nobody sets. A ticket's modification time is its owner's last sign of life.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from ...processes import table
from ...processes.kernel import locks as kernel_locks
from ...values.errors import UsageProblem
from ..locking.holders import Holder, parse
from ..locking.lock_directory import BadFile, LockDirectory
from ..locking.locks import try_lock

_NAME = re.compile(r"gpupool-(\d{20})-[0-9a-f]{16}\.ticket", re.ASCII)
_STALE = 3_000_000_000
"""Nanoseconds after which one that has given no sign of life is passed over; a waiter gives one about every 0.5 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a waiter wants: ``gpus`` of ``devices``, ids in its order; ``slots`` as in :class:`Holder`.

    ``unusable`` are those that it found free and cannot use all the same, as foreign processes are there. ``keeps`` is
    until when it has those kept for it that are free, while it waits for the rest; 0 where it has found none yet.
    ``settles`` is until when it takes nothing at all, since its ticket was removed, and others' too, perhaps; else 0.
    """

    devices: tuple[str, ...]
    gpus: int = 1
    slots: int = 1
    unusable: tuple[str, ...] = ()
    keeps: int = 0
    settles: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """One that waits, as its ticket tells: since when, who it is, what it wants.

    ``responds`` is false for one that is stopped or gives no sign of life.
    """

    ticket: str
    came: int
    who: Holder
    wish: Wish
    responds: bool


def now() -> int:
    """Return the time of tickets."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Ticket:
    """This process's own place in the queue, from :meth:`draw` to :meth:`give_back`."""

    def __init__(self, directory: LockDirectory, who: Holder, *, clock: Callable[[], int] = now) -> None:
        self.came = clock()
        self.name = f"gpupool-{self.came:020d}-{secrets.token_hex(8)}.ticket"
        self._directory = directory
        self._who = who
        self._clock = clock
        self._wish: Wish | None = None
        self._descriptor: int | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether it lies in the queue, as far as this process knows."""
        return self._descriptor is not None

    def is_lost(self) -> bool:
        """Whether somebody has removed it, and others' as well, perhaps: who came before is not to be seen then."""
        return self._descriptor is not None and not self._directory.holds(self.name, self._descriptor)

    def draw(self, wish: Wish) -> None:
        """Lay it into the queue, or change what it says, and give a sign of life. Where that cannot be, do without."""
        with suppress(OSError, BadFile, UsageProblem):
            self._directory.refresh()
            if self.is_lost():
                self._close()
            if self._descriptor is None:
                self._lay(wish)
            elif wish != self._wish:
                self._write(self._descriptor, wish)
            assert self._descriptor is not None
            moment = self._clock()
            os.utime(self._descriptor, ns=(moment, moment))
            self._wish = wish

    def give_back(self) -> None:
        """Leave the queue; a second call does nothing."""
        if self._descriptor is not None:
            self._directory.remove(self.name)
            self._close()

    def _lay(self, wish: Wish) -> None:
        aside = f".{self.name}"
        descriptor = self._directory.make(aside, 0o644)
        try:
            # Nobody sees it before it is locked: without a lock it is a dead one's.
            os.fchmod(descriptor, 0o644)
            try_lock(descriptor, shared=False)
            self._write(descriptor, wish)
            moment = self._clock()
            os.utime(descriptor, ns=(moment, moment))
            self._directory.rename(aside, self.name)
        except OSError:
            self._directory.remove(aside)
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _write(self, descriptor: int, wish: Wish) -> None:
        data = json.dumps(self._who.to_json() | {"wants": asdict(wish)}).encode()
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def waiters(directory: LockDirectory, *, before: str | None = None, clock: Callable[[], int] = now) -> list[Waiter]:
    """Return who waits, first come first; those only that came before a ticket's name, where one is given.

    What a dead one left is removed, where it is this user's.
    """
    known = sorted(name for name in directory.names() if _NAME.fullmatch(name))
    return [
        one for name in known if before is None or name < before if (one := _read(directory, name, clock)) is not None
    ]


def waiters_seen(directory: LockDirectory, *, clock: Callable[[], int] = now) -> list[Waiter]:
    """Return who waits, first come first, as far as it can be told without trying a lock or removing anything."""
    flocks = kernel_locks.flocks()
    known = sorted(name for name in directory.names() if _NAME.fullmatch(name))
    found = [(name, _read(directory, name, clock, looks=True)) for name in known]
    # The kernel does not show locks of other pid namespaces.
    return [one for name, one in found if one is not None and (directory.key(name) in flocks or _may_live(one))]


def _may_live(waiter: Waiter) -> bool:
    process = waiter.who.process
    return waiter.responds and (process is None or table.lives(process) is None)


def _read(directory: LockDirectory, name: str, clock: Callable[[], int], *, looks: bool = False) -> Waiter | None:
    descriptor = directory.open_to_look(name)
    if descriptor is None:
        return None
    try:
        if not looks and try_lock(descriptor, shared=True):
            directory.remove(name)
            return None
        came, beat = int(name.split("-")[1]), os.fstat(descriptor).st_mtime_ns
        who, wish = _parse(json.loads(os.pread(descriptor, 1 << 16, 0)))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None  # it is being written; or it is nobody's who knows how
    finally:
        os.close(descriptor)
    responds = clock() - beat < _STALE and not _is_stopped(who)
    return Waiter(ticket=name, came=came, who=who, wish=wish, responds=responds)


def _is_stopped(who: Holder) -> bool:
    process = who.process
    return process is not None and table.lives(process) is True and table.is_stopped(process.pid)


def _parse(data: Any) -> tuple[Holder, Wish]:
    if not isinstance(data, dict):
        raise TypeError("not an object")
    wants = data.pop("wants")
    wish = Wish(
        devices=tuple(map(str, wants["devices"])),
        gpus=_count(wants["gpus"]),
        slots=_count(wants["slots"]),
        unusable=tuple(map(str, wants["unusable"])),
        keeps=_count(wants["keeps"], least=0),
        settles=_count(wants.get("settles", 0), least=0),
    )
    return parse(data), wish


def _count(value: object, *, least: int = 1) -> int:
    if type(value) is not int or not least <= value < 1 << 63:
        raise ValueError(value)
    return value
