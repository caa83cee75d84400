"""Leases: the hold of devices by this process, through file locks (:mod:`pytest_gpupool.locks`).

It ends with the process, however that ends. A lock alone never proves that a GPU is free (a killed holder's child may
still use it), therefore NVML is asked after locking. What is here tries once; how long to go on is the caller's policy.

Who needs several devices takes all of them or none, and never waits while it holds some, or two could wait for each
other. That alone would starve it, where a stream of others takes each device as it comes free. So one waiter of the
host at a time, who has locked the file ``queue.lock``, keeps what it gets until it has all.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..values.device import Device, Size
from ..values.texts import iso
from . import admission, locks
from .admission import Blocker
from .locks import lock_directory

if TYPE_CHECKING:
    from ..devices.probe import Probe
    from .holders import Holder

__all__ = ["Blocker", "Lease", "Request", "acquire", "free_slots", "lock_directory", "locked_devices", "try_lease"]

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5  # how late a waiting worker may see that a device is free
_GATHERING_PAUSE = 0.1  # the one that may gather must not be later than those who come after it

_LOOKS = 4  # how often a device is tried whose lock may be held by somebody who only looks
_MOMENT = (0.001, 0.01)  # seconds; at random, so that two do not meet again


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
        start = self.first % len(self.devices)
        turned = [*self.devices[start:], *self.devices[:start]]
        company = {device.id: locks.company(self.lock_dir, device) if self.slots > 1 else 0 for device in turned}
        return sorted(turned, key=lambda device: (device.id in self.avoid, company[device.id]))

    def holder(self) -> Holder:
        """Return what the note beside a lock is to say."""
        from . import holders

        return holders.myself(worker=self.worker, run=self.run, since=iso(time.time()), slots=self.slots)


class Lease:
    """Devices held by this process, until it ends or :meth:`release`. One of no devices, or CPU slots, has no locks."""

    def __init__(self, devices: Sequence[Device], slots: Sequence[locks.Slot] = ()) -> None:
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


def try_lease(
    request: Request, probe: Probe, *, sleep: Callable[[float], None] = time.sleep
) -> Lease | tuple[Blocker, ...]:
    """Lease the first free devices, all that are wanted or none, or say of each one why not.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    for look in range(_LOOKS):
        with closing(_Hand(request)) as hand:
            blockers = hand.peek() or hand.fill(probe)
            if hand.is_full:
                return hand.lease()
        if not hand.may_pass or look == _LOOKS - 1:
            break
        sleep(random.uniform(*_MOMENT))
    return blockers


def acquire(
    request: Request,
    probe: Probe,
    *,
    refused: Callable[[tuple[Blocker, ...], float], None],
    pause: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Lease | None, float]:
    """Try until there is a lease; return it and the seconds that it took.

    After each failure ``refused(blockers, seconds waited)`` is called, which may raise to give up, then
    ``pause(seconds)``, which may return False to be cancelled: the lease is None then. However this ends, nothing is
    held but what the lease returned has.
    """
    began = clock()
    seconds = _FIRST_PAUSE
    with closing(_Waiter(request)) as waiter:
        while True:
            answer = waiter.attempt(probe)
            if isinstance(answer, Lease):
                return answer, clock() - began
            refused(answer, clock() - began)
            if not pause(seconds):
                return None, clock() - began
            seconds = min(seconds * 1.5, _GATHERING_PAUSE if waiter.is_gathering else _LONGEST_PAUSE)


def locked_devices(devices: Sequence[Device], lock_dir: Path) -> tuple[Blocker, ...]:
    """Say which of the devices are held at this moment, be it in part.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    held = ((device, locks.holders_now(lock_dir, device)) for device in devices)
    return tuple(admission.held(device, next(iter(taken.values()))) for device, taken in held if taken)


def free_slots(devices: Sequence[Device], lock_dir: Path, slots: int) -> int:
    """Return how many workers of a run that lets ``slots`` share a device could have one each at this moment.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    return sum(locks.room(locks.holders_now(lock_dir, device), slots) for device in devices)


