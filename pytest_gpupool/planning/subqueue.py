"""Sub-queues: work units that need the same devices, memory and locks, best first.

Pure: standard library only, no clock, no files. The queue lies in sub-queues so that taking the best unit that may run
now costs the logarithm of their number, however many others wait for a lock.
"""

from __future__ import annotations

import heapq

from .tests import Need, Rank, WorkUnit

_Place = tuple[Rank, int]
"""How soon a unit should start: by its rank, among equals in the order of collection."""


class Subqueue:
    """Units that need the same; best first, among equals those that suit the worker's fixtures."""

    def __init__(self, need: Need, locks: frozenset[str]) -> None:
        self.need = need
        self.locks = locks
        self.size = 0
        self._ranks: list[Rank] = []
        self._buckets: dict[Rank, dict[str | None, list[tuple[int, WorkUnit]]]] = {}

    def push(self, unit: WorkUnit) -> None:
        """Add a unit."""
        self.size += 1
        bucket = self._buckets.get(unit.rank)
        if bucket is None:
            bucket = self._buckets[unit.rank] = {}
            heapq.heappush(self._ranks, unit.rank)
        heapq.heappush(bucket.setdefault(unit.warm, []), (unit.tests[0], unit))

    def head(self) -> _Place:
        """Return how good the best one is, for comparison with other sub-queues'."""
        rank = self._ranks[0]
        return rank, next(iter(self._buckets[rank].values()))[0][0]

    def peek(self, warm: str | None) -> WorkUnit:
        """Return what :meth:`pop` would."""
        bucket = self._buckets[self._ranks[0]]
        return bucket[warm if warm in bucket else next(iter(bucket))][0][1]

    def pop(self, warm: str | None) -> WorkUnit:
        """Take the best one, for a worker with these fixtures set up."""
        rank = self._ranks[0]
        bucket = self._buckets[rank]
        chosen = warm if warm in bucket else next(iter(bucket))
        units = bucket.pop(chosen)
        unit = heapq.heappop(units)[1]
        if units:
            # To the end: the next worker without warm fixtures of these sets up others.
            bucket[chosen] = units
        if not bucket:
            del self._buckets[heapq.heappop(self._ranks)]
        self.size -= 1
        return unit

    def units(self) -> list[WorkUnit]:
        """Return all of them, in no order."""
        return [unit for bucket in self._buckets.values() for of in bucket.values() for _, unit in of]


class Subqueues:
    """Every sub-queue, and which one the next unit is taken from: the best whose locks nobody holds."""

    def __init__(self) -> None:
        self._all: dict[tuple[Need, frozenset[str]], Subqueue] = {}
        self._by_lock: dict[str, list[Subqueue]] = {}
        self._locks_held: set[str] = set()
        # What may be taken from, best first. Entries that are stale by now are dropped when they are met.
        self._heads: dict[Need, list[tuple[Rank, int, int, Subqueue]]] = {}
        self._shown = 0  # breaks ties of heaps, whose sub-queues cannot be compared

    def push(self, unit: WorkUnit) -> Subqueue:
        """Add a unit; return the sub-queue where it waits now."""
        subqueue = self._all.get((unit.need, unit.locks))
        if subqueue is None:
            subqueue = self._all[unit.need, unit.locks] = Subqueue(unit.need, unit.locks)
            for lock in unit.locks:
                self._by_lock.setdefault(lock, []).append(subqueue)
        subqueue.push(unit)
        if subqueue.head() == (unit.rank, unit.tests[0]):
            self._show(subqueue)
        return subqueue

    def pop(self, subqueue: Subqueue, warm: str | None) -> WorkUnit:
        """Take the best unit of a sub-queue, for a worker with these fixtures set up, and hold its locks."""
        unit = subqueue.pop(warm)
        if unit.locks:
            self.hold(unit.locks)
        self._show(subqueue)
        return unit

    def hold(self, locks: frozenset[str]) -> None:
        """A worker was given a unit with these locks."""
        self._locks_held |= locks

    def release(self, locks: frozenset[str]) -> None:
        """The tests that held these locks have ended."""
        self._locks_held -= locks
        for lock in locks:
            for subqueue in self._by_lock.get(lock, ()):
                self._show(subqueue)

    def best(self, gpus: int, memory: float, own: frozenset[str]) -> Subqueue | None:
        """Return the sub-queue with the best unit for a worker of that size, memory per device, and locks of its own.

        None where no unit may run there now.
        """
        best: _Place | None = None
        found: Subqueue | None = None
        for (size, least), heads in self._heads.items():
            if size != gpus or least > memory:
                continue
            while heads and not self._is_current(heads[0]):
                heapq.heappop(heads)
            if heads and (best is None or heads[0][:2] < best):
                best, found = heads[0][:2], heads[0][3]
        for subqueue in self._behind(own) if own else ():
            size, least = subqueue.need
            if size == gpus and least <= memory and (best is None or subqueue.head() < best):
                best, found = subqueue.head(), subqueue
        return found

    def units(self) -> list[WorkUnit]:
        """Return all units, in no order."""
        return [unit for subqueue in self._all.values() for unit in subqueue.units()]

    def clear(self) -> None:
        """Forget every unit; what holds a lock holds it as before."""
        self._all.clear()
        self._by_lock.clear()
        self._heads.clear()

    def _behind(self, own: frozenset[str]) -> list[Subqueue]:
        """Return the sub-queues that wait for these locks and no others."""
        return [
            subqueue
            for lock in own
            for subqueue in self._by_lock.get(lock, ())
            if subqueue.size and not (subqueue.locks - own) & self._locks_held
        ]

    def _show(self, subqueue: Subqueue) -> None:
        """Put a sub-queue's best unit among the heads, where it may run."""
        if subqueue.size and not subqueue.locks & self._locks_held:
            self._shown += 1
            heapq.heappush(self._heads.setdefault(subqueue.need, []), (*subqueue.head(), self._shown, subqueue))

    def _is_current(self, entry: tuple[Rank, int, int, Subqueue]) -> bool:
        subqueue = entry[3]
        return bool(subqueue.size) and not subqueue.locks & self._locks_held and subqueue.head() == entry[:2]
