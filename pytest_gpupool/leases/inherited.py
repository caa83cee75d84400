"""Inherited: the lease of a process above this one, which is this process's too, where that is so.

``GPUPOOL_RUN`` and ``GPUPOOL_DEVICES`` in the environment say of which run, and of which devices. They are believed
where the kernel says that this process or one of its ancestors holds the locks of all these devices: a worker that runs
a test, ``gpupool run``, or, where that was killed, the command that has inherited its descriptors. In a shell that has
kept the variables longer than the lease they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from ..processes import table
from ..processes.kernel import locks as kernel_locks
from ..processes.own.system import os
from .locking import names
from .locking.lock_directory import LockDirectory

if TYPE_CHECKING:
    from ..devices.probe import Survey

RUN, DEVICES = "GPUPOOL_RUN", "GPUPOOL_DEVICES"


class Inherited(NamedTuple):
    """A lease of the run ``run``: the ids of its devices in its order, and the pids of those above that hold it."""

    run: str
    devices: tuple[str, ...]
    holders: tuple[int, ...]


def seen_within(host: Survey, lease: Inherited | None) -> Survey:
    """Return the host as it is for who has that lease: with its devices alone, in its order; as it is without one."""
    if lease is None:
        return host
    here = {device.id: device for device in host.devices}
    return replace(host, devices=tuple(here[id_] for id_ in lease.devices if id_ in here))


def is_claimed(environ: Mapping[str, str]) -> bool:
    """Return whether an environment says that devices are leased; CPU slots, and no devices at all, need no lease."""
    return RUN in environ and (DEVICES not in environ or bool(_claimed(environ)))


def inherited(environ: Mapping[str, str], directory: Callable[[], LockDirectory | None]) -> Inherited | None:
    """Return the lease that an environment speaks of, None where it speaks of none or nobody above holds it.

    ``directory`` opens the lock directory, if there is one. It is looked into where that is not settled, and the
    descriptors of a process above, another user's, may not be looked at.
    """
    ids = _claimed(environ)
    if RUN not in environ or not ids:
        return None
    wanted = {names.lock(id_) for id_ in ids}
    lineage = table.lineage(os.getpid())
    locked, hidden = _locked_above(lineage)
    if hidden and not wanted <= set().union(*locked.values()) and (opened := directory()) is not None:
        _add_hidden(locked, hidden, wanted, opened)
    holders = {pid: held & wanted for pid, held in locked.items() if held & wanted}
    return Inherited(environ[RUN], ids, tuple(holders)) if wanted <= set().union(*holders.values()) else None


def warning(environ: Mapping[str, str]) -> str:
    """Say that what an environment claims is not so."""
    ids = _claimed(environ)
    said = f"{RUN}={environ[RUN]} is set, but"
    if not ids:
        return f"{said} {DEVICES} is not, and tells no device: ignored"
    return f"{said} no process above this one holds {', '.join(ids)}: ignored"


def _claimed(environ: Mapping[str, str]) -> tuple[str, ...]:
    listed = (id_.strip() for id_ in environ.get(DEVICES, "").split(","))
    return tuple(dict.fromkeys(id_ for id_ in listed if id_ and not id_.startswith("cpu:")))


def _locked_above(pids: Mapping[int, object]) -> tuple[dict[int, set[str]], list[int]]:
    """Return the names of the files that each of these processes holds locked, and those that do not show it."""
    locks = {pid: kernel_locks.held_flocks(pid) for pid in pids}
    # By name, wherever the file is or was: which lock directory the one above uses, it alone knows.
    locked = {pid: {PurePath(path).name for path in held.values()} for pid, held in locks.items() if held is not None}
    return locked, [pid for pid, held in locks.items() if held is None]


def _add_hidden(locked: dict[int, set[str]], hidden: list[int], wanted: set[str], directory: LockDirectory) -> None:
    """Add what the kernel's list of locks has of those processes."""
    flocks = kernel_locks.flocks()
    for name in wanted:
        key = directory.key(name)
        for pid in flocks.get(key, []) if key is not None else []:
            if pid in hidden:
                locked.setdefault(pid, set()).add(name)
