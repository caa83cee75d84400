"""Occupancy: how many hold which devices at this moment, for those who choose a device and those who plan a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..values.device import Device
from . import admission
from .admission import Blocker
from .slots import Slot, lives, most_beside, slots_of

if TYPE_CHECKING:
    from .holders import Holder


def locked_devices(devices: Sequence[Device], lock_dir: Path) -> tuple[Blocker, ...]:
    """Say which of the devices are held at this moment, be it in part.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    taken_slots = ((device, holders_now(lock_dir, device)) for device in devices)
    return tuple(admission.held_by(device, next(iter(taken.values()))) for device, taken in taken_slots if taken)


def free_slots(devices: Sequence[Device], lock_dir: Path, slots: int) -> int:
    """Return how many workers of a run that lets ``slots`` share a device could have one each at this moment.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    return sum(room_beside(holders_now(lock_dir, device), slots) for device in devices)


def noted_workers(directory: Path, device: Device) -> int:
    """Return how many seem to hold slots of a device, by their notes alone; for choosing, not for excluding."""
    notes = [slot.read() for slot in slots_of(directory, device)]
    return sum(note is not None and lives(note.pid) for note in notes)


def holders_now(directory: Path, device: Device) -> dict[int, Holder | None]:
    """Return who holds which slot at this moment; slot 0's lock file is made where it is not there.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    known = {0: Slot(directory, device), **{slot.number: slot for slot in slots_of(directory, device)}}
    return {number: slot.read() for number, slot in known.items() if slot.is_taken()}


def room_beside(taken: Mapping[int, Holder | None], wanted: int) -> int:
    """Return how many more workers of a run that lets ``wanted`` share may take a slot beside these holders."""
    numbers = wanted - sum(number < wanted for number in taken)
    return max(0, min(numbers, most_beside(wanted, taken.values()) - len(taken)))
