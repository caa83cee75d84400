"""Admission: whether what is on a device lets a worker use it: when it leases, and when a test says what it needs.

Locks do not know of processes outside the pool, nor of memory; NVML does. The workers of other runs that share a device
are told from foreign processes by the notes of the slots that are held.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..processes import table
from ..values.device import Device, Size
from ..values.texts import size_text

if TYPE_CHECKING:
    from ..devices.probe import DeviceFailed, GpuProcess, Probe, Usage
    from .holders import Holder
    from .slots import Slot

_LOOKS = 5  # how often the worker with the lower slot number looks again before it believes a reservation
_MOMENT = (0.002, 0.01)  # how long another worker takes to withdraw one, with room to spare


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """Why a device could not be leased, or lets a test not start.

    ``pid`` is of the process in the way, where it is known; ``for_good`` says that waiting cannot help.
    """

    device: Device
    reason: str
    pid: int | None = None
    for_good: bool = False

    def __str__(self) -> str:
        return f"{self.device.label}  {self.device.name}  {self.reason}"


def held_by(device: Device, holder: Holder | None) -> Blocker:
    """Say that a device is held, by whom and for how long; by None where that is not told."""
    if holder is None:
        return Blocker(device=device, reason="held by a process that does not say who it is")
    return Blocker(device=device, reason=f"held by {holder.describe(time.time())}", pid=holder.pid)


def unusable(slot: Slot, probe: Probe, busy_memory: Size | None) -> Blocker | None:
    """With a slot in hand, say what stands in the way besides locks.

    ``busy_memory`` is what processes outside the pool may hold; with None they do not matter.
    """
    from ..devices.probe import DeviceFailed

    others = [holder.pid for holder in slot.neighbours().values()]
    try:
        usage = probe.usage(slot.device)
    except DeviceFailed as failed:
        return _failed(slot.device, failed)
    if busy_memory is None:
        return None
    allowed = busy_memory.of(slot.device)
    return _busy_beside(slot.device, usage, allowed, others) if others else _busy(slot.device, usage, allowed)


def admit(
    slots: Sequence[Slot], need: int | Size, probe: Probe, *, sleep: Callable[[float], None] = time.sleep
) -> tuple[Blocker, ...]:
    """Reserve so much memory on each device for the test that comes, or say where it is not free; see Lease.admit."""
    needs = [(slot, need.of(slot.device) if isinstance(need, Size) else need) for slot in slots]
    with _withdrawing(slots) as keep:
        blockers = tuple(blocker for slot, size in needs if (blocker := too_small(slot.device, size)))
        if not blockers:
            for slot, size in needs:
                reserve(slot, size)
            blockers = _shortages(needs, probe, sleep)
        if not blockers:
            keep()
        return blockers


def reserve(slot: Slot, size: int | None) -> None:
    """Say beside the lock how much memory the test may take; None or 0 withdraws that."""
    assert slot.holder is not None
    if slot.holder.memory != (size or None):
        slot.note(replace(slot.holder, memory=size or None))


@contextmanager
def _withdrawing(slots: Iterable[Slot]) -> Iterator[Callable[[], None]]:
    kept: list[bool] = []
    try:
        yield lambda: kept.append(True)
    finally:
        if not kept:
            for slot in slots:
                reserve(slot, None)


def _shortages(needs: Sequence[tuple[Slot, int]], probe: Probe, sleep: Callable[[float], None]) -> tuple[Blocker, ...]:
    for look in range(_LOOKS):
        if look:
            sleep(random.uniform(*_MOMENT))
        short = [answer for slot, size in needs if (answer := _short(slot, size, probe))]
        # Two that come together each see the other's reservation. The higher slot number withdraws at once, the lower
        # one waits for that; had the other been admitted before, its reservation stays.
        if not short or not all(is_momentary for _, is_momentary in short):
            break
    return tuple(blocker for blocker, _ in short)


def _short(slot: Slot, need: int, probe: Probe) -> tuple[Blocker, bool] | None:
    """Return what a device lacks, and whether it would not but for the reservations of higher slot numbers."""
    from ..devices.probe import DeviceFailed

    if not need:
        return None
    # First the notes: who ends a test in between still has its memory, and is counted by what it uses.
    neighbours = slot.neighbours()
    try:
        usage = probe.usage(slot.device)
    except DeviceFailed as failed:
        return _failed(slot.device, failed), False
    if usage.memory_free is None:
        return None
    account = _MemoryAccount.open(usage, neighbours)
    if account.free() >= need:
        return None
    return account.blocker(slot.device, need), account.free(below=slot.number) >= need


@dataclass(frozen=True, slots=True)
class _MemoryAccount:
    """Who has how much of a device's memory, in bytes: processes by the worker that they belong to."""

    unused: int
    own: int
    others: dict[int, tuple[Holder, int]]
    """By slot number, with what is used."""
    foreign: list[GpuProcess]

    @classmethod
    def open(cls, usage: Usage, neighbours: dict[int, Holder]) -> _MemoryAccount:
        workers = {os.getpid(), *(holder.pid for holder in neighbours.values())}
        owners = {process.pid: _owner(process.pid, workers) for process in usage.processes}
        used = {worker: _known(p for p in usage.processes if owners[p.pid] == worker) for worker in workers}
        return cls(
            unused=usage.memory_free or 0,
            own=used[os.getpid()] + (0 if neighbours else _unnamed(usage, owners)),
            others={number: (holder, used[holder.pid]) for number, holder in neighbours.items()},
            foreign=[process for process in usage.processes if owners[process.pid] is None],
        )

    def free(self, below: int | None = None) -> int:
        """Return what this worker may use; with ``below`` only lower slot numbers' reservations count."""
        counted = (claim for number, claim in self.others.items() if below is None or number < below)
        return self.unused + self.own - sum(max(0, (holder.memory or 0) - used) for holder, used in counted)

    def blocker(self, device: Device, need: int) -> Blocker:
        """Say how much is free, and who has the rest, the largest first."""
        claims = [(max(holder.memory or 0, used), holder.label, holder.pid) for holder, used in self.others.values()]
        claims += [(p.memory or 0, f"pid {p.pid} (not of this pool)", p.pid) for p in self.foreign]
        rest = sorted((claim for claim in claims if claim[0]), reverse=True)
        reason = f"{size_text(max(0, self.free()))} free, {size_text(need)} needed"
        who = ", ".join(f"{label} has {size_text(size)}" for size, label, _ in rest)
        return Blocker(device=device, reason=f"{reason}: {who}" if who else reason, pid=rest[0][2] if rest else None)


