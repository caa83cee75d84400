"""Acquisition: how a worker gets its lease, at once or after others.

Who needs several devices takes all of them or none, and never waits while it holds some, or two could wait for each
other. That alone would starve it, where a stream of others takes each device as it comes free. So one waiter of the
host at a time, who has locked the file ``queue.lock``, keeps what it gets until it has all.

How long to go on is the caller's policy.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from ..values.device import Device
from . import admission, slots
from .admission import Blocker
from .lease import Lease, Request
from .locks import LockFile
from .slots import Slot

if TYPE_CHECKING:
    from ..devices.probe import Probe

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5  # how late a waiting worker may see that a device is free
_GATHERING_PAUSE = 0.1  # the one that may gather must not be later than those who come after it

_LOOKS = 4  # how often a device is tried whose lock may be held by somebody who only looks
_MOMENT = (0.001, 0.01)  # seconds; at random, so that two do not meet again


def try_lease(
    request: Request, probe: Probe, *, sleep: Callable[[float], None] = time.sleep
) -> Lease | tuple[Blocker, ...]:
    """Lease the first free devices, all that are wanted or none, or say of each one why not.

    Raises:
        UsageProblem: a lock file cannot be made or opened.
    """
    for look in range(_LOOKS):
        with closing(_Gathered(request)) as gathered:
            blockers = gathered.look() or gathered.take(probe)
            if gathered.is_full:
                return gathered.lease()
        if not gathered.is_momentary or look == _LOOKS - 1:
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


class _Gathered:
    """The slots that a worker has got so far, of those that it wants."""

    def __init__(self, request: Request, *, keeps: bool = False) -> None:
        self.is_momentary = False
        self._request = request
        self._free = "kept by this worker" if keeps else "free"
        self._slots: list[Slot] = []

    @property
    def is_full(self) -> bool:
        return len(self._slots) == self._request.gpus

    def look(self) -> tuple[Blocker, ...]:
        """Where several are wanted and too few look free, say so without locking those, which others may want.

        Without Blockers it is worth it to :meth:`take` them.
        """
        if self._request.gpus == 1:
            return ()
        answers = [(device, self._look_at(device)) for device in self._request.order()]
        if sum(blocker is None for _, blocker in answers) >= self._request.gpus:
            return ()
        return self._judged([blocker or self._alone(device) for device, blocker in answers])

    def take(self, probe: Probe) -> tuple[Blocker, ...]:
        """Take what is free until it is enough; where it is not, say of each device why."""
        blockers = []
        for device in self._request.order():
            blocker = self._take_one(device, probe)
            if self.is_full:
                return ()
            blockers.append(blocker or self._alone(device))
        return self._judged(blockers)

    def lease(self) -> Lease:
        """Hand them over, in the pool's order."""
        place = {device.id: number for number, device in enumerate(self._request.devices)}
        in_order = sorted(self._slots, key=lambda slot: place[slot.device.id])
        self._slots = []
        return Lease([slot.device for slot in in_order], in_order)

    def close(self) -> None:
        """Give them back."""
        while self._slots:
            self._slots.pop().unlock()

    def _look_at(self, device: Device) -> Blocker | None:
        if too_small := admission.too_small(device, self._request.memory):
            return too_small
        refusal = slots.refusal_of(self._request.lock_dir, device, self._request.holder())
        return self._refused(device, refusal)

    def _take_one(self, device: Device, probe: Probe) -> Blocker | None:
        if any(slot.device.id == device.id for slot in self._slots):
            return None
        if too_small := admission.too_small(device, self._request.memory):
            return too_small
        # Workers that begin at the same device begin at different slots of it.
        first = self._request.first // len(self._request.devices)
        answer = slots.claim(self._request.lock_dir, device, self._request.holder(), first=first)
        if isinstance(answer, slots.Refusal):
            return self._refused(device, answer)
        self._slots.append(answer)
        blocker = admission.unusable(answer, probe, self._request.busy_memory)
        if blocker is not None:
            self._slots.pop().unlock()
        return blocker

    def _refused(self, device: Device, refusal: slots.Refusal | None) -> Blocker | None:
        if refusal is None:
            return None
        self.is_momentary = self.is_momentary or refusal.momentary
        return admission.held_by(device, refusal.holder)

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
        self._gathered = _Gathered(request, keeps=True)
        self._queue: LockFile | None = None

    def attempt(self, probe: Probe) -> Lease | tuple[Blocker, ...]:
        """Try once."""
        if not self.is_gathering:
            answer = try_lease(self._request, probe)
            if isinstance(answer, Lease) or _hopeless(answer) or not self._step_forward():
                return answer
        blockers = self._gathered.take(probe)
        if self._gathered.is_full:
            lease = self._gathered.lease()
            self.close()
            return lease
        if _hopeless(blockers):
            self.close()
        return blockers

    def close(self) -> None:
        """Give all back."""
        self._gathered.close()
        self.is_gathering = False
        if self._queue is not None:
            self._queue.unlock()

    def _step_forward(self) -> bool:
        if self._request.gpus > 1:
            self._queue = self._queue or LockFile(self._request.lock_dir / "queue.lock")
            self.is_gathering = self._queue.lock()
        return self.is_gathering


def _hopeless(blockers: Sequence[Blocker]) -> bool:
    return all(blocker.for_good for blocker in blockers)
