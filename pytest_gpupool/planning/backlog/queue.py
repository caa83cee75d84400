"""The queue: tests that wait for a worker, in the order in which they should start.

Pure: standard library only, no clock, no files. It takes tests and gives work units: what of them stays together.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping

from ..tests import Collections, Family, Need, Possible, Rank, Test, WorkUnit, kind_of, work_unit
from ..workers import Moment, Worker, set_up_after
from .costs import Costs
from .families import Families, Plain
from .loads import Loads, UsableWorkers, work
from .subqueue import Subqueue, Subqueues

_NONE: frozenset[str] = frozenset()
_AT_FIRST = Moment()


class Queue:
    """Tests that wait. Those of higher stages than ``stage``, at first the lowest, are kept apart until that is theirs.

    ``tests`` are all of the run by number; none waits before :meth:`add`.
    """

    def __init__(
        self,
        tests: Mapping[int, Test],
        *,
        longest_first: bool = True,
        largest_group_first: bool = True,
        costs: Costs | None = None,
        minds_set_ups: bool = True,
    ) -> None:
        self.stage = min((test.stage for test in tests.values()), default=0)
        self._tests = tests
        self.costs = costs or Costs()
        """What it takes to set up what tests share."""
        self._work_unit = functools.partial(
            work_unit,
            longest_first=longest_first,
            largest_group_first=largest_group_first,
            dear=self.costs.dear if minds_set_ups else _never_dear,
        )
        self.families = Families(self.costs)
        """What waits, by what has to be set up for it."""
        self._possible: Possible = _as_asked
        self._subqueues = Subqueues()
        self._serial: list[tuple[Rank, int, WorkUnit]] = []
        self._later: dict[int, list[WorkUnit]] = {}
        self.loads = Loads()
        """What may run in this stage, without serial tests."""
        self.usable = UsableWorkers()
        """The workers that all that waits could use."""

    def __bool__(self) -> bool:
        return any(self.usable.by_size.values())

    @property
    def some_are_later(self) -> bool:
        """Whether tests of later stages wait."""
        return bool(self._later)

    def add(self, tests: Iterable[int]) -> None:
        """Let these tests wait, split into work units."""
        for unit in self._units(tests):
            if unit.stage > self.stage:
                self._later.setdefault(unit.stage, []).append(unit)
                self.usable.change(unit, 1)
            else:
                self._push(unit)

    def advance(self, stage: int) -> None:
        """All lower stages have ended: what waits for this one may run."""
        self.stage = stage
        for unit in self._later.pop(stage, ()):
            self.usable.change(unit, -1)
            self._push(unit)

    def next_serial(self) -> WorkUnit | None:
        """Return the serial unit whose turn it is: when no other unit of its priority waits, to drain the run once."""
        if not self._serial:
            return None
        unit = self._serial[0][2]
        others = self.loads.priorities
        return unit if not others or unit.priority > others[-1] else None

    def take_serial(self) -> WorkUnit:
        """Take it, and hold its locks."""
        unit = heapq.heappop(self._serial)[2]
        self.usable.change(unit, -1)
        self._subqueues.hold(unit.locks)
        return unit

    def hold_for(self, worker: Worker, index: int) -> None:
        """A worker was given a test that comes from elsewhere, and holds its locks."""
        if locks := self._tests[index].locks:
            worker.locks_held[index] = locks
            self._subqueues.hold(locks)

    def take(self, worker: Worker, moment: Moment = _AT_FIRST) -> WorkUnit | None:
        """Take the best unit for a worker, of its devices and its collection, and hold the unit's locks.

        What needs no locks but those that the worker holds already may run after what holds them.
        """
        subqueue = self._best(worker, worker.locks, moment)
        return None if subqueue is None else self._pop(subqueue, worker, moment)

    def take_short(
        self, worker: Worker, is_short: Callable[[int], bool], moment: Moment = _AT_FIRST
    ) -> WorkUnit | None:
        """Take what :meth:`take` would for a worker without locks, if its first test is short.

        And if it needs no locks, nor anything worth planning for that is not set up.
        """
        subqueue = self._best(worker, _NONE, moment)
        if subqueue is None or subqueue.locks or not worker.set_up.issuperset(subqueue.part[1]):
            return None
        return self._pop(subqueue, worker, moment) if is_short(subqueue.peek(worker.warm).tests[0]) else None

    def _best(self, worker: Worker, own: frozenset[str], moment: Moment) -> Subqueue | None:
        """Return the sub-queue from which a worker's next unit should come, None where there is none."""
        for priority in reversed(self.loads.priorities):
            if (found := self._best_of(worker, own, moment, priority)) is not None:
                return found
        return None

    def _best_of(self, worker: Worker, own: frozenset[str], moment: Moment, priority: int) -> Subqueue | None:
        def of(family: Family) -> Subqueue | None:
            return self._subqueues.best(worker.gpus, worker.memory, own, worker.collection, (priority, family))

        plain = of(())
        if self.families.are_none:
            return plain
        longest = None if plain is None else self._plain(plain.peek(worker.warm), moment)
        level = priority, worker.gpus
        orders = self.families.orders(worker, level, moment, longest, lambda family: of(family) is not None)
        with contextlib.closing(orders):
            family = next(orders, None)
        return None if family is None else of(family)

    def _plain(self, unit: WorkUnit, moment: Moment) -> Plain:
        load = self.loads.by_priority[unit.priority][unit.gpus]
        rest = work(load, moment.mean) / max(1, moment.workers.get(unit.gpus, 1))
        return Plain(self._tests[unit.tests[0]], unit.seconds or 0.0, rest)

    def release(self, locks: frozenset[str]) -> None:
        """The tests that held these locks have ended."""
        self._subqueues.release(locks)

    def needs(self) -> set[Need]:
        """Return the devices that work units need which may run now."""
        serial = self.next_serial()
        return self.loads.needs() if serial is None else {serial.need}

    def need_of(self, index: int) -> Need:
        """Return the devices that a worker must have for a test, as far as the pool can give them."""
        test = self._tests[index]
        return self._possible(test.gpus, test.memory)

    def shrink(self, possible: Possible) -> None:
        """The pool has lost devices: what can no longer have its own runs on other workers, where it says so."""
        before, self._possible = self._possible, possible
        asked = {(test.gpus, test.memory) for test in self._tests.values()}
        # Mostly one device fewer makes no difference, and sorting anew takes a moment that all workers wait.
        if any(before(*one) != possible(*one) for one in asked):
            self.sort_anew()

    def lacked(self, need: Need, lacked_by: Collections) -> list[int]:
        """Return the tests that wait, have that need, and are lacked by these collections and no others."""
        units = (unit for unit in self._units_waiting() if (unit.need, unit.lacked_by) == (need, lacked_by))
        return [index for unit in units for index in unit.tests]

    def waiting(self) -> list[int]:
        """Return all that wait, those of later stages too, in the order of collection."""
        return sorted(index for unit in self._units_waiting() for index in unit.tests)

    def sort_anew(self, *, without: Container[int] = ()) -> None:
        """What is known of tests that wait has changed. Those in ``without`` wait no longer."""
        waiting = [index for index in self.waiting() if index not in without]
        self._subqueues.clear()
        self.families.clear()
        self._serial.clear()
        self._later.clear()
        self.loads, self.usable = Loads(), UsableWorkers()
        self.add(waiting)

    def _units_waiting(self) -> Iterator[WorkUnit]:
        yield from self._subqueues.units()
        yield from (unit for units in self._later.values() for unit in units)
        yield from (unit for *_, unit in self._serial)

    def _push(self, unit: WorkUnit) -> None:
        if unit.serial:
            self.usable.change(unit, 1)
            heapq.heappush(self._serial, (unit.rank, unit.tests[0], unit))
            return
        subqueue = self._subqueues.push(unit)
        # Of tests that share a lock one worker at a time can run one.
        self.usable.change(unit, int(not unit.locks or subqueue.size == 1))
        self.loads.add(unit)
        self.families.add(unit)

    def goes_to(self, worker: Worker, tests: Iterable[int]) -> None:
        """A worker goes on with tests that come from elsewhere, or with what is left of its own."""
        for index in tests:
            worker.set_up = set_up_after(worker.set_up, self._tests[index])
        if not worker.set_up.issuperset(worker.family):
            self.families.leaves(worker)

    def _pop(self, subqueue: Subqueue, worker: Worker, moment: Moment) -> WorkUnit:
        unit = self._subqueues.pop(subqueue, worker.warm)
        self.usable.change(unit, -int(not unit.locks or subqueue.size == 0))
        self.loads.remove(unit)
        self.families.remove(unit)
        seconds = moment.mean * len(unit.tests) if unit.seconds is None else unit.seconds
        seconds += self.costs.total(one for one in unit.family if one not in worker.set_up)
        worker.free_at = max(moment.now, worker.free_at) + seconds
        for index in unit.tests:
            worker.set_up = set_up_after(worker.set_up, self._tests[index])
        self.families.takes(worker, unit)
        return unit

    def _units(self, tests: Iterable[int]) -> list[WorkUnit]:
        """Split tests into what must stay together: each group's tests of one kind, and each test without one."""
        kinds: dict[Hashable, list[Test]] = {}
        for test in map(self._tests.__getitem__, tests):
            kinds.setdefault(kind_of(test), []).append(test)
        return [self._work_unit(together, self._possible) for together in kinds.values()]


def _never_dear(_: Family, __: float | None) -> Family:
    return ()


def _as_asked(gpus: int, memory: int) -> Need:
    return gpus, memory
