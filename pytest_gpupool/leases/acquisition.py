"""Acquisition: how a process gets its lease, at once or after others.

Who needs several devices takes all of them or none, and never holds some while it waits, or two could wait for each
other. How long to go on is the caller's policy.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ..processes.own import clock
from ..values.device import Device
from . import admission, quarantines, slots
from .admission import Blocker
from .lease import Lease, Request
from .locking import names
from .locking.lock_directory import BadFile
from .occupancy import Occupancy
from .queueing import tickets
from .queueing.tickets import Ticket, Waiter, Wish
from .queueing.turns import Gathering, Turns, could_take
from .queueing.wakeups import Wakeups
from .slots import Slot

if TYPE_CHECKING:
    from ..devices.probe import Probe

_POLL = 0.1
"""How late one that waits may see that it is cancelled, and where the kernel does not wake it, what is free."""

_REST = 0.5
"""How often one that the kernel wakes looks all the same: a foreign process that ends wakes nobody."""

_SOON = (0.002, 0.01, 0.04)
"""After a wake-up it looks again so soon: the kernel tells of a file that is closed before it takes the lock away."""

_SETTLING = 1_000_000_000
"""Nanoseconds that one gives others to lay their tickets again, where it has found that its own was removed."""

_STEP = 0.004  # seconds by which one that is waked comes after the one before it in the queue
_LATEST = 0.2

_LOOKS = 4  # how often a device is tried whose lock may be held by somebody who only looks
_MOMENT = (0.001, 0.01)  # seconds; at random, so that two do not meet again


def try_lease(
    request: Request, probe: Probe, *, sleep: Callable[[float], None] = clock.sleep
) -> Lease | tuple[Blocker, ...]:
    """Lease the first free devices, all that are wanted or none, or say of each one why not.

    Those that wait come first. Raises UsageProblem where the lock directory has vanished and cannot be made again.
    """
    before, free = _before(request, None)
    return _Attempt(request, _Turn(free, Turns().kept(before, free, tickets.now()))).run(probe, sleep)


def acquire(
    request: Request,
    probe: Probe,
    *,
    refused: Callable[[tuple[Blocker, ...], float], None],
    is_cancelled: Callable[[], bool],
    clock: Callable[[], float] = clock.monotonic,
) -> tuple[Lease | None, float]:
    """Wait in the queue until there is a lease; return it and the seconds that it took.

    After each attempt that failed ``refused(blockers, seconds waited)`` is called, which may raise to give up. About
    ten times a second ``is_cancelled()`` is asked; the lease is None then. However this ends, nothing is held but what
    the lease returned has.
    """
    began = clock()
    with closing(_Queued(request)) as queued:
        while True:
            answer = queued.attempt(probe)
            if isinstance(answer, Lease):
                return answer, clock() - began
            refused(answer, clock() - began)
            if not queued.rest(is_cancelled):
                return None, clock() - began


class _Turn(NamedTuple):
    """What one may try to take: ``free`` devices, all where that is None, but for those ``kept`` for others."""

    free: Mapping[str, bool] | None
    kept: Mapping[str, Waiter]


class _Attempt:
    """One try to take what is wanted, in our turn."""

    def __init__(self, request: Request, turn: _Turn) -> None:
        self.unusable: set[str] = set()
        """Devices that no lock keeps from us, and that we cannot use all the same."""
        self._request = request
        self._turn = turn
        self._is_momentary = False
        self._slots: list[Slot] = []

    def run(self, probe: Probe, sleep: Callable[[float], None] = clock.sleep) -> Lease | tuple[Blocker, ...]:
        """Take all, or nothing and say why."""
        for look in range(_LOOKS):
            try:
                blockers = self._look() or self._take(probe)
                if len(self._slots) == self._request.gpus:
                    return self._lease()
            finally:
                self._give_back()
            if not self._is_momentary or look == _LOOKS - 1:
                break
            sleep(random.uniform(*_MOMENT))
        return blockers

    def _look(self) -> tuple[Blocker, ...]:
        """Where several are wanted and too few look free, say so without locking those, which others may want."""
        if self._request.gpus == 1:
            return ()
        seen = Occupancy(self._request.lock_dir)
        answers = [(device, self._look_at(device, seen)) for device in self._request.order()]
        if sum(blocker is None for _, blocker in answers) >= self._request.gpus:
            return ()
        return self._judged([blocker or self._too_few(device) for device, blocker in answers])

    def _look_at(self, device: Device, seen: Occupancy) -> Blocker | None:
        if barred := self._barred(device):
            return barred
        held = seen.holds(device.id)
        if not held or seen.room(device.id, self._request.slots):
            return None
        return admission.held_by(device, held[0].holder)

    def _take(self, probe: Probe) -> tuple[Blocker, ...]:
        """Take what is free until it is enough; where it is not, say of each device why."""
        self._is_momentary, blockers = False, []
        for device in self._request.order():
            blocker = self._barred(device) or self._take_one(device, probe)
            if len(self._slots) == self._request.gpus:
                return ()
            blockers.append(blocker or self._too_few(device))
        return self._judged(blockers)

    def _barred(self, device: Device) -> Blocker | None:
        """Say why the device is not even to be tried."""
        if too_small := admission.too_small(device, self._request.memory):
            return too_small
        if quarantined := quarantines.blocker(device, self._request.lock_dir):
            return quarantined
        waiter = self._turn.kept.get(device.id)
        if waiter is not None:
            return Blocker(device=device, reason=f"free, but {waiter.who.label} came before", pid=waiter.who.pid)
        if self._turn.free is None or device.id in self._turn.free:
            return None
        # It may be free by now, but then others came before: nobody takes what was not free when they were looked at.
        holds = Occupancy(self._request.lock_dir).holds(device.id)
        return admission.held_by(device, holds[0].holder if holds else None)

    def _take_one(self, device: Device, probe: Probe) -> Blocker | None:
        # Workers that begin at the same device begin at different slots of it.
        first = self._request.first // len(self._request.devices)
        try:
            answer = slots.claim(self._request.lock_dir, device, self._request.holder(), first=first)
        except BadFile as bad:
            self.unusable.add(device.id)
            return Blocker(device=device, reason=f"cannot be locked: {bad}", for_good=True)
        if isinstance(answer, slots.Refusal):
            self._is_momentary = self._is_momentary or answer.momentary
            return admission.held_by(device, answer.holder)
        self._slots.append(answer)
        blocker = admission.unusable(answer, probe, self._request.busy_memory)
        if blocker is not None:
            self.unusable.add(device.id)
            self._slots.pop().unlock()
        return blocker

    def _lease(self) -> Lease:
        """Hand them over, in the pool's order."""
        place = {device.id: number for number, device in enumerate(self._request.devices)}
        in_order = sorted(self._slots, key=lambda slot: place[slot.device.id])
        self._slots = []
        for slot in in_order:
            slot.keep()
        return Lease([slot.device for slot in in_order], in_order)

    def _give_back(self) -> None:
        while self._slots:
            self._slots.pop().unlock()

    def _too_few(self, device: Device) -> Blocker:
        return Blocker(device=device, reason=f"free, but {self._request.gpus} devices are needed together")

    def _judged(self, blockers: Sequence[Blocker]) -> tuple[Blocker, ...]:
        # Where too few devices can ever come, waiting for the others is for nothing.
        hopeful = sum(not blocker.for_good for blocker in blockers)
        return tuple(
            replace(blocker, for_good=hopeful < self._request.gpus) if not blocker.for_good else blocker
            for blocker in blockers
        )


