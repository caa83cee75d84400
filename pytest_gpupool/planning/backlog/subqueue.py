"""Sub-queues: work units that need the same devices, memory, locks, collections and set-ups, best first.

Pure: standard library only, no clock, no files. The queue lies in sub-queues so that taking the best unit that may run
now costs the logarithm of their number, however many others wait for a lock.
"""

from __future__ import annotations

import heapq

from ..tests import Collections, Family, Need, Rank, WorkUnit

Part = tuple[int, Family]
"""The priority of what is in a sub-queue, and its family: where it belongs in the plan."""

_Kind = tuple[Need, Collections]
"""Which workers may run what is in a sub-queue, its locks aside: of what devices, and of which collections not."""

_Place = tuple[Rank, int]
"""How soon a unit should start: by its rank, among equals in the order of collection."""


_PLAIN: Part = (0, ())


class Subqueue:
    """Units that need the same; best first, among equals those that suit the worker's fixtures."""

    def __init__(
        self, need: Need, locks: frozenset[str], lacked_by: Collections = frozenset(), part: Part = _PLAIN
    ) -> None:
        self.need = need
        self.locks = locks
        self.kind: _Kind = need, lacked_by
        self.part = part
        self.size = 0
        self._ranks: list[Rank] = []
        self._buckets: dict[Rank, dict[Family, list[tuple[int, WorkUnit]]]] = {}

    def push(self, unit: WorkUnit) -> None:
        """Add a unit."""
        self.size += 1
        bucket = self._buckets.get(unit.rank)
        if bucket is None:
            bucket = self._buckets[unit.rank] = {}
            heapq.heappush(self._ranks, unit.rank)
        heapq.heappush(bucket.setdefault(unit.set_ups, []), (unit.tests[0], unit))

    def head(self) -> _Place:
        """Return how good the best one is, for comparison with other sub-queues'."""
        rank = self._ranks[0]
        return rank, next(iter(self._buckets[rank].values()))[0][0]

    def peek(self, warm: Family) -> WorkUnit:
        """Return what :meth:`pop` would."""
        bucket = self._buckets[self._ranks[0]]
        return bucket[warm if warm in bucket else next(iter(bucket))][0][1]

    def pop(self, warm: Family) -> WorkUnit:
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


_Entry = tuple[Rank, int, int, Subqueue]
"""A sub-queue as it was when it was put among others: the place of its best unit, then what breaks ties."""

_NOTHING: dict[tuple[_Kind, Part], list[_Entry]] = {}


class Subqueues:
    """Every sub-queue, and which one the next unit is taken from: the best whose locks nobody holds.

    A sub-queue that may be taken from is among the heads of its kind; one that waits is behind a lock that it waits
    for. Of those behind a lock that comes free the best one is let out, since the others need that lock, too: with any
    number of them a unit that is taken, or whose locks are released, costs the logarithm of it.
    """

    def __init__(self) -> None:
        self._all: dict[tuple[_Kind, Part, frozenset[str]], Subqueue] = {}
        self._locks_held: set[str] = set()
        # Best first. Entries that are stale by now are dropped when they are met, and those that wait are moved.
        self._heads: dict[_Kind, dict[Part, list[_Entry]]] = {}
        self._behind: dict[str, dict[tuple[_Kind, Part], list[_Entry]]] = {}
        self._shown = 0  # breaks ties of heaps, whose sub-queues cannot be compared

    def push(self, unit: WorkUnit) -> Subqueue:
        """Add a unit; return the sub-queue where it waits now."""
        kind, part = (unit.need, unit.lacked_by), (unit.priority, unit.family)
        subqueue = self._all.get((kind, part, unit.locks))
        if subqueue is None:
            subqueue = self._all[kind, part, unit.locks] = Subqueue(unit.need, unit.locks, unit.lacked_by, part)
            self._heads.setdefault(kind, {}).setdefault(part, [])
        subqueue.push(unit)
        if subqueue.head() == (unit.rank, unit.tests[0]):
            self._show(subqueue)
        return subqueue

    def pop(self, subqueue: Subqueue, warm: Family) -> WorkUnit:
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
            for kind, part in self._behind.get(lock, ()):
                self._let_best_out(lock, kind, part)

    def best(
        self, gpus: int, memory: float, own: frozenset[str], collection: int = 0, part: Part = _PLAIN
    ) -> Subqueue | None:
        """Return the sub-queue with the best unit for a worker of that size, memory per device, and locks of its own.

        None where no unit of that part may run there now, of those that its collection has.
        """
        found: _Entry | None = None
        for kind, parts in self._heads.items():
            (size, least), lacked_by = kind
            if size != gpus or least > memory or collection in lacked_by or part not in parts:
                continue
            behind = (self._first_behind(lock, kind, part, own) for lock in own)
            for entry in (self._first(kind, part), *behind):
                if entry is not None and (found is None or entry[:2] < found[:2]):
                    found = entry
        return None if found is None else found[3]

    def units(self) -> list[WorkUnit]:
        """Return all units, in no order."""
        return [unit for subqueue in self._all.values() for unit in subqueue.units()]

    def clear(self) -> None:
        """Forget every unit; what holds a lock holds it as before."""
        self._all.clear()
        self._heads.clear()
        self._behind.clear()

    def _first(self, kind: _Kind, part: Part) -> _Entry | None:
        """Return the best that may be taken, None where nothing may."""
        heads = self._heads[kind][part]
        while heads:
            entry = heads[0]
            if _is_current(entry):
                if not entry[3].locks & self._locks_held:
                    return entry
                heapq.heappop(heads)
                self._place(entry)
                # It was let out for all that wait for its other locks.
                for lock in entry[3].locks - self._locks_held:
                    self._let_best_out(lock, kind, part)
            else:
                heapq.heappop(heads)
        return None

    def _first_behind(self, lock: str, kind: _Kind, part: Part, own: frozenset[str]) -> _Entry | None:
        """Return the best of those that wait for this lock, and for no others than these, one's own."""
        waiting = self._behind.get(lock, _NOTHING).get((kind, part), [])
        while waiting:
            entry = waiting[0]
            others = entry[3].locks & self._locks_held - own
            if _is_current(entry) and not others:
                return entry
            heapq.heappop(waiting)
            if _is_current(entry):
                self._place(entry, behind=next(iter(others)))
        return None

    def _let_best_out(self, lock: str, kind: _Kind, part: Part) -> None:
        """Put the best of those that wait for a lock among the heads, now that it is free."""
        waiting = self._behind.get(lock, _NOTHING).get((kind, part), [])
        while waiting:
            entry = heapq.heappop(waiting)
            if _is_current(entry) and self._place(entry):
                return

    def _show(self, subqueue: Subqueue) -> None:
        if subqueue.size:
            self._shown += 1
            self._place((*subqueue.head(), self._shown, subqueue))

    def _place(self, entry: _Entry, behind: str | None = None) -> bool:
        """Put a sub-queue where it belongs; return whether that is among the heads."""
        subqueue = entry[3]
        lock = behind or next((lock for lock in subqueue.locks if lock in self._locks_held), None)
        if lock is None:
            heapq.heappush(self._heads[subqueue.kind].setdefault(subqueue.part, []), entry)
            return True
        heapq.heappush(self._behind.setdefault(lock, {}).setdefault((subqueue.kind, subqueue.part), []), entry)
        return False


def _is_current(entry: _Entry) -> bool:
    subqueue = entry[3]
    return bool(subqueue.size) and subqueue.head() == entry[:2]
