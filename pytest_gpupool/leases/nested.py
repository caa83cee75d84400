"""Nested: a lease of devices that a process above holds already (see ``inherited``), for a run inside its test.

The lock files are that process's. Those that share its lease exclude each other by names alone, abstract Unix sockets
within its run (see ``locking.anchors``). They do not queue, and do not see each other's reservations of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..processes.own import clock
from ..values.device import Device
from ..values.texts import iso
from . import admission
from .admission import Blocker
from .lease import Lease, in_order
from .locking import holders, names
from .locking.anchors import Anchor, anchored
from .locking.holders import Holder
from .occupancy import ALONE
from .slots import Slot

if TYPE_CHECKING:
    from ..devices.probe import Probe

_POLL = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedRequest:
    """What a process wants of the lease of the run ``outer``; the other fields are those of ``lease.Request``."""

    outer: str
    devices: tuple[Device, ...]
    run: str
    worker: str
    first: int = 0
    gpus: int = 1
    slots: int = 1
    avoid: frozenset[str] = frozenset()
    memory: int = 0

    def order(self) -> list[Device]:
        """Return the devices as they are to be tried: of those that are shared, the one with the fewest workers."""
        taken = anchored(scope=self.outer) if self.slots > 1 else set()
        workers = {device.id: len(_ends(taken, device)) for device in self.devices}
        return in_order(self.devices, self.first, self.avoid, workers)


class NestedSlot(Slot):
    """What this process holds of a device within a lease: a name, and a note that it keeps to itself."""

    def __init__(self, outer: str, device: Device, me: Holder, number: int = 0) -> None:
        self.device = device
        self.number = number
        self.holder = None
        self._me = me
        self._outer = outer
        self._files = []
        self._end = str(number) if me.slots > 1 else ALONE
        self._anchor = Anchor(f"{names.stem(device.id)}/{self._end}", scope=outer)

    def note(self, holder: Holder | None) -> None:
        """Know who holds it."""
        self.holder = holder

    def _notes_beside(self) -> dict[int, Holder]:
        return {}

    def _is_alone_enough(self) -> bool:
        others = _ends(anchored(scope=self._outer), self.device) - {self._end}
        return not others if self._end == ALONE else ALONE not in others


def acquire(
    request: NestedRequest,
    probe: Probe,
    *,
    refused: Callable[[tuple[Blocker, ...], float], None],
    is_cancelled: Callable[[], bool],
    clock: Callable[[], float] = clock.monotonic,
    sleep: Callable[[float], None] = clock.sleep,
) -> tuple[Lease | None, float]:
    """Try until there is a lease; see ``acquisition.acquire``."""
    began = clock()
    while isinstance(answer := _try(request, probe), tuple):
        refused(answer, clock() - began)
        if is_cancelled():
            return None, clock() - began
        sleep(_POLL)
    return answer, clock() - began


def free_slots(devices: tuple[Device, ...], outer: str, slots: int) -> int:
    """Return how many workers of a run that lets ``slots`` share a device could have one each at this moment."""
    taken = anchored(scope=outer)
    held = [_ends(taken, device) for device in devices]
    return sum(0 if ALONE in ends or (ends and slots == 1) else max(0, slots - len(ends)) for ends in held)


def _try(request: NestedRequest, probe: Probe) -> Lease | tuple[Blocker, ...]:
    """Take all that are wanted, or none and say why."""
    taken: list[NestedSlot] = []
    blockers: list[Blocker] = []
    for device in request.order():
        answer = _take(request, device, probe)
        if isinstance(answer, Blocker):
            blockers.append(answer)
            continue
        taken.append(answer)
        if len(taken) == request.gpus:
            place = {one.id: number for number, one in enumerate(request.devices)}
            taken.sort(key=lambda slot: place[slot.device.id])
            return Lease([slot.device for slot in taken], taken)
    for slot in taken:
        slot.unlock()
    return _judged(request, blockers, [slot.device for slot in taken])


def _take(request: NestedRequest, device: Device, probe: Probe) -> NestedSlot | Blocker:
    if too_small := admission.too_small(device, request.memory):
        return too_small
    me = holders.myself(run=request.run, worker=request.worker, since=iso(clock.now()), slots=request.slots)
    first = request.first // len(request.devices)
    for turn in range(request.slots):
        slot = NestedSlot(request.outer, device, me, (first + turn) % request.slots)
        if slot.take():
            # Whoever uses it besides is of the lease, or was let in with it.
            blocker = admission.unusable(slot, probe, busy_memory=None)
            if blocker is None:
                return slot
            slot.unlock()
            return blocker
    return Blocker(device=device, reason="held by another worker within this lease")


def _judged(request: NestedRequest, blockers: list[Blocker], free: list[Device]) -> tuple[Blocker, ...]:
    # Where too few devices can ever come, waiting for the others is for nothing.
    hopeless = sum(not blocker.for_good for blocker in blockers) + len(free) < request.gpus
    alone = [Blocker(device=one, reason=f"free, but {request.gpus} devices are needed together") for one in free]
    return tuple(replace(blocker, for_good=blocker.for_good or hopeless) for blocker in (*blockers, *alone))


def _ends(taken: set[str], device: Device) -> set[str]:
    prefix = f"{names.stem(device.id)}/"
    return {name.removeprefix(prefix) for name in taken if name.startswith(prefix)}