class _Queued:
    """One that tries again and again, in its turn."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._ticket = Ticket(request.lock_dir, request.holder())
        self._turns = Turns()
        self._gathering = Gathering()
        self._wakeups: Wakeups | None = None
        self._ahead = 0
        self._soon: list[float] = [0.0]
        self._settled = 0

    def attempt(self, probe: Probe) -> Lease | tuple[Blocker, ...]:
        """Try once."""
        before, free = _before(self._request, self._ticket.name if self._ticket.is_drawn else None)
        if self._ticket.is_lost():
            self._settled = tickets.now() + _SETTLING
        if tickets.now() < self._settled:
            free = {}  # nothing is ours to take
        kept = self._turns.kept(before, free, tickets.now())
        self._ahead = sum(waiter.responds for waiter in before)
        attempt = _Attempt(self._request, _Turn(free, kept))
        answer = attempt.run(probe)
        if not isinstance(answer, Lease):
            self._queue(attempt.unusable, kept)
        return answer

    def rest(self, is_cancelled: Callable[[], bool]) -> bool:
        """Wait for the next attempt; return False where it is cancelled."""
        assert self._wakeups is not None
        seconds = self._soon.pop(0) if self._soon else _REST if self._wakeups.works else _POLL
        if (settles := self._settled - tickets.now()) > 0:
            seconds = min(seconds, settles / 1e9)
        deadline = clock.monotonic() + seconds
        while not is_cancelled():
            remaining = deadline - clock.monotonic()
            if remaining <= 0:
                return True
            if self._wakeups.wait(min(remaining, _POLL)):
                clock.sleep(min(_LATEST, _STEP * self._ahead))
                self._soon = [] if self._ahead else list(_SOON)
                return not is_cancelled()
        return False

    def close(self) -> None:
        """Leave the queue."""
        self._ticket.give_back()
        if self._wakeups is not None:
            self._wakeups.close()

    def _queue(self, unusable: set[str], kept: dict[str, Waiter]) -> None:
        request = self._request
        if self._wakeups is None:
            self._wakeups = Wakeups(request.lock_dir)
        self._wakeups.watch(names.lock(device.id) for device in request.devices)
        wish = replace(_wish(request, unusable), settles=self._settled if self._settled > tickets.now() else 0)
        if request.gpus > 1:
            found = len(set(could_take(wish, _free(request, wish.devices))) - kept.keys())
            wish = replace(wish, keeps=self._gathering.until(found, request.gpus, tickets.now()))
        self._ticket.draw(wish)


def _before(request: Request, ticket: str | None) -> tuple[list[Waiter], dict[str, bool] | None]:
    """Return who came before, and what is free now of all that anybody wants; None where nobody came before."""
    # In a directory that was removed nobody would be seen to wait.
    request.lock_dir.refresh()
    before = tickets.waiters(request.lock_dir, before=ticket)
    if not before:
        return [], None
    wanted = {device.id for device in request.devices}.union(*(waiter.wish.devices for waiter in before))
    return before, _free(request, wanted)


def _wish(request: Request, unusable: set[str]) -> Wish:
    fitting = [device for device in request.order() if admission.too_small(device, request.memory) is None]
    set_aside = quarantines.quarantined(fitting, request.lock_dir)
    return Wish(
        devices=tuple(device.id for device in fitting if device.id not in set_aside),
        gpus=request.gpus,
        slots=request.slots,
        unusable=tuple(sorted(unusable)),
    )


def _free(request: Request, devices: Iterable[str]) -> dict[str, bool]:
    """Return which of the devices can be taken, by locks, and of each whether nobody at all has it."""
    seen = Occupancy(request.lock_dir)
    empty = {device: not seen.is_held(device) for device in devices}
    return {device: free for device, free in empty.items() if free or seen.room(device, request.slots)}
