"""Slots: one lock file and a note per device and worker that shares it, and how a worker takes one of them.

Several workers share a device by having a slot each, and no lock tells how many the others let in. Therefore who takes
a slot locks it, then writes its note, and only then looks at the other slots: of any two that come at the same time,
the one that looks last sees the other's lock and note. Who sees more holders than itself or any of them lets in goes
back. To an exclusive holder that is every other. Lock files are named by the device's UUID.

What is here tries once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..values.device import Device
from .locks import LockFile

if TYPE_CHECKING:
    from .holders import Holder

_LARGEST_PID = 1 << 31


class Slot:
    """One slot of a device: its lock and the note beside it. ``holder`` is what this process noted there."""

    def __init__(self, directory: Path, device: Device, number: int = 0) -> None:
        self.device = device
        self.number = number
        self.holder: Holder | None = None
        self._directory = directory
        self._file = LockFile(directory / f"{_stem(device)}.{number}.lock")
        self._note = directory / f"{_stem(device)}.{number}.json"

    def lock(self) -> bool:
        """Take it, or say that it is held. Raises UsageProblem where its lock file cannot be made or opened."""
        return self._file.lock()

    def is_taken(self) -> bool:
        """Say whether anybody holds it at this moment; see :meth:`LockFile.is_taken`."""
        return self._file.is_taken()

    def unlock(self) -> None:
        """Give it back; what this process noted is wiped first."""
        if self.holder is not None:
            self.note(None)
        self._file.unlock()

    def note(self, holder: Holder | None) -> None:
        """Say beside the lock who holds it, or that nobody does."""
        from . import holders

        self.holder = holder
        holders.write(self._note, holder)

    def read(self) -> Holder | None:
        """Return what its note says, whether it is held or not; None where it does not tell."""
        from . import holders

        return holders.read(self._note)

    def neighbours(self) -> dict[int, Holder]:
        """Return the holders of the device's other slots by their numbers, as far as they say who they are."""
        others = ((slot, slot.read()) for slot in self.others())
        return {slot.number: holder for slot, holder in others if holder is not None and slot.is_taken()}

    def others(self) -> list[Slot]:
        """Return the device's other slots that anybody ever took."""
        return [slot for slot in slots_of(self._directory, self.device) if slot.number != self.number]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who stands in the way, None where it does not say who it is.

    ``momentary`` says that it may be gone in a moment: somebody who only looks, or who tries and goes back.
    """

    holder: Holder | None
    momentary: bool


def slots_of(directory: Path, device: Device) -> list[Slot]:
    """Return the slots of a device that anybody ever took, by their numbers."""
    pattern = re.compile(rf"{re.escape(_stem(device))}\.(0|[1-9]\d{{0,8}})\.lock", re.ASCII)
    numbers = sorted(int(match[1]) for path in directory.iterdir() if (match := pattern.fullmatch(path.name)))
    return [Slot(directory, device, number) for number in numbers]


def claim(directory: Path, device: Device, holder: Holder, *, first: int = 0) -> Slot | Refusal:
    """Take one of ``holder.slots`` slots of a device, tried from number ``first`` on, or say who stands in the way.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    refusal = refusal_of(directory, device, holder)
    if refusal is not None:
        return refusal
    tried = []
    for number in range(holder.slots):
        slot = Slot(directory, device, (first + number) % holder.slots)
        if slot.lock():
            return _check_claim(slot, holder)
        tried.append(slot.read())
    return _refusal(tried)


def refusal_of(directory: Path, device: Device, holder: Holder) -> Refusal | None:
    """Say who stands in a holder's way, None where nobody seems to.

    Nothing that is free is locked for it: it may miss one, and disturbs nobody.
    """
    noted = [(slot, note) for slot in slots_of(directory, device) if (note := slot.read())]
    return _refusal_beside(holder, [note for slot, note in noted if slot.is_taken()])


def _check_claim(slot: Slot, holder: Holder) -> Slot | Refusal:
    """With the slot locked: note it, look who else is there, and give it back where that is one too many."""
    try:
        slot.note(holder)
        refusal = _refusal_beside(holder, [other.read() for other in slot.others() if other.is_taken()])
    except BaseException:
        slot.unlock()
        raise
    if refusal is None:
        return slot
    slot.unlock()
    # It was not to be seen a moment ago: it may be somebody who sees us now, and goes back as well.
    return Refusal(refusal.holder, momentary=True)


def _refusal_beside(holder: Holder, others: Sequence[Holder | None]) -> Refusal | None:
    if len(others) + 1 <= most_beside(holder.slots, others):
        return None
    return _refusal(others)


def most_beside(wanted: int, others: Iterable[Holder | None]) -> int:
    """Return how many may share the device where all of these holders, and one that lets in ``wanted``, agree."""
    # Who does not say that it shares has the device alone.
    return min([wanted, *(1 if other is None else other.slots for other in others)])


def _refusal(others: Sequence[Holder | None]) -> Refusal:
    known = [other for other in others if other is not None]
    holder = min(known, key=lambda other: other.slots, default=None)
    return Refusal(holder, momentary=len(known) < len(others) or not all(lives(other.pid) for other in known))


def lives(pid: int) -> bool:
    """Return whether there is a process of the number that a note says."""
    import psutil

    return 0 < pid < _LARGEST_PID and psutil.pid_exists(pid)


def _stem(device: Device) -> str:
    return device.id.replace("/", "_")  # MIG ids of old drivers have slashes