def _unnamed(usage: Usage, owners: dict[int, int | None]) -> int:
    """Return what this process has where NVML names it without its memory, as in some containers."""
    mine = [process for process in usage.processes if owners[process.pid] == os.getpid()]
    if all(process.memory is not None for process in mine):
        return 0
    return max(0, (usage.memory_used or 0) - _known(usage.processes))


def _owner(pid: int, workers: Collection[int]) -> int | None:
    """Return the worker that a process is or descends from, the nearest one; None for a foreign one."""
    if pid in workers:
        return pid
    return next((ancestor for ancestor in table.lineage(pid) if ancestor in workers), None)  # none of one that is gone


def _known(processes: Iterable[GpuProcess]) -> int:
    return sum(process.memory or 0 for process in processes)


def _busy(device: Device, usage: Usage, allowed: int) -> Blocker | None:
    foreign = [process for process in usage.processes if process.pid != os.getpid()]
    # In a container NVML may name no process, or no memory of one; the device's own figure still tells.
    return _foreign(device, foreign, max(_known(foreign), usage.memory_used or 0), allowed)


def _busy_beside(device: Device, usage: Usage, allowed: int, others: Collection[int]) -> Blocker | None:
    # What the device has in use is also the other workers', so only named processes can be told from theirs.
    workers = {os.getpid(), *others}
    foreign = [process for process in usage.processes if _owner(process.pid, workers) is None]
    return _foreign(device, foreign, _known(foreign), allowed)


def _foreign(device: Device, foreign: Sequence[GpuProcess], in_use: int, allowed: int) -> Blocker | None:
    if in_use <= allowed:
        return None
    largest = max(foreign, key=lambda process: process.memory or 0, default=None)
    who = "a process that NVML does not name" if largest is None else f"pid {largest.pid} (not of this pool)"
    return Blocker(
        device=device, reason=f"busy: {who} uses {size_text(in_use)}", pid=None if largest is None else largest.pid
    )


def too_small(device: Device, need: int) -> Blocker | None:
    """Say that a device can never have so many bytes free."""
    if device.memory_total is None or need <= device.memory_total:
        return None
    reason = f"too small: it has {size_text(device.memory_total)} of memory, {size_text(need)} needed"
    return Blocker(device=device, reason=reason, for_good=True)


def _failed(device: Device, failed: DeviceFailed) -> Blocker:
    return Blocker(device=device, reason=str(failed), for_good=failed.for_good)
