"""Occupancy: who holds which device at this moment, by what the kernel says, without locking or making anything.

The kernel does not show a process the locks of other pid namespaces, nor the anchors of other network namespaces: what
is held only there looks free here. To lock it tells.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..processes import table
from ..processes.kernel import locks as kernel_locks
from ..processes.kernel.locks import FileKey
from ..values.device import Device
from .locking import holders, names, version_0_1
from .locking.anchors import anchored
from .locking.holders import Holder
from .locking.lock_directory import BadFile, LockDirectory
from .locking.locks import is_locked

ALONE = "alone"
"""The end of the anchor's name of who has a device alone; else it is a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """That a device is held; by None where it is not told by whom. ``number`` is None for who has it alone."""

    number: int | None
    holder: Holder | None


class Occupancy:
    """The kernel's lists as they were at one moment. Devices are given by their ids."""

    def __init__(self, directory: LockDirectory) -> None:
        self._directory = directory
        self._flocks = kernel_locks.flocks()
        self._anchors = anchored()
        self._names = directory.names()

    def holds(self, device: str) -> list[Hold]:
        """Return who holds a device, each number by itself."""
        shared = [
            Hold(number=number, holder=self._holder(device, number, names.number_lock(device, number)))
            for number in self.numbers(device)
        ]
        if self._is_alone(device) or (not shared and self._is_locked(names.lock(device))):
            return [*shared, Hold(number=None, holder=self._holder(device, None, names.lock(device)))]
        held, holder = version_0_1.holder_there(self._directory, device, flocks=self._flocks)
        return [*shared, Hold(number=None, holder=holder)] if held else shared

    def is_held(self, device: str) -> bool:
        """Return whether anybody holds a device, be it in part."""
        if self._is_locked(names.lock(device)) or any(
            name.startswith(f"{names.stem(device)}/") for name in self._anchors
        ):
            return True
        return version_0_1.holder_there(self._directory, device, flocks=self._flocks)[0]

    def numbers(self, device: str) -> list[int]:
        """Return the numbers of a shared device that are held."""
        prefix = f"{names.stem(device)}/"
        bound = {name.removeprefix(prefix) for name in self._anchors if name.startswith(prefix)}
        by_name = {int(name) for name in bound if name.isdigit()}
        known = names.numbers(device, self._names)
        return sorted(by_name | {number for number in known if self._is_locked(names.number_lock(device, number))})

    def limit(self, device: str, slots: int) -> int:
        """Return how many may share a device where those who share it, and one that lets in ``slots``, agree."""
        limits = names.limits(device, self._names)
        return min([slots, *(limit for limit in limits if self._is_locked(names.limit_lock(device, limit)))])

    def room(self, device: str, slots: int) -> int:
        """Return how many more workers of a run that lets ``slots`` share a device could have it now."""
        if slots == 1:
            return 0 if self.is_held(device) else 1
        held = self.holds(device)
        if any(hold.number is None for hold in held):
            return 0
        limit = self.limit(device, slots)
        taken = {hold.number for hold in held if hold.number is not None}
        # Who has a number above what we let share goes on; nobody of ours joins.
        return 0 if any(number >= slots for number in taken) else max(0, limit - len(taken))

    def _holder(self, device: str, number: int | None, lock: str) -> Holder | None:
        """Return who holds a lock: by its note, if that names one who may have it; else by the kernel."""
        pids = self._flocks.get(self._directory.key(lock) or FileKey(0, 0, 0), [])
        note = holders.read(self._directory, names.note(device, number))
        if note is not None and _may_hold(note, pids):
            return note
        return next((known for pid in pids if (known := holders.by_pid(pid)) is not None), None)

    def _is_alone(self, device: str) -> bool:
        return f"{names.stem(device)}/{ALONE}" in self._anchors

    def _is_locked(self, name: str) -> bool:
        return self._directory.key(name) in self._flocks


def free_slots(devices: Sequence[Device], directory: LockDirectory, slots: int) -> int:
    """Return how many workers of a run that lets ``slots`` share a device could have one each at this moment."""
    seen = Occupancy(directory)
    # Who is in another pid namespace is not seen, but locks all the same.
    hidden = [device for device in devices if not seen.holds(device.id) and is_locked(directory, names.lock(device.id))]
    return sum(seen.room(device.id, slots) for device in devices if device not in hidden)


def bad_files(devices: Sequence[Device], directory: LockDirectory) -> dict[str, str]:
    """Return why devices cannot be locked, by their ids; such a file spoils that device alone."""
    bad = {}
    for device in devices:
        try:
            os.close(directory.open(names.lock(device.id)))
        except BadFile as problem:
            bad[device.id] = str(problem)
    return bad


def _may_hold(note: Holder, pids: Sequence[int]) -> bool:
    process = note.process
    if process is None:  # of version 0.1
        return table.exists(note.pid)
    alive = table.lives(process)
    if alive is None:  # of another pid namespace it cannot be told
        return not pids or any(table.is_process(pid, process) for pid in pids)
    # One that has just ended, but was not waited for, may have children that hold it still.
    if table.start_of(note.pid) != process.started:
        return False
    # A lock that a command has inherited is that of who started it, also when that one is dead.
    starters = [pid for pid in pids if table.exists(pid)]
    return not starters or not table.lineage(note.pid).keys().isdisjoint(starters)
