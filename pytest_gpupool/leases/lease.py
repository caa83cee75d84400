"""Leases: the hold of devices by this process, through file locks, and what a worker asks for one.

It ends with the process, however that ends. A lock alone never proves that a GPU is free (a killed holder's child may
still use it), therefore the vendor's library is asked after locking.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..values.device import Device, Size
from ..values.texts import iso

if TYPE_CHECKING:
    from ..devices.probe import Probe
    from .admission import Blocker
    from .holders import Holder
    from .slots import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a worker wants: ``gpus`` of ``devices``, tried from number ``first`` on so that workers do not collide.

    ``slots`` is how many workers may share a device, 1 to have it alone; devices with an id in ``avoid`` are tried
    last; ``memory`` is how many bytes a device must have in all.
    """

    devices: tuple[Device, ...]
    lock_dir: Path
    worker: str
    run: str
    first: int
    busy_memory: Size | None
    """What processes outside the pool may hold on a free device; None leases busy ones all the same."""
    gpus: int = 1
    slots: int = 1
    avoid: frozenset[str] = frozenset()
    memory: int = 0

    def order(self) -> list[Device]:
        """Return the devices as they are to be tried: of those that are shared, the one with the fewest workers."""
        from .occupancy import noted_workers

        start = self.first % len(self.devices)
        turned = [*self.devices[start:], *self.devices[:start]]
        workers = {device.id: noted_workers(self.lock_dir, device) if self.slots > 1 else 0 for device in turned}
        return sorted(turned, key=lambda device: (device.id in self.avoid, workers[device.id]))

    def holder(self) -> Holder:
        """Return what the note beside a lock is to say."""
        from . import holders

        return holders.myself(worker=self.worker, run=self.run, since=iso(time.time()), slots=self.slots)


class Lease:
    """Devices held by this process, until it ends or :meth:`release`. One of no devices, or CPU slots, has no locks."""

    def __init__(self, devices: Sequence[Device], slots: Sequence[Slot] = ()) -> None:
        self.devices = tuple(devices)
        self._slots = list(slots)
        self._owner = os.getpid()

    def note(self, test: str | None) -> None:
        """Say beside the locks which test runs now; None says that none does, and that none needs memory."""
        for slot in self._slots:
            assert slot.holder is not None
            slot.note(replace(slot.holder, test=test, memory=slot.holder.memory if test else None))

    def admit(
        self, need: int | Size, probe: Probe, *, sleep: Callable[[float], None] = time.sleep
    ) -> tuple[Blocker, ...]:
        """Reserve ``need`` bytes on each device, until ``note(None)``; without Blockers the test may start.

        It tries once. What this process and its children have counts as free, what other workers of the device have
        reserved does not. Where NVML does not know, nothing stands in the way. After Blockers nothing is reserved.
        """
        from . import admission

        return admission.admit(self._slots, need, probe, sleep=sleep)

    def neighbours(self) -> set[int]:
        """Return the processes that the notes of these devices' other slots name, whether they hold them still or not.

        No lock is tried, so that a thread may ask: a fork at that moment would inherit it.
        """
        return {note.pid for slot in self._slots for other in slot.others() if (note := other.read()) is not None}

    def release(self) -> None:
        """Free the devices; a second call does nothing, nor does a forked child's.

        Only right once this process has no CUDA context.
        """
        if os.getpid() != self._owner:
            return
        for slot in self._slots:
            slot.unlock()
        self._slots.clear()
