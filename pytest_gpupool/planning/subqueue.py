"""Piles: units that ask for the same devices, memory and locks, best first. Pure: no clock, no files."""

from __future__ import annotations

import heapq

from .tests import Rank, Unit


class Pile:
    """Units that ask for the same; best first, among equals those that suit the worker's fixtures."""

    def __init__(self, locks: frozenset[str]) -> None:
        self.locks = locks
        self.size = 0
        self._ranks: list[Rank] = []
        self._buckets: dict[Rank, dict[str | None, list[tuple[int, Unit]]]] = {}

    def push(self, unit: Unit) -> None:
        """Add a unit."""
        self.size += 1
        bucket = self._buckets.get(unit.rank)
        if bucket is None:
            bucket = self._buckets[unit.rank] = {}
            heapq.heappush(self._ranks, unit.rank)
        heapq.heappush(bucket.setdefault(unit.warm, []), (unit.tests[0], unit))

    def head(self) -> tuple[Rank, int]:
        """Return how good the best one is, for comparison with other piles'."""
        rank = self._ranks[0]
        return rank, next(iter(self._buckets[rank].values()))[0][0]

    def peek(self, warm: str | None) -> Unit:
        """Return what :meth:`pop` would."""
        bucket = self._buckets[self._ranks[0]]
        return bucket[warm if warm in bucket else next(iter(bucket))][0][1]

    def pop(self, warm: str | None) -> Unit:
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

    def units(self) -> list[Unit]:
        """Return all of them, in no order."""
        return [unit for bucket in self._buckets.values() for of in bucket.values() for _, unit in of]
