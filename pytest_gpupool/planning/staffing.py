"""Staffing: which workers there should be, by size, and so whom to start and whom to let go.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from .backlog.loads import work_of_all
from .backlog.queue import Queue
from .decisions import Retire, Start
from .sizes import targets
from .tests import Need
from .workers import Names, Worker, Workers

START_SECONDS = 1.0
"""What a new worker costs at least: less work than that is not worth one beside others."""


class Staffing:
    """How many workers of each size there should be for what waits.

    ``requested`` is how many workers the user asked for: as many of size 0 may there be where others are not, and one
    beside them.
    """

    def __init__(self, queue: Queue, workers: Workers, *, requested: int) -> None:
        self._queue = queue
        self._workers = workers
        self._requested = requested
        self._targets: Counter[int] = Counter()
        self._gathering: Need | None = None  # what devices are kept free for

    @property
    def gathers(self) -> bool:
        """Whether devices are kept free until there are enough for a larger worker."""
        return self._gathering is not None

    def is_kept(self, worker: Worker, more: int, *, in_any_case: bool = False) -> bool:
        """Return whether what waits for a lock or a stage, or ``more`` tests outside the queue, could need an idle one.

        The dispatcher asks when it has no test for a worker, which is let go otherwise. What the worker lacks counts,
        too: others in its place would lack it as well. ``in_any_case`` only who needs its devices is a reason against.
        """
        if self._workers.some_await_memory and not any(other.assigned for other in self._workers):
            return False  # nothing else will happen: perhaps it holds the devices that a worker with much memory needs
        if in_any_case:
            return True
        idle = self._workers.idle.of_size(worker.gpus)
        others = len(idle) - (worker.name in idle)
        return others < self._queue.usable.suiting(worker.gpus, worker.memory) + more

    def is_surplus(self, worker: Worker) -> bool:
        """Return whether a worker about to be free should let its devices go to one that gathers them.

        The dispatcher asks before it gives a worker its next test.
        """
        if worker.reserved:
            return False
        if worker.is_alone and not worker.is_fresh:
            return True  # it has what several could use
        if worker.devices & self._workers.lost_devices:
            return True
        if worker.gpus and self._workers.gives_way and self._workers.room < 0:
            return True
        if self._gathering is None or not worker.gpus:
            return False
        gpus, memory = self._gathering
        return worker.memory < memory if worker.gpus == gpus else self._has_too_many(worker.gpus)

    def reform(
        self, reruns: Collection[Need], undecided: Collection[Need], fresh: Collection[Need] = ()
    ) -> list[Retire | Start]:
        """Start workers of the sizes that lack, let idle ones of other sizes go for them, and who came for nothing.

        ``reruns`` are tests that wait outside the queue to run again, ``fresh`` those of them that wait for a worker
        which has run nothing, ``undecided`` those that may come to.
        """
        usable = self._queue.usable.by_size + Counter(gpus for gpus, _ in reruns)
        decisions: list[Retire | Start] = []
        if self._workers.capacity:
            useful = usable + Counter(gpus for gpus, _ in undecided)
            decisions += map(self._workers.retire, self._for_nothing(useful))
        self._gathering = None
        self._targets = self._aim(reruns)
        if self._workers.capacity:
            decisions += map(self._workers.retire, self._too_many())
        needs = sorted({*self._queue.needs(), *reruns}, reverse=True)
        # Of less memory than this a worker would be of no use.
        least = dict(needs)
        decisions += self._start_fresh(fresh)
        decisions += self._start_with_memory(needs)
        decisions += self._start_lacking(usable, least)
        decisions += self._fill_room(usable, least)
        return decisions

    def _aim(self, reruns: Collection[Need]) -> Counter[int]:
        """Return how many workers of each size there should be."""
        first: Counter[int] = Counter()
        free = self._workers.capacity
        for gpus in {gpus for gpus, _ in reruns}:
            if gpus <= free:
                first[gpus] = 1
                free -= gpus
        serial = self._queue.next_serial()
        if serial is not None:
            # It waits for those that run again, whose workers may need its devices.
            return first | Counter({serial.gpus: int(serial.gpus <= free)})
        return first + Counter(targets(self._queue.loads.tiers(), free))

    # Whom to start

    def _start_fresh(self, needs: Collection[Need]) -> Iterator[Retire | Start]:
        """Start workers for tests that only a fresh one may run, in the place of idle ones where there is no room."""
        for gpus, count in Counter(gpus for gpus, _ in needs).items():
            memory = max(memory for size, memory in needs if size == gpus)
            idle = [self._workers[name] for name in self._workers.idle.of_size(gpus)]
            used = [worker for worker in idle if not worker.is_fresh or worker.memory < memory]
            lacking = count - self._arriving(gpus) - (len(idle) - len(used))
            while gpus <= self._workers.capacity and lacking > 0:
                while self._workers.room < gpus:
                    victim = used.pop() if used else self._spare(gpus, 0)
                    if victim is None:
                        return
                    yield self._workers.retire(victim)
                yield self._workers.announce(gpus, memory)
                lacking -= 1

    def _start_with_memory(self, needs: Collection[Need]) -> Iterator[Retire | Start]:
        """Start workers for tests that need more memory than any worker of their size has."""
        for gpus, memory in needs:
            if memory and self._targets[gpus] and self._lacks_memory(gpus, memory):
                yield from self._make_room(gpus, memory)

    def _start_lacking(self, usable: Mapping[int, int], least: Mapping[int, int]) -> Iterator[Retire | Start]:
        """Start workers of sizes of which there are too few, the largest first."""
        for gpus in sorted(usable, reverse=True):
            while self._workers.live[gpus] < self._targets[gpus] and self._lacks(gpus, usable):
                yield from self._make_room(gpus, least.get(gpus, 0))
                if self._gathering is not None:
                    break

    def _fill_room(self, usable: Mapping[int, int], least: Mapping[int, int]) -> Iterator[Start]:
        """Start workers on devices that are left over."""
        if self._queue.next_serial() is not None:
            return  # beside which there is nothing to do
        for gpus in sorted(usable, reverse=True):
            # How much memory those of later stages need is asked then: who came for them now might have too little.
            wanted = usable if gpus in least else {gpus: self._queue.usable.suiting(gpus, 0.0)}
            # Nor must they take the devices that those of this stage wait for.
            while (gpus in least or not self._workers.some_await_memory) and self._has_spare_room(gpus, wanted):
                yield self._workers.announce(gpus, least.get(gpus, 0))

    def _make_room(self, gpus: int, memory: int) -> Iterator[Retire | Start]:
        """Start a worker, where others that have no test can make room for it; else gather devices for it."""
        while self._workers.room < gpus:
            victim = self._spare(gpus, memory)
            if victim is None:
                if self._gathering is None:
                    self._gathering = gpus, memory
                return
            yield self._workers.retire(victim)
        yield self._workers.announce(gpus, memory)

    def _has_spare_room(self, gpus: int, usable: Mapping[int, int]) -> bool:
        fits = not gpus or (self._gathering is None and self._workers.room >= gpus)
        return fits and self._lacks(gpus, usable)

    def _lacks_memory(self, gpus: int, memory: int) -> bool:
        """Return whether no worker of that size has so much memory, nor can turn out to have it."""
        if self._workers.coming[gpus] or gpus > self._workers.capacity:
            return False
        starting = self._workers.starting.of_size(gpus)
        return not any(
            worker.gpus == gpus and (worker.memory >= memory or worker.name in starting) and not worker.retired
            for worker in self._workers
        )

    def _lacks(self, gpus: int, usable: Mapping[int, int]) -> bool:
        """Return whether one more worker of that size would have something to do that is worth it."""
        workers = self._workers
        without_test, wanted = self._arriving(gpus), usable.get(gpus, 0)
        if not self._workers.nobody_has(gpus, self._queue.usable.lacked()):  # else those that are idle are no help
            without_test += len(workers.idle.of_size(gpus))
            # Who knows whether a new one would have what not all of the others have.
            wanted -= self._queue.usable.lacked_by_some(gpus)
        if without_test >= wanted or gpus > workers.capacity:
            return False
        if gpus == 0:
            others = sum(count for size, count in workers.live.items() if size)
            return workers.live[0] < max(1, self._requested - others) and self._is_worth_it(0)
        return self._is_worth_it(gpus)

    def _arriving(self, gpus: int) -> int:
        """Return how many workers of a size are not here yet."""
        return len(self._workers.starting.of_size(gpus)) + self._workers.coming[gpus]

    def _is_worth_it(self, gpus: int) -> bool:
        if not self._workers.live[gpus]:
            return True
        loads = self._queue.loads.of_size(gpus)
        if any(load.has_unknown for load in loads):
            return True  # who knows
        return work_of_all(loads) / self._workers.live[gpus] > START_SECONDS

    # Whom to let go

    def _for_nothing(self, useful: Mapping[int, int]) -> list[Worker]:
        """Workers that are not here yet and will find nothing to do, but for those whose tests may be news."""
        starting = self._workers.starting
        sizes = [gpus for gpus in starting.sizes() if not useful.get(gpus) and not self._has_tests_ahead(gpus)]
        workers = (self._workers[name] for gpus in sizes for name in starting.of_size(gpus))
        return [worker for worker in workers if not worker.collects]

    def _too_many(self) -> list[Worker]:
        """Workers without a test beyond the capacity: xdist replaces some that had made room, and devices get lost."""
        over = -self._workers.room
        if over <= 0:
            return []
        lost = self._workers.lost_devices
        leaving = (worker for worker in self._workers if worker.devices & lost and not worker.retired)
        # Those that are coming cannot be let go before they are started.
        over -= sum(worker.gpus for worker in leaving)
        over -= sum(gpus * count for gpus, count in self._workers.coming.items())
        found: list[Worker] = []
        for names in (self._workers.starting, self._workers.idle):
            free = [self._workers[name] for gpus in names.sizes() for name in names.of_size(gpus)]
            for worker in sorted(free, key=lambda worker: self._has_too_many(worker.gpus), reverse=True):
                if over > 0 and worker.gpus and not worker.devices & lost:
                    found.append(worker)
                    over -= worker.gpus
        return found

    def _has_too_many(self, gpus: int) -> bool:
        return self._workers.live[gpus] > self._targets[gpus]

    def _has_tests_ahead(self, gpus: int) -> bool:
        """Return whether a worker of that size has tests that could be stolen."""
        return any(worker.gpus == gpus and len(worker.assigned) > 2 for worker in self._workers)

    def _spare(self, gpus: int, memory: int) -> Worker | None:
        """Return a worker without a test that can go so that one of ``gpus`` devices can come."""
        for names in (self._workers.starting, self._workers.idle):
            for size in names.sizes():
                too_many = size and size != gpus and self._has_too_many(size)
                if too_many and (name := self._spare_of_size(names, size)) is not None:
                    return self._workers[name]
        same_size = map(self._workers.__getitem__, self._workers.idle.of_size(gpus))
        return next((worker for worker in same_size if worker.memory < memory), None)

    def _spare_of_size(self, names: Names, gpus: int) -> str | None:
        """Return the last one to come, but not who waits for devices that tests of its size need."""
        is_needed = self._targets[gpus] > 0
        spare = (name for name in names.last_first(gpus) if not (is_needed and self._workers.awaits_memory(name)))
        return next(spare, None)
