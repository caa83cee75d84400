"""Admission: whether what is on a device lets a worker use it: when it leases, and when a test says what it needs.

Locks do not know of processes outside the pool, nor of memory; the vendor's library does. A device is busy with any
process outside the pool that computes on it, however little it holds, and with much memory that no named process
explains: in a container the library may name none. Programs that only draw are no obstacle. Where the library names a
process without its memory, it is busy with it all the same; of one that only draws, without its memory, the memory
counts as unexplained.

The workers of other runs that share a device are told from foreign processes by the notes of the slots that are held. A
process that is not to be seen here, as in a container, may be one of theirs, and stands in the way only where nobody
shares the device.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..devices import vendors
from ..processes import table
from ..processes.own import clock
from ..processes.own.system import os
from ..values.device import Device, Size
from ..values.process_id import ProcessId
from ..values.texts import one_line, size_text

if TYPE_CHECKING:
    from ..devices.probe import DeviceFailed, GpuProcess, Probe, Usage
    from .locking.holders import Holder
    from .slots import Slot

_NAMED = 3  # how many processes a line names
_LOOKS = 5  # how often the worker with the lower slot number looks again before it believes a reservation
_MOMENT = (0.002, 0.01)  # how long another worker takes to withdraw one, with room to spare


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """Why a device could not be leased, or lets a test not start.

    ``pid`` is of the process in the way, where it is known, and ``process`` what it is known by everywhere;
    ``for_good`` says that waiting cannot help.
    """

    device: Device
    reason: str
    pid: int | None = None
    process: ProcessId | None = None
    for_good: bool = False

    def __str__(self) -> str:
        return f"{self.device.label}  {self.device.name}  {self.reason}"


def held_by(device: Device, holder: Holder | None) -> Blocker:
    """Say that a device is held, by whom and for how long; by None where that is not told."""
    if holder is None:
        return Blocker(device=device, reason="held by a process that does not say who it is")
    reason = f"held by {holder.describe(clock.now())}"
    return Blocker(device=device, reason=reason, pid=holder.pid, process=holder.process)


def unusable(slot: Slot, probe: Probe, busy_memory: Size | None) -> Blocker | None:
    """With a slot in hand, say what stands in the way besides locks.

    ``busy_memory`` is how much may be in use that no named process explains; with None nothing in use matters.
    """
    from ..devices.probe import DeviceFailed

    workers = _Workers(slot.neighbours())
    try:
        usage = probe.usage(slot.device)
    except DeviceFailed as failed:
        return _failed(slot.device, failed)
    if busy_memory is None:
        return None
    if usage.forbidden is not None:
        return Blocker(device=slot.device, reason=f"busy: {usage.forbidden}")
    return _busy(slot.device, usage, workers) or _filled(slot.device, usage, busy_memory.of(slot.device), workers)


def admit(
    slots: Sequence[Slot], need: int | Size, probe: Probe, *, sleep: Callable[[float], None] = clock.sleep
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


_OWN = -1


class _Workers:
    """The workers on a device: this process, and those that share it by their slot numbers."""

    def __init__(self, neighbours: Mapping[int, Holder]) -> None:
        self.neighbours = neighbours

    @property
    def are_alone(self) -> bool:
        """Whether this process shares the device with nobody."""
        return not self.neighbours

    def owner(self, pid: int) -> int | None:
        """Return the slot number of the worker that a process is or descends from, the nearest one, ``_OWN`` for this.

        None for a foreign one, as one of a worker that is gone is. By identity: what is process 1 in a container is not
        the ancestor of all others.
        """
        for ancestor in (pid, *table.lineage(pid)):
            if ancestor == os.getpid():
                return _OWN
            for number, holder in self.neighbours.items():
                if holder.process is not None and table.is_process(ancestor, holder.process):
                    return number
        return None


@dataclass(frozen=True, slots=True)
class _MemoryAccount:
    """Who has how much of a device's memory, in bytes: processes by the worker that they belong to."""

    unused: int
    own: int
    others: dict[int, tuple[Holder, int]]
    """By slot number, with what is used."""
    foreign: list[GpuProcess]
    graphics: tuple[GpuProcess, ...]

    @classmethod
    def open(cls, usage: Usage, neighbours: dict[int, Holder]) -> _MemoryAccount:
        workers = _Workers(neighbours)
        owners = {process.pid: workers.owner(process.pid) for process in usage.processes}
        used = {one: _known(p for p in usage.processes if owners[p.pid] == one) for one in (_OWN, *neighbours)}
        return cls(
            unused=usage.memory_free or 0,
            own=used[_OWN] + (0 if neighbours else _unnamed(usage, owners)),
            others={number: (holder, used[number]) for number, holder in neighbours.items()},
            foreign=[process for process in usage.processes if owners[process.pid] is None],
            graphics=usage.graphics,
        )

    def free(self, below: int | None = None) -> int:
        """Return what this worker may use; with ``below`` only lower slot numbers' reservations count."""
        counted = (claim for number, claim in self.others.items() if below is None or number < below)
        return self.unused + self.own - sum(max(0, (holder.memory or 0) - used) for holder, used in counted)

    def blocker(self, device: Device, need: int) -> Blocker:
        """Say how much is free, and who has the rest, the largest first."""
        claims = [(max(holder.memory or 0, used), holder.label, holder.pid) for holder, used in self.others.values()]
        claims += [(p.memory or 0, f"pid {p.pid} (not of this pool)", p.pid) for p in self.foreign]
        claims += [(p.memory or 0, f"pid {p.pid} (graphics)", p.pid) for p in self.graphics]
        rest = sorted((claim for claim in claims if claim[0]), reverse=True)
        reason = f"{size_text(max(0, self.free()))} free, {size_text(need)} needed"
        who = ", ".join(f"{label} has {size_text(size)}" for size, label, _ in rest)
        return Blocker(device=device, reason=f"{reason}: {who}" if who else reason, pid=rest[0][2] if rest else None)


