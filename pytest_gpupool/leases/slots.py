"""Slots: what a worker holds of a device, and how it takes that.

Who wants a device alone locks its file, those who share it lock it together, and the kernel keeps the two apart. Of
those who share it each has a number as well, whose file is its own. A run that lets K share holds one more file
together with all others of its kind; nobody takes a number from K on then. Each that comes locks first and looks
afterwards: of two that come at once, the one that looks last sees the other.

Beside the locks each holds an anchor, which says the same without a file. What is here tries once, but to put files
back: those who come meanwhile lock the new ones for the moment in which they find the anchor.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..processes.own import clock
from ..values.device import Device
from .locking import holders, names, version_0_1
from .locking.anchors import Anchor
from .locking.holders import Holder
from .locking.lock_directory import LockDirectory
from .locking.locks import LockFile, is_locked
from .occupancy import ALONE, Occupancy

_TRIES = 20  # how often a file is put back that somebody else has locked
_MOMENT = (0.01, 0.05)  # seconds between two; at random, so that two do not meet again


class Slot:
    """What this process holds of a device. ``number`` is 0 for who has it alone; ``holder`` is what it noted."""

    def __init__(self, directory: LockDirectory, device: Device, me: Holder, number: int = 0) -> None:
        self.device = device
        self.number = number
        self.holder: Holder | None = None
        self._me = me
        self._directory = directory
        shared = me.slots > 1
        self._note = names.note(device.id, number if shared else None)
        self._files = [LockFile(directory, names.lock(device.id), shared=shared)]
        if shared:
            self._files.append(LockFile(directory, names.limit_lock(device.id, me.slots), shared=True))
            self._files.append(LockFile(directory, names.number_lock(device.id, number)))
        self._anchor = Anchor(f"{names.stem(device.id)}/{number if shared else ALONE}")

    def take(self) -> bool:
        """Lock all of it, or nothing; then note who has it. Raises BadFile and UsageProblem."""
        try:
            # Lost ones: removed since they were locked, when no anchor kept others from new ones yet.
            if not (
                all(file.lock() for file in self._files)
                and self._anchor.bind()
                and not any(file.is_lost() for file in self._files)
                and self._is_alone_enough()
            ):
                self.unlock()
                return False
        except BaseException:
            self.unlock()
            raise
        self.note(self._me)
        return True

    def keep(self) -> None:
        """It becomes part of a lease; see :meth:`LockFile.keep`."""
        for file in self._files:
            file.keep()

    def unlock(self) -> None:
        """Give it back; what this process noted is wiped first."""
        if self.holder is not None:
            self.note(None)
        self._anchor.release()
        for file in reversed(self._files):
            file.unlock()

    def note(self, holder: Holder | None) -> None:
        """Say beside the lock who holds it, or that nobody does."""
        self.holder = holder
        holders.write(self._directory, self._note, holder)

    def descriptors(self) -> list[int]:
        """Return what holds it, for a process that is to inherit it."""
        return [*(one for file in self._files for one in file.descriptors), *self._anchor.descriptors()]

    def restore(self) -> str | None:
        """Put back what of its files was removed meanwhile; return why that cannot be, where others were faster."""
        for file in self._files:
            if not file.is_lost():
                continue
            if not _is_put_back(file):
                path = self._directory.path / file.name
                return f"{path} was removed while it was locked, and another process has locked a new one"
            self.note(self.holder)
        return None

    def neighbours(self) -> dict[int, Holder]:
        """Return who shares the device, by their numbers, as far as they say who they are."""
        notes = self._notes_beside()
        locks = {number: names.number_lock(self.device.id, number) for number in notes}
        return {number: note for number, note in notes.items() if is_locked(self._directory, locks[number])}

    def noted_beside(self) -> list[Holder]:
        """Return the notes of the device's other numbers, whether they are held or not; no lock is tried."""
        return list(self._notes_beside().values())

    def _notes_beside(self) -> dict[int, Holder]:
        others = [number for number in names.numbers(self.device.id, self._directory.names()) if number != self.number]
        notes = ((number, holders.read(self._directory, names.note(self.device.id, number))) for number in others)
        return {number: note for number, note in notes if note is not None}

    def _is_alone_enough(self) -> bool:
        """Say whether nobody came first of whom the locks that were taken do not tell."""
        seen, slots = Occupancy(self._directory), self._me.slots
        held = {hold.number for hold in seen.holds(self.device.id)}
        if slots == 1:
            return held <= {None} and not version_0_1.holder_there(self._directory, self.device.id)[0]
        # Those who come later are bound by our limit, which is locked by now; those above it came before that.
        numbers = {slots if number is None else number for number in held - {self.number}}
        return all(number < slots for number in numbers) and self.number < seen.limit(self.device.id, slots)


def _is_put_back(file: LockFile) -> bool:
    """Put a file back; say no where somebody holds a new one who does not give way."""
    for _ in range(_TRIES):
        if file.put_back():
            return True
        clock.sleep(random.uniform(*_MOMENT))
    return False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who stands in the way, None where it does not say who it is.

    ``momentary`` says that it may be gone in a moment: somebody who only looks, or who tries and goes back.
    """

    holder: Holder | None
    momentary: bool


def claim(directory: LockDirectory, device: Device, me: Holder, *, first: int = 0) -> Slot | Refusal:
    """Take a device, or one of ``me.slots`` numbers of it, tried from ``first`` on, or say who stands in the way.

    Raises:
        BadFile: a lock file is not to be used.
        UsageProblem: the lock directory has vanished, and cannot be made again.
    """
    numbers = [0]
    if me.slots > 1:
        seen = Occupancy(directory)
        limit, taken = seen.limit(device.id, me.slots), set(seen.numbers(device.id))
        numbers = [number for turn in range(limit) if (number := (first + turn) % limit) not in taken]
    for number in numbers:
        slot = Slot(directory, device, me, number)
        if slot.take():
            return slot
    return _refusal(directory, device)


def _refusal(directory: LockDirectory, device: Device) -> Refusal:
    holds = Occupancy(directory).holds(device.id)
    known = [hold.holder for hold in holds if hold.holder is not None]
    # Who has noted nothing yet may merely look, or be about to go back.
    noted = [holder for holder in known if holder.since is not None]
    holder = min(noted or known, key=lambda holder: holder.slots, default=None)
    return Refusal(holder, momentary=len(noted) < max(1, len(holds)))
