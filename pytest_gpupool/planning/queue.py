"""The backlog: tests that wait, in the order in which they should start.

Pure: standard library only, no clock, no files. Units that ask for the same (devices, memory, locks) lie in one pile,
so that taking the best one that may run now costs the logarithm of their number, however many others wait for a lock.
"""

from __future__ import annotations

import bisect
import heapq
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping

from .sizes import Load
from .subqueue import Pile
from .tests import Possible, Rank, Test, Unit, kind_of, unit_of

_NONE: frozenset[str] = frozenset()


class Backlog:
    """Tests that wait. Units of higher stages than ``stage`` are kept apart until :meth:`advance`."""

    def __init__(
        self, tests: Mapping[int, Test], *, longest_first: bool = True, largest_group_first: bool = True
    ) -> None:
        self._tests = tests
        self._longest_first = longest_first
        self._largest_group_first = largest_group_first
        self._piles: dict[tuple[int, int, frozenset[str]], Pile] = {}
        self._heads: dict[tuple[int, int], list[tuple[Rank, int, int, Pile]]] = {}
        self._by_lock: dict[str, list[tuple[int, int, Pile]]] = {}
        self._held: set[str] = set()
        self._serial: list[tuple[Rank, int, Unit]] = []
        self._floors: Counter[tuple[int, int]] = Counter()
        self._possible: Possible = _as_asked
        self._later: dict[int, list[Unit]] = {}
        self._pushed = 0  # breaks ties of heaps, whose piles cannot be compared
        self.stage = 0
        self.loads: dict[int, dict[int, Load]] = {}
        """What may run in this stage, by priority and size."""
        self.priorities: list[int] = []
        """Those of ``loads``, ascending."""
        self.waiting: Counter[int] = Counter()
        """How many workers of each size could ever be used at a time by what waits, later stages included."""
        self._floored: Counter[tuple[int, int]] = Counter()  # what of it has a floor

    def __bool__(self) -> bool:
        return any(self.waiting.values())

    def suiting(self, gpus: int, memory: float) -> int:
        """Return the part of ``waiting`` that workers with no more memory per device could ever do."""
        others = (count for (size, floor), count in self._floored.items() if size == gpus and floor > memory)
        return self.waiting[gpus] - sum(others)

    def _count(self, unit: Unit, change: int) -> None:
        self.waiting[unit.gpus] += change
        if unit.memory:
            self._floored[unit.gpus, unit.memory] += change

    def add(self, tests: Iterable[int]) -> None:
        """Let these tests wait, split into units."""
        for unit in self._units(tests):
            if unit.stage > self.stage:
                self._later.setdefault(unit.stage, []).append(unit)
                self._count(unit, 1)
            else:
                self._push(unit)

    def advance(self, stage: int) -> None:
        """All lower stages have ended: what waits for this one may run."""
        self.stage = stage
        for unit in self._later.pop(stage, ()):
            self._count(unit, -1)
            self._push(unit)

    def serial_due(self) -> Unit | None:
        """Return the serial unit that is next: when nothing else of its priority waits, to drain the run only once."""
        if not self._serial:
            return None
        unit = self._serial[0][2]
        return unit if not self.priorities or unit.priority > self.priorities[-1] else None

    def take_serial(self) -> Unit:
        """Take it."""
        unit = heapq.heappop(self._serial)[2]
        self._count(unit, -1)
        self._held |= unit.locks
        return unit

    def take(self, gpus: int, memory: float, warm: str | None, own: frozenset[str]) -> Unit | None:
        """Take the best unit for a worker of that size and memory per device, and hold its locks.

        ``own`` are the locks that the worker holds already; what needs no others may run after what holds them.
        """
        pile, key = self._best(gpus, memory, own)
        if pile is None:
            return None
        unit = pile.pop(warm)
        self._forget(unit, pile)
        self._held |= unit.locks
        self._show(key, pile)
        return unit

    def take_short(self, gpus: int, memory: float, warm: str | None, is_short: Callable[[int], bool]) -> Unit | None:
        """Take what :meth:`take` would for a worker without locks, if it needs none and its first test is short."""
        pile, key = self._best(gpus, memory, _NONE)
        if pile is None or pile.locks or not is_short(pile.peek(warm).tests[0]):
            return None
        unit = pile.pop(warm)
        self._forget(unit, pile)
        self._show(key, pile)
        return unit

    def release(self, locks: frozenset[str]) -> None:
        """The tests that held these locks have ended."""
        self._held -= locks
        for lock in locks:
            for gpus, memory, pile in self._by_lock.get(lock, ()):
                self._show((gpus, memory), pile)

    def floors(self) -> set[tuple[int, int]]:
        """Return the (size, memory) of units that may run now, memory being what each device must have at least."""
        serial = self.serial_due()
        return {*self._floors} if serial is None else {(serial.gpus, serial.memory)}

    def wants(self, test: Test) -> tuple[int, int]:
        """Return how many devices the worker for a test has, and how much memory each of them at least."""
        return self._possible(test.gpus, test.memory)

    def shrink(self, possible: Possible) -> None:
        """The pool has lost devices: what can no longer have its own runs on other workers, where it says so."""
        piled = [unit for pile in self._piles.values() for unit in pile.units()]
        later = [unit for units in self._later.values() for unit in units]
        serial = [unit for *_, unit in self._serial]
        self._possible = possible
        self._clear()
        self.add(sorted(index for unit in (*piled, *later, *serial) for index in unit.tests))

    def _clear(self) -> None:
        self._piles.clear()
        self._heads.clear()
        self._by_lock.clear()
        self._serial.clear()
        self._later.clear()
        self._floors.clear()
        self._floored.clear()
        self.loads.clear()
        self.priorities.clear()
        self.waiting.clear()

    def _push(self, unit: Unit) -> None:
        if unit.serial:
            self._count(unit, 1)
            heapq.heappush(self._serial, (unit.rank, unit.tests[0], unit))
            return
        key = (unit.gpus, unit.memory, unit.locks)
        pile = self._piles.get(key)
        if pile is None:
            pile = self._piles[key] = Pile(unit.locks)
            for lock in unit.locks:
                self._by_lock.setdefault(lock, []).append((unit.gpus, unit.memory, pile))
        # Of tests that share a lock one worker at a time can run one.
        self._count(unit, int(not (unit.locks and pile.size)))
        pile.push(unit)
        self._load(unit)
        self._floors[key[:2]] += 1
        if pile.head() == (unit.rank, unit.tests[0]):
            self._show(key[:2], pile)

    def _forget(self, unit: Unit, pile: Pile) -> None:
        self._count(unit, -int(not (unit.locks and pile.size)))
        self._unload(unit)
        self._unwant(unit)

    def _unwant(self, unit: Unit) -> None:
        key = unit.gpus, unit.memory
        self._floors[key] -= 1
        if not self._floors[key]:
            del self._floors[key]

    def _load(self, unit: Unit) -> None:
        if unit.priority not in self.loads:
            self.loads[unit.priority] = {}
            bisect.insort(self.priorities, unit.priority)
        self.loads[unit.priority].setdefault(unit.gpus, Load()).add(unit.seconds)

    def _unload(self, unit: Unit) -> None:
        sizes = self.loads[unit.priority]
        sizes[unit.gpus].remove(unit.seconds)
        if not sizes[unit.gpus].count:
            del sizes[unit.gpus]
        if not sizes:
            del self.loads[unit.priority]
            self.priorities.remove(unit.priority)

    def _show(self, key: tuple[int, int], pile: Pile) -> None:
        """Put a pile's best unit among the heads, where it may run. What is stale there is dropped when it is met."""
        if pile.size and not pile.locks & self._held:
            self._pushed += 1
            heapq.heappush(self._heads.setdefault(key, []), (*pile.head(), self._pushed, pile))

    def _best(self, gpus: int, memory: float, own: frozenset[str]) -> tuple[Pile | None, tuple[int, int]]:
        best: tuple[Rank, int] | None = None
        found: Pile | None = None
        where = (gpus, 0)
        for key, heads in self._heads.items():
            if key[0] != gpus or key[1] > memory:
                continue
            while heads and not self._is_current(heads[0]):
                heapq.heappop(heads)
            if heads and (best is None or heads[0][:2] < best):
                best, found, where = heads[0][:2], heads[0][3], key
        for lock in own:
            for size, floor, pile in self._by_lock.get(lock, ()):
                fits = size == gpus and floor <= memory and pile.size and not (pile.locks - own) & self._held
                if fits and (best is None or pile.head() < best):
                    best, found, where = pile.head(), pile, (size, floor)
        return found, where

    def _is_current(self, entry: tuple[Rank, int, int, Pile]) -> bool:
        pile = entry[3]
        return bool(pile.size) and not pile.locks & self._held and pile.head() == entry[:2]

    def _units(self, tests: Iterable[int]) -> list[Unit]:
        """Split tests into what must stay together: each group's tests of one kind, and each test without one."""
        kinds: dict[Hashable, list[Test]] = {}
        for test in map(self._tests.__getitem__, tests):
            kinds.setdefault(kind_of(test), []).append(test)
        return [
            unit_of(
                together,
                self._possible,
                longest_first=self._longest_first,
                largest_group_first=self._largest_group_first,
            )
            for together in kinds.values()
        ]


def _as_asked(gpus: int, memory: int) -> tuple[int, int]:
    return gpus, memory
