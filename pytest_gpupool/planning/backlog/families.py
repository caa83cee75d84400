"""Families: what waits, by what has to be set up for it, and with which of them a worker goes on.

Pure: standard library only, no clock, no files. In the literature this is scheduling with sequence-dependent family
set-up times on identical parallel machines, to the least makespan, where a family may be split at the price of another
set-up (C. N. Potts and M. Y. Kovalyov, "Scheduling with batching: a review", European Journal of Operational Research
120 (2000); A. Allahverdi and others, "A survey of scheduling problems with setup times or costs", ibid. 187 (2008)). It
is hard to solve, and durations are estimates; so a rule decides each time that a worker wants a test:

1. A worker keeps to what it has set up while tests that need it wait, the longest first.
2. When these are used up it goes where most of what it has set up is still of use; else to the family on which nobody
   is, the one first that takes longest, set-up and all. It can be shared later: those who end early help with it.
3. Where somebody is on each it joins the one that will end last; but only if the others would not have begun the last
   of its tests by the time at which all is set up for it. Else it leaves them alone.
4. Tests that need nothing worth planning for fill the gaps: they come before joining anybody, and earlier where one is
   so long that it would be the last to end.

Longest first over all families costs a set-up for almost every test. Staying put without the third rule leaves workers
idle at the end, with an earlier split it costs more set-ups than it gains. Over random families this rule is 3 % above
the bound on average, longest first 37 %, staying put 6 % (``benchmarks/families.py``).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from ...values.wide_fixture import WideFixture
from ..tests import Family, Test, WorkUnit
from ..workers import Moment, Worker, set_up_after
from .costs import Costs

Level = tuple[int, int]
"""Priority, and number of devices: families are compared within one."""


class Plain(NamedTuple):
    """The first test of a unit that needs nothing worth planning for, and how long that takes: 0 if nobody knows.

    ``rest`` is how long each worker will go on, if all that waits were shared evenly.
    """

    test: Test
    seconds: float
    rest: float


@dataclass(slots=True, eq=False)
class Group:
    """What waits that needs one wide fixture, which ``costs`` so many seconds, and who has it set up."""

    costs: float = 0.0
    count: int = 0
    known: float = 0.0
    """The seconds of what waits and is known."""
    unknown: int = 0
    """How many tests wait of which nobody knows how long they take."""
    families: dict[Family, int] = field(default_factory=dict)
    """How many units of each wait."""
    on: dict[str, Worker] = field(default_factory=dict)
    """The workers that go on with it, by name."""

    @property
    def size(self) -> float:
        """By which groups are compared of which nobody has begun one: what nobody knows is taken for a second."""
        return self.costs + self.known + self.unknown

    def work(self, mean: float) -> float:
        """Return the seconds of what waits, where what nobody knows takes as long as the mean."""
        return self.known + self.unknown * mean

    def end(self, moment: Moment) -> float:
        """Return in how many seconds those who are on it will have done all; infinity where nobody is that can.

        Who is on it and has no test cannot run what waits: it lacks that, or others hold the locks.
        """
        rests = [worker.rest(moment) for worker in self.on.values() if worker.is_busy]
        return (sum(rests) + self.work(moment.mean)) / len(rests) if rests else math.inf

    def last_begins(self, moment: Moment) -> float:
        """Return in how many seconds they will have begun the last of its tests, about."""
        return self.end(moment) - self.work(moment.mean) / self.count


class Families:
    """What waits by family; what needs nothing that is worth planning for has the empty one, and is not here."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._groups: dict[tuple[Level, WideFixture], Group] = {}
        self._largest: dict[Level, list[tuple[float, int, Group]]] = {}  # nobody was on these when they came here
        self._grown: dict[Level, dict[int, Group]] = {}  # these are to come there, or have more than they had
        self._begun: dict[Level, dict[WideFixture, Group]] = {}  # somebody is on these
        self._numbers = count()

    @property
    def some_wait(self) -> bool:
        """Whether anything waits that is worth planning for."""
        return any(group.count for group in self._groups.values())

    @property
    def are_none(self) -> bool:
        """Whether nothing was ever worth planning for."""
        return not self._groups

    def add(self, unit: WorkUnit) -> None:
        """One more unit waits."""
        for group in self._of(unit):
            _count(group, unit, 1)
            group.families[unit.family] = group.families.get(unit.family, 0) + 1
            if not group.on:
                self._offer(_level(unit), group)

    def remove(self, unit: WorkUnit) -> None:
        """A unit waits no longer."""
        for group in self._of(unit):
            _count(group, unit, -1)
            group.families[unit.family] -= 1
            if not group.families[unit.family]:
                del group.families[unit.family]

    def clear(self) -> None:
        """Nothing waits; who is on what stays. What is known of costs may have changed."""
        for (_, fixture), group in self._groups.items():
            self._price(fixture, group)
            group.count, group.known, group.unknown = 0, 0.0, 0
            group.families.clear()
        self._largest.clear()
        self._grown.clear()

    def takes(self, worker: Worker, unit: WorkUnit) -> None:
        """A worker goes on with a unit."""
        if unit.family != worker.family and (unit.family or not {*worker.family} <= worker.set_up):
            self.leaves(worker)
            worker.family = unit.family
            worker.level = _level(unit)
            for fixture, group in zip(unit.family, self._of(unit), strict=True):
                group.on[worker.name] = worker
                self._begun.setdefault(worker.level, {})[fixture] = group

    def leaves(self, worker: Worker) -> None:
        """A worker has nothing set up any more, or goes to something else."""
        for fixture in worker.family:
            group = self._groups.get((worker.level, fixture))
            if group is not None and group.on.pop(worker.name, None) is not None and not group.on:
                del self._begun[worker.level][fixture]
                if group.count:
                    self._offer(worker.level, group)
        worker.family = ()

    def orders(
        self, worker: Worker, level: Level, moment: Moment, plain: Plain | None, can_take: Callable[[Family], bool]
    ) -> Generator[Family]:
        """Yield the family that a worker should go on with, then the next best where it cannot; the empty one is plain.

        ``plain`` is the longest of those that need nothing worth planning for, None where there is none for it.
        """
        own = worker.family
        if own and can_take(own):
            if plain and plain.seconds + self._next_of(own, level, moment) > plain.rest + self._lost_by(plain, worker):
                yield ()
            yield own
        yield from filter(can_take, self._related(worker, level, moment))
        for group in self._unbegun(level):
            if plain and plain.seconds > min(plain.rest, group.work(moment.mean)):
                yield ()
            yield from filter(can_take, self._within(group, worker))
        if plain is not None:
            yield ()
        for group in self._worth_joining(worker, level, moment):
            yield from filter(can_take, self._within(group, worker))

    def _lost_by(self, plain: Plain, worker: Worker) -> float:
        """Return what it takes to set up anew what a worker would have to tear down for that."""
        kept = set_up_after(worker.set_up, plain.test)
        return self._costs.total(fixture for fixture in worker.family if fixture not in kept)

    def _next_of(self, family: Family, level: Level, moment: Moment) -> float:
        """Return how long the next test of a family takes, about."""
        group = min((self._groups[level, fixture] for fixture in family), key=lambda group: group.count)
        return group.work(moment.mean) / max(1, group.count)

    def _related(self, worker: Worker, level: Level, moment: Moment) -> list[Family]:
        """Return the families for which some of what a worker has set up is of use, the most first."""
        found: dict[Family, tuple[float, float]] = {}
        for fixture in worker.set_up:
            group = self._groups.get((level, fixture))
            for family in () if group is None else group.families:
                if family not in found and (worth := self._worth(family, worker, level, moment)) is not None:
                    found[family] = worth
        return sorted(found, key=found.__getitem__, reverse=True)

    def _worth(self, family: Family, worker: Worker, level: Level, moment: Moment) -> tuple[float, float] | None:
        """Return how much of what a worker has set up a family uses, and its work; None where joining is in vain."""
        missing = [fixture for fixture in family if fixture not in worker.set_up]
        saved = self._costs.total(family) - self._costs.total(missing)
        if not missing:
            return saved, float("inf")
        dearest = self._groups[level, max(missing, key=lambda fixture: self._costs.of(fixture) or 0.0)]
        if dearest.on and not self._is_worth_joining(dearest, self._costs.total(missing), moment):
            return None
        return saved, dearest.size if not dearest.on else 0.0

    def _unbegun(self, level: Level) -> Generator[Group]:
        """Yield the groups that nobody is on, the one first that takes longest."""
        heap, grown = self._largest.setdefault(level, []), self._grown.pop(level, {})
        for group in grown.values():
            heapq.heappush(heap, (-group.size, next(self._numbers), group))
        seen: dict[int, Group] = {}
        try:
            while heap:
                size, _, group = heap[0]
                if group.on or not group.count or id(group) in seen:
                    heapq.heappop(heap)
                elif -size != group.size:
                    heapq.heapreplace(heap, (-group.size, next(self._numbers), group))
                else:
                    heapq.heappop(heap)
                    seen[id(group)] = group
                    yield group
        finally:
            for group in seen.values():
                if not group.on and group.count:
                    self._offer(level, group)

    def _worth_joining(self, worker: Worker, level: Level, moment: Moment) -> list[Group]:
        """Return the groups that somebody is on and that it pays to join, the one first that would end last."""
        others = (group for group in self._begun.get(level, {}).values() if group.count and worker.name not in group.on)
        worth = [group for group in others if self._is_worth_joining(group, self._least_cost(group, worker), moment)]
        return sorted(worth, key=lambda group: group.end(moment), reverse=True)

    def _least_cost(self, group: Group, worker: Worker) -> float:
        return min(
            self._costs.total(fixture for fixture in family if fixture not in worker.set_up)
            for family in group.families
        )

    def _is_worth_joining(self, group: Group, cost: float, moment: Moment) -> bool:
        return not cost or cost < group.last_begins(moment)

    def _within(self, group: Group, worker: Worker) -> list[Family]:
        """Return a group's families, that first for which most is set up, then the one with the most that waits."""
        saved = {
            family: self._costs.total(fixture for fixture in family if fixture in worker.set_up)
            for family in group.families
        }
        return sorted(saved, key=lambda family: (saved[family], group.families[family]), reverse=True)

    def _of(self, unit: WorkUnit) -> Iterable[Group]:
        level = _level(unit)
        for fixture in unit.family:
            key = level, fixture
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = Group()
                self._price(fixture, group)
            yield group

    def _price(self, fixture: WideFixture, group: Group) -> None:
        group.costs = self._costs.of(fixture) or 0.0

    def _offer(self, level: Level, group: Group) -> None:
        self._grown.setdefault(level, {})[id(group)] = group


def _level(unit: WorkUnit) -> Level:
    return unit.priority, unit.gpus


def _count(group: Group, unit: WorkUnit, by: int) -> None:
    group.count += by
    if unit.seconds is None:
        group.unknown += by * len(unit.tests)
    else:
        group.known = group.known + by * unit.seconds if group.count else 0.0
