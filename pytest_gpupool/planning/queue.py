"""The queue: tests that wait for a worker, in the order in which they should start.

Pure: standard library only, no clock, no files. It takes tests and gives work units: what of them stays together.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable, Hashable, Iterable, Mapping

from .loads import Loads, UsableWorkers
from .subqueue import Subqueue, Subqueues
from .tests import Need, Possible, Rank, Test, WorkUnit, kind_of, work_unit

_NONE: frozenset[str] = frozenset()


class Queue:
    """Tests that wait. Those of higher stages than ``stage``, at first the lowest, are kept apart until that is theirs.

    ``tests`` are all of the run by number; none waits before :meth:`add`.
    """

    def __init__(
        self, tests: Mapping[int, Test], *, longest_first: bool = True, largest_group_first: bool = True
    ) -> None:
        self.stage = min((test.stage for test in tests.values()), default=0)
        self._tests = tests
        self._work_unit = functools.partial(
            work_unit, longest_first=longest_first, largest_group_first=largest_group_first
        )
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

    def take(self, gpus: int, memory: float, warm: str | None, own: frozenset[str]) -> WorkUnit | None:
        """Take the best unit for a worker of that size and memory per device, and hold its locks.

        ``own`` are the locks that the worker holds already; what needs no others may run after what holds them.
        """
        subqueue = self._subqueues.best(gpus, memory, own)
        return None if subqueue is None else self._pop(subqueue, warm)

    def take_short(
        self, gpus: int, memory: float, warm: str | None, is_short: Callable[[int], bool]
    ) -> WorkUnit | None:
        """Take what :meth:`take` would for a worker without locks, if it needs none and its first test is short."""
        subqueue = self._subqueues.best(gpus, memory, _NONE)
        if subqueue is None or subqueue.locks or not is_short(subqueue.peek(warm).tests[0]):
            return None
        return self._pop(subqueue, warm)

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
        later = (unit for units in self._later.values() for unit in units)
        serial = (unit for *_, unit in self._serial)
        waiting = sorted(index for unit in (*self._subqueues.units(), *later, *serial) for index in unit.tests)
        self._possible = possible
        self._subqueues.clear()
        self._serial.clear()
        self._later.clear()
        self.loads, self.usable = Loads(), UsableWorkers()
        self.add(waiting)

    def _push(self, unit: WorkUnit) -> None:
        if unit.serial:
            self.usable.change(unit, 1)
            heapq.heappush(self._serial, (unit.rank, unit.tests[0], unit))
            return
        subqueue = self._subqueues.push(unit)
        # Of tests that share a lock one worker at a time can run one.
        self.usable.change(unit, int(not unit.locks or subqueue.size == 1))
        self.loads.add(unit)

    def _pop(self, subqueue: Subqueue, warm: str | None) -> WorkUnit:
        unit = self._subqueues.pop(subqueue, warm)
        self.usable.change(unit, -int(not unit.locks or subqueue.size == 0))
        self.loads.remove(unit)
        return unit

    def _units(self, tests: Iterable[int]) -> list[WorkUnit]:
        """Split tests into what must stay together: each group's tests of one kind, and each test without one."""
        kinds: dict[Hashable, list[Test]] = {}
        for test in map(self._tests.__getitem__, tests):
            kinds.setdefault(kind_of(test), []).append(test)
        return [self._work_unit(together, self._possible) for together in kinds.values()]


def _as_asked(gpus: int, memory: int) -> Need:
    return gpus, memory
