"""Loads: what waits, counted: how much work of each priority and size, and how many workers could do it at a time.

Pure: standard library only, no clock, no files. The queue counts its work units here as they come and go; the staffing
reads how many workers they are worth.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..tests import Collections, Need, WorkUnit


@dataclass(slots=True)
class Load:
    """What waits of one priority and size: how many work units, and the seconds of those that are known."""

    count: int = 0
    total: float = 0.0
    _times: list[float] = field(default_factory=list)
    _sorted: bool = False

    @property
    def times(self) -> list[float]:
        """The known durations, ascending."""
        if not self._sorted:
            self._times.sort()
            self._sorted = True
        return self._times

    @property
    def has_unknown(self) -> bool:
        """Whether nobody knows how long one of them takes."""
        return len(self.times) < self.count

    def add(self, seconds: float | None) -> None:
        """One more unit waits."""
        self.count += 1
        if seconds is not None:
            self.total += seconds
            if self._sorted:
                bisect.insort(self._times, seconds)  # one that comes back: sorting all again would cost more
            else:
                self._times.append(seconds)

    def remove(self, seconds: float | None) -> None:
        """One of them waits no longer."""
        self.count -= 1
        if seconds is not None:
            self.total -= seconds
            del self.times[bisect.bisect_left(self.times, seconds)]  # among the longest, so few move


class Loads:
    """The load of each priority and size, of the work units that may run in this stage; serial ones are not counted."""

    def __init__(self) -> None:
        self.by_priority: dict[int, dict[int, Load]] = {}
        """By priority, then size."""
        self.priorities: list[int] = []
        """Those of ``by_priority``, ascending."""
        self._needs: Counter[Need] = Counter()

    def add(self, unit: WorkUnit) -> None:
        """One more unit waits."""
        if unit.priority not in self.by_priority:
            self.by_priority[unit.priority] = {}
            bisect.insort(self.priorities, unit.priority)
        self.by_priority[unit.priority].setdefault(unit.gpus, Load()).add(unit.seconds)
        self._needs[unit.need] += 1

    def remove(self, unit: WorkUnit) -> None:
        """A unit waits no longer."""
        sizes = self.by_priority[unit.priority]
        sizes[unit.gpus].remove(unit.seconds)
        if not sizes[unit.gpus].count:
            del sizes[unit.gpus]
        if not sizes:
            del self.by_priority[unit.priority]
            self.priorities.remove(unit.priority)
        need = unit.need
        self._needs[need] -= 1
        if not self._needs[need]:
            del self._needs[need]

    def needs(self) -> set[Need]:
        """Return the devices that units need, each kind of need once."""
        return {*self._needs}

    def tiers(self) -> Iterator[Mapping[int, Load]]:
        """Yield the loads by size, those of the highest priority first."""
        return (self.by_priority[priority] for priority in reversed(self.priorities))

    def of_size(self, gpus: int) -> list[Load]:
        """Return the loads of a size, one for each priority that has any."""
        return [sizes[gpus] for sizes in self.by_priority.values() if gpus in sizes]


class UsableWorkers:
    """How many workers could ever be used at a time by what waits, later stages and serial tests included."""

    def __init__(self) -> None:
        self.by_size: Counter[int] = Counter()
        self._by_need: Counter[Need] = Counter()  # of it, for what needs so much memory
        self._lacked: Counter[tuple[Need, Collections]] = Counter()  # of it, for what not every worker has

    def change(self, unit: WorkUnit, by: int) -> None:
        """So many more of a unit's size could be used, or fewer."""
        self.by_size[unit.gpus] += by
        if unit.memory:
            self._by_need[unit.need] += by
        if unit.lacked_by:
            self._lacked[unit.need, unit.lacked_by] += by

    def suiting(self, gpus: int, memory: float) -> int:
        """Return how many of a size could be used if none had more memory per device than that."""
        others = (count for (size, least), count in self._by_need.items() if size == gpus and least > memory)
        return self.by_size[gpus] - sum(others)

    def lacked_by_some(self, gpus: int) -> int:
        """Return how many of a size could be used by what not every worker has."""
        return sum(count for ((size, _), _), count in self._lacked.items() if size == gpus)

    def lacked(self) -> list[tuple[Need, Collections]]:
        """Return the needs of what waits and not every worker has, with the collections that lack it."""
        return [kind for kind, count in self._lacked.items() if count]


def mean_of(loads: Iterable[Load]) -> float:
    """Return the mean duration of the units whose duration is known, 1 second where none is."""
    total, known = 0.0, 0
    for load in loads:
        total, known = total + load.total, known + len(load.times)
    return total / known if known and total > 0 else 1.0


def work(load: Load, mean: float) -> float:
    """Return the seconds that a load takes on one worker, an unknown unit taken for a mean one."""
    return load.total + (load.count - len(load.times)) * mean


def work_of_all(loads: Iterable[Load]) -> float:
    """Return the seconds that loads take together on one worker."""
    known = list(loads)
    mean = mean_of(known)
    return math.fsum(work(load, mean) for load in known)
