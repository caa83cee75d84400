"""The fleet: the workers of a run, by size and by what they do, and which of them to start or let go.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from .decisions import Retire, Start
from .queue import Backlog
from .sizes import Load, mean_of, targets, work

Wanted = Collection[tuple[int, int]]
"""What tests ask for: the number of devices, and the memory of each."""

START_SECONDS = 1.0
"""What a new worker costs at least: less work than that is not worth one beside others."""


@dataclass(slots=True)
class Worker:
    """One worker, from its start to its end."""

    name: str
    gpus: int = 1
    memory: float = 0.0  # of its smallest device, as far as it is known
    devices: frozenset[str] = frozenset()
    queue: deque[int] = field(default_factory=deque)  # the test that it runs, then what it has
    unit: deque[int] = field(default_factory=deque)  # the rest of what must stay together, its own
    held: dict[int, frozenset[str]] = field(default_factory=dict)  # locks by the last test that needs them
    begun: set[int] = field(default_factory=set)  # queued tests that it would not give back
    warm: str | None = None
    asked: bool = False  # its running test nears its end
    resting: bool = False  # was told to wait for a test
    retired: bool = False

    @property
    def locks(self) -> frozenset[str]:
        """What its tests hold."""
        return frozenset().union(*self.held.values()) if self.held else frozenset()


class Fleet:
    """Every worker, those by size that are live (not let go), idle (wait for a test) and fresh (not here yet).

    ``capacity`` is how many devices, or slots of them, all together may hold; ``asked`` how many workers the user asked
    for: as many of size 0 may there be where others are not, and one beside them.
    """

    def __init__(self, backlog: Backlog, *, capacity: int, asked: int) -> None:
        self.workers: dict[str, Worker] = {}
        self.capacity = capacity
        self.lost: frozenset[str] = frozenset()
        """Devices that nobody should use any more."""
        self.due: Counter[int] = Counter()
        """Workers by size that will be started: by Start, or by xdist for dead ones."""
        self._backlog = backlog
        self._asked = asked
        self._live: Counter[int] = Counter()
        self._idle: dict[int, dict[str, None]] = {}
        self._fresh: dict[int, dict[str, None]] = {}
        self._picky_due = 0  # such as were not started yet
        self._picky: set[str] = set()  # the fresh ones that wait for devices with enough memory
        self._targets: Counter[int] = Counter()
        self._gathering: tuple[int, int] | None = None  # devices, and the memory of each

    def started(self, name: str, gpus: int, memory: float = 0.0) -> None:
        """A worker was started that will hold so many devices."""
        if self.due[gpus]:
            self.due[gpus] -= 1  # it counts as live already
        else:
            self._live[gpus] += 1
        self.workers[name] = Worker(name, gpus=gpus, memory=memory)
        self._fresh.setdefault(gpus, {})[name] = None
        if memory:
            self._picky.add(name)
            self._picky_due = max(0, self._picky_due - 1)

    def joined(self, name: str, devices: Iterable[str], memory: float) -> Worker:
        """It is ready for its first test."""
        if name not in self.workers:
            self.started(name, 1)
        worker = self.workers[name]
        worker.devices, worker.memory = frozenset(devices), memory
        self._fresh[worker.gpus].pop(name, None)
        self._picky.discard(name)
        return worker

    def rests(self, worker: Worker) -> None:
        """It was told to wait, or waits already."""
        worker.resting = True
        if not worker.queue and not worker.retired:
            self._idle.setdefault(worker.gpus, {})[worker.name] = None

    def works(self, worker: Worker) -> None:
        """It is given a test."""
        worker.resting = False
        self._idle.get(worker.gpus, {}).pop(worker.name, None)

    def idle(self, gpus: int) -> Collection[str]:
        """Return the names of workers of a size that wait for a test."""
        return self._idle.get(gpus, {}).keys()

    def idle_sizes(self) -> list[int]:
        """Return the sizes of such workers."""
        return [gpus for gpus, names in self._idle.items() if names]

    def is_kept(self, worker: Worker, soon: int) -> bool:
        """Return whether what waits for a lock or a stage, or ``soon`` more tests, could need this idle worker."""
        if self._awaits_memory and not any(other.queue for other in self.workers.values()):
            return False  # nothing else will happen: perhaps it holds the devices that a worker with much memory needs
        resting = self._idle.get(worker.gpus, {})
        others = len(resting) - (worker.name in resting)
        return others < self._backlog.suiting(worker.gpus, worker.memory) + soon

    @property
    def gathers(self) -> bool:
        """Whether devices are kept free until there are enough for a larger worker."""
        return self._gathering is not None

    def is_surplus(self, worker: Worker) -> bool:
        """Return whether a worker about to be free should let its devices go to one that gathers them."""
        if worker.unit:
            return False
        if worker.devices & self.lost:
            return True
        if self._gathering is None or not worker.gpus:
            return False
        gpus, floor = self._gathering
        return worker.memory < floor if worker.gpus == gpus else self._has_too_many(worker.gpus)

    def retire(self, worker: Worker) -> Retire:
        """Let a worker go."""
        if not worker.retired:
            self._live[worker.gpus] -= 1
        worker.retired = True
        self._idle.get(worker.gpus, {}).pop(worker.name, None)
        self._fresh.get(worker.gpus, {}).pop(worker.name, None)
        self._picky.discard(worker.name)
        return Retire(worker.name)

    def ended(self, worker: Worker, *, replaced: bool) -> None:
        """Its process is gone; with ``replaced`` another of its size is being started."""
        self.retire(worker)
        if replaced and self._room() >= worker.gpus:  # else it is one too many, and let go when it is there
            self._live[worker.gpus] += 1
            self.due[worker.gpus] += 1
        del self.workers[worker.name]

    def reform(self, again: Wanted, perhaps: Wanted) -> list[Retire | Start]:
        """Start workers of the sizes that lack, let idle ones of other sizes go for them, and who came for nothing.

        ``again`` are tests that wait outside the backlog, ``perhaps`` those that may come to wait.
        """
        waiting = self._backlog.waiting + Counter(gpus for gpus, _ in again)
        decisions: list[Retire | Start] = []
        if self.capacity:
            useful = waiting + Counter(gpus for gpus, _ in perhaps)
            decisions += [self.retire(worker) for worker in self._for_nothing(useful)]
        self._gathering = None
        self._targets = self._aim(again)
        if self.capacity:
            decisions += [self.retire(worker) for worker in self._too_many()]
        floors = sorted({*self._backlog.floors(), *again}, reverse=True)
        # Of less memory than this a worker would be of no use.
        least = dict(floors)
        for gpus, floor in floors:
            if floor and self._targets[gpus] and self._lacks_memory(gpus, floor):
                decisions += self._make_room(gpus, floor)
        sizes = sorted(waiting, reverse=True)
        for gpus in sizes:
            while self._live[gpus] < self._targets[gpus] and self._lacks(gpus, waiting):
                decisions += self._make_room(gpus, least.get(gpus, 0))
                if self._gathering is not None:
                    break
        for gpus in sizes:
            # Tests of later stages must not take the devices that those of this one wait for.
            while (gpus in least or not self._awaits_memory) and self._has_spare_room(gpus, waiting):
                decisions.append(self._start(gpus, least.get(gpus, 0)))
        return decisions

    def _make_room(self, gpus: int, floor: int) -> list[Retire | Start]:
        """Start a worker, where others that have no test can make room for it; else gather devices for it."""
        decisions: list[Retire | Start] = []
        while self._room() < gpus:
            victim = self._spare(gpus, floor)
            if victim is None:
                if self._gathering is None:
                    self._gathering = gpus, floor
                return decisions
            decisions.append(self.retire(victim))
        return [*decisions, self._start(gpus, floor)]

    def _start(self, gpus: int, floor: int) -> Start:
        self._live[gpus] += 1
        self.due[gpus] += 1
        self._picky_due += bool(floor)
        return Start(gpus, floor)

    def _room(self) -> int:
        return self.capacity - sum(gpus * count for gpus, count in self._live.items())

    @property
    def _awaits_memory(self) -> bool:
        return bool(self._picky) or self._picky_due > 0

    def _has_spare_room(self, gpus: int, waiting: Mapping[int, int]) -> bool:
        fits = not gpus or (self._gathering is None and self._room() >= gpus)
        return fits and self._lacks(gpus, waiting)

    def _has_too_many(self, gpus: int) -> bool:
        return self._live[gpus] > self._targets[gpus]

    def _aim(self, again: Wanted) -> Counter[int]:
        """Return how many workers of each size there should be."""
        first: Counter[int] = Counter()
        left = self.capacity
        for gpus in {gpus for gpus, _ in again}:
            if gpus <= left:
                first[gpus] = 1
                left -= gpus
        serial = self._backlog.serial_due()
        if serial is not None:
            # It waits for those that run again, whose workers may need its devices.
            return first | Counter({serial.gpus: int(serial.gpus <= left)})
        tiers = (self._backlog.loads[priority] for priority in reversed(self._backlog.priorities))
        return first + Counter(targets(tiers, left))

    def _for_nothing(self, waiting: Mapping[int, int]) -> list[Worker]:
        """Workers that are not here yet and will find nothing to do."""
        sizes = [size for size, names in self._fresh.items() if names and not waiting.get(size)]
        return [self.workers[name] for size in sizes if not self._has_rich(size) for name in self._fresh[size]]

    def _too_many(self) -> list[Worker]:
        """Workers without a test beyond the capacity: xdist replaces some that had made room, and devices get lost."""
        over = -self._room()
        if over <= 0:
            return []
        leaving = (worker for worker in self.workers.values() if worker.devices & self.lost and not worker.retired)
        # Those that are due cannot be let go before they are started.
        over -= sum(worker.gpus for worker in leaving) + sum(gpus * count for gpus, count in self.due.items())
        found: list[Worker] = []
        for place in (self._fresh, self._idle):
            free = [self.workers[name] for names in place.values() for name in names]
            for worker in sorted(free, key=lambda worker: self._has_too_many(worker.gpus), reverse=True):
                if over > 0 and worker.gpus and not worker.devices & self.lost:
                    found.append(worker)
                    over -= worker.gpus
        return found

    def _has_rich(self, size: int) -> bool:
        return any(worker.gpus == size and len(worker.queue) > 2 for worker in self.workers.values())

    def _lacks_memory(self, gpus: int, floor: int) -> bool:
        """Return whether no worker of that size has so much memory, nor can turn out to have it."""
        if self.due[gpus] or gpus > self.capacity:
            return False
        fresh = self._fresh.get(gpus, {})
        return not any(
            worker.gpus == gpus and (worker.memory >= floor or worker.name in fresh) and not worker.retired
            for worker in self.workers.values()
        )

    def _lacks(self, gpus: int, waiting: Mapping[int, int]) -> bool:
        """Return whether one more worker of that size would have something to do that is worth it."""
        here = len(self._fresh.get(gpus, ())) + len(self._idle.get(gpus, ())) + self.due[gpus]
        if here >= waiting.get(gpus, 0) or gpus > self.capacity:
            return False
        if gpus == 0:
            others = sum(count for size, count in self._live.items() if size)
            return self._live[0] < max(1, self._asked - others) and self._is_worth_it(0)
        return self._is_worth_it(gpus)

    def _is_worth_it(self, gpus: int) -> bool:
        if not self._live[gpus]:
            return True
        loads = [sizes[gpus] for sizes in self._backlog.loads.values() if gpus in sizes]
        if any(len(load.times) < load.count for load in loads):
            return True  # who knows
        return _work(loads) / self._live[gpus] > START_SECONDS

    def _spare(self, gpus: int, floor: int) -> Worker | None:
        """Return a worker without a test that can go so that one of ``gpus`` devices can come."""
        for place in (self._fresh, self._idle):
            for size, names in place.items():
                if size and size != gpus and self._has_too_many(size):
                    able = (name for name in reversed(names) if name not in self._picky or not self._targets[size])
                    if (name := next(able, None)) is not None:
                        return self.workers[name]
        poor = (self.workers[name] for name in self._idle.get(gpus, ()))
        return next((worker for worker in poor if worker.memory < floor), None)


def _work(loads: Iterable[Load]) -> float:
    known = list(loads)
    mean = mean_of(known)
    return math.fsum(work(load, mean) for load in known)
