"""Leases: the hold of devices by this process, through file locks, and what a worker asks for one.

It ends with the process, however that ends. A lock alone never proves that a GPU is free (a killed holder's child may
still use it), therefore the vendor's library is asked after locking.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..processes.own import clock
from ..processes.own.system import os
from ..values.device import Device, Size
from ..values.process_id import ProcessId
from ..values.texts import iso

if TYPE_CHECKING:
    from ..devices.probe import Probe
    from .admission import Blocker
    from .locking.holders import Holder
    from .locking.lock_directory import LockDirectory
    from .slots import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a process wants: ``gpus`` of ``devices``, tried from number ``first`` on so that workers do not collide.

    ``run`` and ``worker`` say who it is, or ``command``. ``slots`` is how many workers may share a device, 1 to have it
    alone; devices with an id in ``avoid`` are tried last; ``memory`` is how many bytes a device must have in all.
    """

    devices: tuple[Device, ...]
    lock_dir: LockDirectory
    run: str | None = None
    worker: str | None = None
    command: str | None = None
    first: int = 0
    busy_memory: Size | None
    """What processes outside the pool may hold on a free device; None leases busy ones all the same."""
    gpus: int = 1
    slots: int = 1
    avoid: frozenset[str] = frozenset()
    memory: int = 0

    def order(self) -> list[Device]:
        """Return the devices as they are to be tried: of those that are shared, the one with the fewest workers."""
        workers: dict[str, int] = {}
        if self.slots > 1:
            from .occupancy import Occupancy

            seen = Occupancy(self.lock_dir)
            workers = {device.id: len(seen.numbers(device.id)) for device in self.devices}
        return in_order(self.devices, self.first, self.avoid, workers)

    def holder(self) -> Holder:
        """Return what the note beside a lock is to say."""
        from .locking import holders

        return holders.myself(
            run=self.run, worker=self.worker, command=self.command, since=iso(clock.now()), slots=self.slots
        )


def in_order(devices: Sequence[Device], first: int, avoid: Collection[str], workers: Mapping[str, int]) -> list[Device]:
    """Return devices from number ``first`` on around, those to ``avoid`` last, then by how many workers they have."""
    start = first % len(devices)
    turned = [*devices[start:], *devices[:start]]
    return sorted(turned, key=lambda device: (device.id in avoid, workers.get(device.id, 0)))


class Lease:
    """Devices held by this process, until it ends or :meth:`release`. One of no devices, or CPU slots, has no locks."""

    def __init__(self, devices: Sequence[Device], slots: Sequence[Slot] = ()) -> None:
        self.devices = tuple(devices)
        self.until: str | None = None
        """When it is expected to end, ISO 8601, None where nobody knows; said with the next note."""
        self.environment: dict[str, str] = {}
        """What the environment of this process was given for it."""
        self._slots = list(slots)
        self._owner = os.getpid()

    def note(self, test: str | None) -> None:
        """Say beside the locks which test runs now; None says that none does, and that none needs memory."""
        for slot in self._slots:
            assert slot.holder is not None
            memory = slot.holder.memory if test else None
            slot.note(replace(slot.holder, test=test, memory=memory, until=self.until))

    def restore(self) -> str | None:
        """Put back what of the lock files was removed meanwhile; return why that cannot be, None where all is well."""
        return next((problem for slot in self._slots if (problem := slot.restore()) is not None), None)

    def admit(
        self, need: int | Size, probe: Probe, *, sleep: Callable[[float], None] = clock.sleep
    ) -> tuple[Blocker, ...]:
        """Reserve ``need`` bytes on each device, until ``note(None)``; without Blockers the test may start.

        It tries once. What this process and its children have counts as free, what other workers of the device have
        reserved does not. Where NVML does not know, nothing stands in the way. After Blockers nothing is reserved.
        """
        from . import admission

        return admission.admit(self._slots, need, probe, sleep=sleep)

    def neighbours(self) -> set[ProcessId]:
        """Return the processes that the notes of these devices' other slots name, whether they hold them still or not.

        No lock is tried, so that a thread may ask: a fork at that moment would inherit it.
        """
        notes = [note for slot in self._slots for note in slot.noted_beside()]
        return {note.process for note in notes if note.process is not None}

    def handed_to(self, process: ProcessId) -> None:
        """Say beside the locks that this process, which has inherited :meth:`descriptors`, is who uses the devices."""
        for slot in self._slots:
            assert slot.holder is not None
            slot.note(
                replace(slot.holder, pid=process.pid, started=process.started, pid_namespace=process.pid_namespace)
            )

    def descriptors(self) -> list[int]:
        """Return what holds the devices: a process that inherits these holds them as well, until it ends."""
        return [descriptor for slot in self._slots for descriptor in slot.descriptors()]

    def release(self) -> None:
        """Free the devices; a second call does nothing, nor does a forked child's.

        Only right once this process has no CUDA context.
        """
        if os.getpid() != self._owner:
            return
        for slot in self._slots:
            slot.unlock()
        self._slots.clear()
