"""The host's view: who has, uses and waits for its devices at one moment. Nothing is locked, made or removed for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..devices import vendors
from ..processes import table
from ..values.device import Device
from . import quarantines
from .locking import holders
from .locking.holders import Holder
from .locking.lock_directory import LockDirectory
from .occupancy import Hold, Occupancy
from .quarantines import Quarantine
from .queueing import tickets
from .queueing.tickets import Waiter

if TYPE_CHECKING:
    from ..devices.probe import GpuProcess, Usage

State = Literal["free", "leased", "busy", "quarantined", "failed"]
Use = Literal["compute", "graphics", "service"]
"""What a process does on a device; a service is the vendor's own, through which others' work reaches it."""

_UNEXPLAINED = 512 << 20
"""Bytes in use by nobody that is named from which a device counts as busy, as where it is to be leased."""

_LONGEST_COMMAND = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignProcess:
    """A process on a device that no holder of it started; ``user`` and ``command`` are None where that is hidden."""

    pid: int
    user: str | None
    command: str | None
    memory: int | None
    use: Use


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """One device. ``problem`` says why it cannot be used, ``unexplained`` is how many bytes nobody named has."""

    device: Device
    holds: tuple[Hold, ...]
    foreign: tuple[ForeignProcess, ...]
    quarantine: Quarantine | None
    unexplained: int
    problem: str | None
    answers: bool

    @property
    def state(self) -> State:
        """Whether it can be leased, else the first reason why not."""
        if self.quarantine is not None:
            return "quarantined"
        if self.holds:
            return "leased"
        if not self.answers:
            return "failed"
        return (
            "busy" if self.problem or self.unexplained or any(one.use == "compute" for one in self.foreign) else "free"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """The devices in their order, and those that wait, who came first first.

    ``gone`` has the quarantines of devices that are not among them.
    """

    devices: tuple[DeviceView, ...]
    waiters: tuple[Waiter, ...]
    gone: Mapping[str, Quarantine]


def look(devices: Sequence[Device], usages: Mapping[str, Usage | str], directory: LockDirectory) -> HostView:
    """Look at the devices. ``usages`` has who uses each, by its id, or why it does not answer."""
    seen = Occupancy(directory)
    found = quarantines.quarantined(devices, directory)
    ids = {device.id for device in devices}
    gone = {stem: quarantines.read(directory, stem) for stem in quarantines.stems(directory) if stem not in ids}
    return HostView(
        devices=tuple(
            _view(device, tuple(seen.holds(device.id)), found.get(device.id), usages[device.id]) for device in devices
        ),
        waiters=tuple(tickets.waiters_seen(directory)),
        gone={stem: quarantine for stem, quarantine in gone.items() if quarantine is not None},
    )


def waited(waiter: Waiter) -> float:
    """Return for how many seconds it has waited."""
    return max(0.0, (tickets.now() - waiter.came) / 1e9)


def _view(device: Device, holds: tuple[Hold, ...], quarantine: Quarantine | None, usage: Usage | str) -> DeviceView:
    if isinstance(usage, str):
        foreign, unexplained = [], 0
    else:
        known = [hold.holder for hold in holds if hold.holder is not None]
        # Who holds a device and does not say who it is may be any of its processes.
        is_told = len(known) == len(holds)
        foreign = [*_foreign(usage.processes, known, "compute")] if is_told else []
        foreign += _foreign(usage.graphics, known, "graphics")
        unexplained = 0 if holds else _unexplained(usage)
    return DeviceView(
        device=device,
        holds=holds,
        foreign=tuple(foreign),
        quarantine=quarantine,
        unexplained=unexplained,
        problem=usage if isinstance(usage, str) else usage.forbidden,
        answers=not isinstance(usage, str),
    )


def _foreign(processes: Iterable[GpuProcess], known: Sequence[Holder], use: Use) -> Iterable[ForeignProcess]:
    for process in processes:
        if _belongs(process.pid, known):
            continue
        told, kernels = holders.by_pid(process.pid), table.process(process.pid)
        is_service = kernels is not None and vendors.is_service(kernels.name)
        yield ForeignProcess(
            pid=process.pid,
            user=None if told is None else told.user,
            command=None if told is None else table.command(process.pid)[:_LONGEST_COMMAND] or None,
            memory=process.memory,
            use="service" if is_service else use,
        )


def _belongs(pid: int, known: Sequence[Holder]) -> bool:
    """Say whether a process is one of these, descends from one, or is in the group that one leads."""
    lineage = table.lineage(pid)
    pids = {pid, *lineage, *(one.group for one in lineage.values())}
    for holder in known:
        process = holder.process
        # A holder in a container has another number there.
        if holder.pid in pids if process is None else any(table.is_process(one, process) for one in pids):
            return True
    return False


def _unexplained(usage: Usage) -> int:
    processes = [*usage.processes, *usage.graphics]
    rest = (usage.memory_used or 0) - sum(process.memory or 0 for process in processes)
    # Where one is named without its memory, as in containers, the rest may be its.
    return rest if rest > _UNEXPLAINED and all(process.memory is not None for process in processes) else 0
