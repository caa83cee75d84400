"""Samples: the readings of this process and its devices, and what they say of the attempt at a test that runs.

An attempt has figures once it has lasted as long as the interval: the first look at what is so at a moment comes then,
and one after each further interval. A shorter one has none, and costs nothing. What only grows is read earlier as well,
so that its growth is known from near the attempt's begin on.

Where a look takes more processor time than its share, the next one waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..devices.readings import Count
from ..processes.cpu.pressure import Pressure
from ..processes.own import clock
from ..processes.tree import ProcessTree, ResourceUsage
from ..values.device import Device
from ..values.process_id import ProcessId
from .figures import NO_FIGURES, Counters, Figures, Observation, Totals
from .outside import OutsideLook, Outsider

if TYPE_CHECKING:
    from ..devices.probe import GpuProcess
    from ..devices.vendor import Meter
    from .foreign_processes import ForeignProcesses

T = TypeVar("T")

SHARE = 0.01
"""Of one core: the most that looks may take, where the interval is half a second or more."""

_LEAST_BUDGET = 0.005  # seconds of processor time for one look: who asks for more of them may have them
_DEAR_SHARE = 0.0025  # of one core, for each of the two questions that can be dear

_NOTHING = Totals()


class _Attempt:
    """An attempt at a test; what may change is replaced as a whole, so that who reads it needs no lock."""

    __slots__ = ("began", "lost", "on_devices", "outsiders", "throttled", "totals")

    def __init__(self, began: float, lost: bool, on_devices: bool) -> None:
        self.began = began
        self.lost = lost
        self.on_devices = on_devices
        self.outsiders: frozenset[Outsider] = frozenset()
        self.totals = _NOTHING
        self.throttled: tuple[tuple[float, float], ...] = ()

    def saw(self, now: float, before: float, throttled: bool | None) -> None:
        """A look has found devices throttled, or not: what is not known lies between two looks, and counts as both."""
        spans = self.throttled
        if spans and spans[-1][1] == math.inf:
            self.throttled = (*spans[:-1], (spans[-1][0], math.inf if throttled else now))
        elif throttled:
            self.throttled = (*spans, (max(before, self.began), math.inf))


class _RateLimited:
    """A question that is asked less often the dearer its answers are."""

    def __init__(self, clock: Callable[[], float], cost: Callable[[], float]) -> None:
        self._clock = clock
        self._cost = cost
        self._due = clock()

    def ask(self, question: Callable[[], T]) -> T | None:
        """Return the answer, None where it is too early for another one."""
        if self._clock() < self._due:
            return None
        before = self._cost()
        answer = question()
        self._due = self._clock() + (self._cost() - before) / _DEAR_SHARE
        return answer


class Samples:
    """The readings, and what they say of the attempt that runs. Who looks is one thread, who asks may be another.

    ``clock`` gives the time, ``cost`` the processor time of the thread that looks, both in seconds.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        interval: float,
        own: Callable[[], Collection[ProcessId]] | None = None,
        clock: Callable[[], float] = clock.monotonic,
        cost: Callable[[], float] = clock.processor_time,
    ) -> None:
        self.due = clock()
        """When the next look is to come."""
        self._interval = interval
        self._clock = clock
        self._cost = cost
        self._shares = own is not None
        self._attempt: _Attempt | None = None
        self._before: Counters | None = None
        self._tree = ProcessTree()
        self._walks = _RateLimited(clock, cost)
        self._lists = _RateLimited(clock, cost)
        self._meter: Meter | None = None
        self._foreign: ForeignProcesses | None = None
        self._outside = OutsideLook(devices, clock=clock)
        self._outside_looks = _RateLimited(clock, cost)
        self._on_leased: frozenset[int] = frozenset()
        self._pressure: Pressure | None = None
        self._looked = 0.0
        if any(device.is_gpu for device in devices):
            # The rest, the vendor's library and its large module, is loaded by the thread.
            from ..devices import vendors
            from .foreign_processes import ForeignProcesses

            self._meter, self._foreign = vendors.of(devices).meter(devices, clock=clock), ForeignProcesses(own)

    def open(self) -> None:
        """Start the library where there are devices. The thread that looks does this first."""
        if self._meter is not None:
            self._meter.open()
        else:
            self._pressure = Pressure()

    def close(self) -> None:
        """Stop the library."""
        if self._meter is not None:
            self._meter.close()
        self._outside.close()

    def begin(self, *, on_devices: bool = True) -> None:
        """An attempt begins; ``on_devices`` says whether it may use them."""
        lost = self._meter is not None and on_devices and self._meter.lost
        self._attempt = _Attempt(self._clock(), lost, on_devices)

    def end(self) -> Figures:
        """Return the figures of the attempt, which is over."""
        figures = self.figures()
        self._attempt = None
        return figures

    def figures(self) -> Figures:
        """Return the figures of the attempt so far."""
        attempt = self._attempt
        if attempt is None:
            return NO_FIGURES
        return attempt.totals.figures(self._clock() - attempt.began, lost=attempt.lost)

    def outsiders(self) -> frozenset[Outsider]:
        """Return who of this process and its descendants used devices that it has not leased, in the attempt so far."""
        attempt = self._attempt
        return frozenset() if attempt is None else attempt.outsiders

    def throttled_spans(self) -> tuple[tuple[float, float], ...]:
        """Return from when to when, on the monotonic clock, a device was throttled in the attempt so far."""
        attempt = self._attempt
        return () if attempt is None else attempt.throttled

    def look(self) -> None:
        """Read what is due. Between attempts, and before one is as old as the interval, that is what only grows."""
        before, now, attempt = self._cost(), self._clock(), self._attempt
        remaining = self._interval if attempt is None else max(0.0, attempt.began + self._interval - now)
        self.due = now + (remaining or self._interval)
        used, counters = self._count()
        seen = self._observe(attempt, used) if attempt is not None and not remaining else None
        if attempt is not None and attempt is self._attempt:
            self._add(attempt, counters, seen)
            if seen is not None and seen.devices:
                throttled = any(levels.throttled for levels in seen.devices.values())
                attempt.saw(self._clock(), self._looked, throttled)
            if seen is not None and self._outside.is_due:
                found = self._outside_looks.ask(lambda: self._outside.look(self._on_leased))
                attempt.outsiders |= found or frozenset()
        self._before, self._looked = counters, now
        budget = max(SHARE, _LEAST_BUDGET / self._interval)
        self.due = max(self.due, now + (self._cost() - before) / budget)

    def _count(self) -> tuple[ResourceUsage | None, Counters]:
        self._walks.ask(self._tree.walk)
        moment, used = self._clock(), self._tree.usage()
        cpu = None if used is None else Count(moment, total=used.seconds)
        waited = None if self._pressure is None else self._pressure.seconds()
        pressure = None if waited is None else Count(moment, total=waited)
        energy = {} if self._meter is None else self._meter.energy()
        return used, Counters(cpu=cpu, energy=energy, cpu_pressure=pressure)

    def _add(self, attempt: _Attempt, counters: Counters, seen: Observation | None) -> None:
        if not attempt.on_devices:
            counters = Counters(cpu=counters.cpu, cpu_pressure=counters.cpu_pressure)
        elif self._meter is not None and self._meter.lost:
            attempt.lost = True
        attempt.totals = attempt.totals.plus(self._before, counters, seen, began=attempt.began)

    def _observe(self, attempt: _Attempt, used: ResourceUsage | None) -> Observation:
        rss = None if used is None else used.rss
        if self._meter is None or self._foreign is None or not attempt.on_devices:
            return Observation(rss=rss)
        devices = self._meter.levels()
        processes = self._lists.ask(self._meter.processes)
        pids = {process.pid for listed in (processes or {}).values() for process in listed}
        self._on_leased = frozenset(pids) or self._on_leased
        kinds = self._foreign.sort(pids, attempt.totals.foreign or ()) if processes else {}
        if self._shares:
            mine = {pid for pid, kind in kinds.items() if kind == "mine"}
            devices = {
                id_: levels._replace(memory=_memory_of(mine, (processes or {}).get(id_, ())))
                for id_, levels in devices.items()
            }
        foreign = frozenset(pid for pid, kind in kinds.items() if kind == "foreign") if processes else None
        return Observation(devices=devices, rss=rss, foreign=foreign)


def _memory_of(pids: Collection[int], processes: Sequence[GpuProcess]) -> int | None:
    """Return the bytes that some processes have on a device, None where one does not tell or there is none."""
    sizes = [process.memory for process in processes if process.pid in pids]
    known = [size for size in sizes if size is not None]
    return sum(known) if known and len(known) == len(sizes) else None
