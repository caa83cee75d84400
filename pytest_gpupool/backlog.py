"""The backlog: tests that wait, in the order in which they should start.

Pure: standard library only, no clock, no files. What must stay together is a unit: a group's tests of one stage and
size, or a test alone. Units that ask for the same (devices, memory, locks) lie in one pile, so that taking the best
one that may run now costs the logarithm of their number, however many others wait for a lock.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

Rank = tuple[int, int, float]

Possible = Callable[[int, int], tuple[int, int]]
"""What the pool can give a test that asks for so many devices of so much memory each; see :func:`asks.possible`."""

SAME_LENGTH = math.log(1.05)
"""Durations within 5 % are equal choices, among which shared fixtures decide."""

SHORTEST = 0.01
"""So are all below this, in seconds."""

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One collected test.

    ``family`` is its function; tests of one ``group`` run on one worker, in order. ``gpus`` and ``memory`` say on
    which workers it may run (devices, bytes of each); ``seconds`` is what it takes by earlier runs, None where that is
    not known. Workers prefer tests with the ``warm`` of their last one: those share its set-up fixtures.
    """

    __test__ = False  # the name would make pytest collect it

    index: int
    family: str
    group: str | None = None
    priority: int = 0
    gpus: int = 1
    memory: int = 0
    stage: int = 0
    serial: bool = False
    locks: frozenset[str] = frozenset()
    seconds: float | None = None
    warm: str | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """Tests that one worker runs in order, and what it needs for them. ``locks`` are held for all of them."""

    tests: tuple[int, ...]
    rank: Rank
    priority: int
    gpus: int
    memory: int
    locks: frozenset[str]
    stage: int
    serial: bool
    seconds: float | None
    warm: str | None


@dataclass(slots=True)
class Load:
    """What waits of one priority and size: how many units, and the seconds of those that are known."""

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


class _Pile:
    """Units that ask for the same; best first, among equals those that suit the worker's fixtures."""

    def __init__(self, locks: frozenset[str]) -> None:
        self.locks = locks
        self.size = 0
        self._ranks: list[Rank] = []
        self._buckets: dict[Rank, dict[str | None, list[tuple[int, Unit]]]] = {}

    def push(self, unit: Unit) -> None:
        self.size += 1
        bucket = self._buckets.get(unit.rank)
        if bucket is None:
            bucket = self._buckets[unit.rank] = {}
            heapq.heappush(self._ranks, unit.rank)
        heapq.heappush(bucket.setdefault(unit.warm, []), (unit.tests[0], unit))

    def head(self) -> tuple[Rank, int]:
        rank = self._ranks[0]
        return rank, next(iter(self._buckets[rank].values()))[0][0]

    def peek(self, warm: str | None) -> Unit:
        bucket = self._buckets[self._ranks[0]]
        return bucket[warm if warm in bucket else next(iter(bucket))][0][1]

    def pop(self, warm: str | None) -> Unit:
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
        return [unit for bucket in self._buckets.values() for of in bucket.values() for _, unit in of]


class Backlog:
    """Tests that wait. Units of higher stages than ``stage`` are kept apart until :meth:`advance`."""

    def __init__(
        self, tests: Mapping[int, Test], *, longest_first: bool = True, largest_group_first: bool = True
    ) -> None:
        self._tests = tests
        self._longest_first = longest_first
        self._largest_group_first = largest_group_first
        self._piles: dict[tuple[int, int, frozenset[str]], _Pile] = {}
        self._heads: dict[tuple[int, int], list[tuple[Rank, int, int, _Pile]]] = {}
        self._by_lock: dict[str, list[tuple[int, int, _Pile]]] = {}
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
            pile = self._piles[key] = _Pile(unit.locks)
            for lock in unit.locks:
                self._by_lock.setdefault(lock, []).append((unit.gpus, unit.memory, pile))
        # Of tests that share a lock one worker at a time can run one.
        self._count(unit, int(not (unit.locks and pile.size)))
        pile.push(unit)
        self._load(unit)
        self._floors[key[:2]] += 1
        if pile.head() == (unit.rank, unit.tests[0]):
            self._show(key[:2], pile)

    def _forget(self, unit: Unit, pile: _Pile) -> None:
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

    def _show(self, key: tuple[int, int], pile: _Pile) -> None:
        """Put a pile's best unit among the heads, where it may run. What is stale there is dropped when it is met."""
        if pile.size and not pile.locks & self._held:
            self._pushed += 1
            heapq.heappush(self._heads.setdefault(key, []), (*pile.head(), self._pushed, pile))

    def _best(self, gpus: int, memory: float, own: frozenset[str]) -> tuple[_Pile | None, tuple[int, int]]:
        best: tuple[Rank, int] | None = None
        found: _Pile | None = None
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

    def _is_current(self, entry: tuple[Rank, int, int, _Pile]) -> bool:
        pile = entry[3]
        return bool(pile.size) and not pile.locks & self._held and pile.head() == entry[:2]

    def _units(self, tests: Iterable[int]) -> list[Unit]:
        """Split tests into what must stay together: each group's tests of one kind, and each test without one."""
        kinds: dict[Hashable, list[Test]] = {}
        for test in map(self._tests.__getitem__, tests):
            kinds.setdefault(kind_of(test), []).append(test)
        return [self._unit(together) for together in kinds.values()]

    def _unit(self, tests: list[Test]) -> Unit:
        first = tests[0]
        known = [test.seconds for test in tests if test.seconds is not None]
        seconds = sum(known) if len(known) == len(tests) else None
        priority = max(test.priority for test in tests)
        if self._longest_first and seconds is not None:
            length = (1, -float(round(math.log(max(seconds, SHORTEST)) / SAME_LENGTH)))
        else:
            # As xdist orders groups: a large one that starts last decides the makespan.
            grouped = self._largest_group_first and first.group is not None
            length = (0, -float(len(tests)) if grouped else 0.0)
        wants = [self.wants(test) for test in tests]
        return Unit(
            tests=tuple(test.index for test in tests),
            rank=(-priority, *length),
            priority=priority,
            gpus=wants[0][0],
            memory=max(memory for _, memory in wants),
            locks=first.locks if len(tests) == 1 else _NONE.union(*(test.locks for test in tests)),
            stage=first.stage,
            serial=first.serial,
            seconds=seconds,
            warm=first.warm if self._longest_first else None,
        )


def _as_asked(gpus: int, memory: int) -> tuple[int, int]:
    return gpus, memory


def kind_of(test: Test) -> Hashable:
    """Return what tests have in common that must stay together."""
    return test.index if test.group is None else (test.group, test.stage, test.gpus, test.serial)