class _Hand:
    """The slots that a worker has got so far, of those that it wants."""

    def __init__(self, request: Request, *, keeps: bool = False) -> None:
        self.may_pass = False
        self._request = request
        self._free = "kept by this worker" if keeps else "free"
        self._slots: list[locks.Slot] = []

    @property
    def is_full(self) -> bool:
        return len(self._slots) == self._request.gpus

    def peek(self) -> tuple[Blocker, ...]:
        """Where several are wanted and too few look free, say so without locking those, which others may want."""
        if self._request.gpus == 1:
            return ()
        answers = [(device, self._look(device)) for device in self._request.order()]
        if sum(blocker is None for _, blocker in answers) >= self._request.gpus:
            return ()
        return self._judged([blocker or self._alone(device) for device, blocker in answers])

    def fill(self, probe: Probe) -> tuple[Blocker, ...]:
        """Take what is free until it is enough; where it is not, say of each device why."""
        blockers = []
        for device in self._request.order():
            blocker = self._take(device, probe)
            if self.is_full:
                return ()
            blockers.append(blocker or self._alone(device))
        return self._judged(blockers)

    def lease(self) -> Lease:
        """Hand them over, in the pool's order."""
        place = {device.id: number for number, device in enumerate(self._request.devices)}
        slots = sorted(self._slots, key=lambda slot: place[slot.device.id])
        self._slots = []
        return Lease([slot.device for slot in slots], slots)

    def close(self) -> None:
        """Give them back."""
        while self._slots:
            self._slots.pop().unlock()

    def _look(self, device: Device) -> Blocker | None:
        too_small = admission.too_small(device, self._request.memory)
        return too_small or self._refused(device, locks.crowded(self._request.lock_dir, device, self._request.holder()))

    def _take(self, device: Device, probe: Probe) -> Blocker | None:
        if any(slot.device.id == device.id for slot in self._slots):
            return None
        if too_small := admission.too_small(device, self._request.memory):
            return too_small
        # Workers that begin at the same device begin at different slots of it.
        first = self._request.first // len(self._request.devices)
        answer = locks.claim(self._request.lock_dir, device, self._request.holder(), first=first)
        if isinstance(answer, locks.Refusal):
            return self._refused(device, answer)
        self._slots.append(answer)
        blocker = admission.unusable(answer, probe, self._request.busy_memory)
        if blocker is not None:
            self._slots.pop().unlock()
        return blocker

    def _refused(self, device: Device, refusal: locks.Refusal | None) -> Blocker | None:
        if refusal is None:
            return None
        self.may_pass = self.may_pass or refusal.passing
        return admission.held(device, refusal.holder)

    def _alone(self, device: Device) -> Blocker:
        return Blocker(device=device, reason=f"{self._free}, but {self._request.gpus} devices are needed together")

    def _judged(self, blockers: Sequence[Blocker]) -> tuple[Blocker, ...]:
        # Where too few devices can ever come, waiting for the others is for nothing.
        hopeful = sum(not blocker.for_good for blocker in blockers)
        return tuple(
            replace(blocker, for_good=hopeful < self._request.gpus) if not blocker.for_good else blocker
            for blocker in blockers
        )


class _Waiter:
    """One that tries again and again, and may gather while it is the first of those that need several devices."""

    def __init__(self, request: Request) -> None:
        self.is_gathering = False
        self._request = request
        self._hand = _Hand(request, keeps=True)
        self._queue: locks.LockFile | None = None

    def attempt(self, probe: Probe) -> Lease | tuple[Blocker, ...]:
        """Try once."""
        if not self.is_gathering:
            answer = try_lease(self._request, probe)
            if isinstance(answer, Lease) or _hopeless(answer) or not self._step_forward():
                return answer
        blockers = self._hand.fill(probe)
        if self._hand.is_full:
            lease = self._hand.lease()
            self.close()
            return lease
        if _hopeless(blockers):
            self.close()
        return blockers

    def close(self) -> None:
        """Give all back."""
        self._hand.close()
        self.is_gathering = False
        if self._queue is not None:
            self._queue.unlock()

    def _step_forward(self) -> bool:
        if self._request.gpus > 1:
            self._queue = self._queue or locks.LockFile(self._request.lock_dir / "queue.lock")
            self.is_gathering = self._queue.lock()
        return self.is_gathering


def _hopeless(blockers: Sequence[Blocker]) -> bool:
    return all(blocker.for_good for blocker in blockers)