def _unnamed(usage: Usage, owners: dict[int, int | None]) -> int:
    """Return what this process has where it is named without its memory, as in some containers."""
    mine = [process for process in usage.processes if owners[process.pid] == _OWN]
    if all(process.memory is not None for process in mine):
        return 0
    return _unexplained(usage)


def _unexplained(usage: Usage) -> int:
    return max(0, (usage.memory_used or 0) - _known((*usage.processes, *usage.graphics)))


def _known(processes: Iterable[GpuProcess]) -> int:
    return sum(process.memory or 0 for process in processes)


def _busy(device: Device, usage: Usage, workers: _Workers) -> Blocker | None:
    """Say who computes on a device that is none of its workers, nor descends from one."""
    foreign = [process for process in usage.processes if _is_foreign(process.pid, workers)]
    if not foreign:
        return None
    foreign.sort(key=lambda process: process.memory or 0, reverse=True)
    first, *rest = foreign
    uses = "computes on it" if first.memory is None else f"uses {size_text(first.memory)}"
    reason = f"busy: pid {first.pid} (not of this pool) {uses}{''.join(map(_also, rest[: _NAMED - 1]))}"
    more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
    return Blocker(device=device, reason=reason + more, pid=first.pid)


def _is_foreign(pid: int, workers: _Workers) -> bool:
    if workers.owner(pid) is not None:
        return False
    known = table.process(pid)
    if known is None:
        return workers.are_alone or table.exists(pid)
    return not vendors.is_service(known.name)


def _also(process: GpuProcess) -> str:
    return f", pid {process.pid}" + ("" if process.memory is None else f" {size_text(process.memory)}")


def _filled(device: Device, usage: Usage, allowed: int, workers: _Workers) -> Blocker | None:
    """Say that more of a device's memory is in use than is allowed, and nobody is named for it."""
    # What other workers hold may be told no better than a stranger's.
    size = _unexplained(usage) if workers.are_alone else 0
    if size <= allowed:
        return None
    drawing = ", ".join(map(_drawing, usage.graphics))
    beside = f", beside graphics: {drawing}" if drawing else ""
    return Blocker(device=device, reason=f"busy: {size_text(size)} in use by no process that is named{beside}")


def _drawing(process: GpuProcess) -> str:
    known = table.process(process.pid)
    name = "" if known is None else one_line(known.name.decode(errors="replace"))  # another user may have chosen it
    size = "an untold size" if process.memory is None else size_text(process.memory)
    return f"pid {process.pid}{f' ({name})' if name else ''} {size}"


def too_small(device: Device, need: int) -> Blocker | None:
    """Say that a device can never have so many bytes free."""
    if device.memory_total is None or need <= device.memory_total:
        return None
    reason = f"too small: it has {size_text(device.memory_total)} of memory, {size_text(need)} needed"
    return Blocker(device=device, reason=reason, for_good=True)


def _failed(device: Device, failed: DeviceFailed) -> Blocker:
    return Blocker(device=device, reason=str(failed), for_good=failed.for_good)
