"""Planning: which worker runs which test next.

Pure: standard library only, no clock, no files. Events go in, decisions come out; ``scheduler`` carries them out.
Tests and workers are known by numbers and names alone.

A worker holds a queue: the test it runs, and at the very most the one after it. That next test is chosen late, when
the worker is about to finish, so that a long test never has another one waiting behind it. Tests that this run has
shown to be very short are the exception: a few of them are queued ahead, so that asking does not cost more than
testing; where one of them turns out long after all, what is queued behind it is stolen back.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

AHEAD_SECONDS = 0.2
"""How much expected work may be queued behind a worker's next test."""

AHEAD_TESTS = 64
"""How many tests may be queued behind it at most."""

FAMILY_SEEN = 3
"""How many tests of a function must have ended before its other parameters are expected to take as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One collected test. ``family`` is its function; tests of one ``group`` run on one worker, in order."""

    __test__ = False  # the name would make pytest collect it

    index: int
    family: str
    group: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Assign:
    """Put tests at the end of a worker's queue."""

    worker: str
    tests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Steal:
    """Ask a worker for queued tests back; what it gives comes as :meth:`Planner.stolen`."""

    worker: str
    tests: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Retire:
    """Let a worker finish: nothing here needs it any more."""

    worker: str


Decision = Assign | Steal | Retire


@dataclass(slots=True)
class _Worker:
    queue: deque[int] = field(default_factory=deque)
    unit: deque[int] = field(default_factory=deque)  # the rest of the group that is its own
    begun: set[int] = field(default_factory=set)  # queued tests that it would not give back
    asked: bool = False  # its running test nears its end
    hungry: bool = False  # has nothing left to do and waits for stolen tests
    retired: bool = False


@dataclass(slots=True)
class _Family:
    ended: int = 0
    seconds: float = 0.0


class Planner:
    """The state of one run's plan."""

    def __init__(self, tests: Sequence[Test], *, largest_group_first: bool = True) -> None:
        self._largest_group_first = largest_group_first
        self._tests = {test.index: test for test in tests}
        self._families: dict[str, _Family] = {test.family: _Family() for test in tests}
        self._workers: dict[str, _Worker] = {}
        self._unfinished = set(self._tests)
        self._robbery: Steal | None = None  # to which the answer is due
        self._units: list[tuple[int, int, int, tuple[int, ...]]] = []
        for unit in _units(tests):
            self._push(unit)

    @property
    def finished(self) -> bool:
        """Whether every test has ended or was given up."""
        return not self._unfinished

    @property
    def has_pending(self) -> bool:
        """Whether a test waits for a worker."""
        return bool(self._units) or any(worker.unit for worker in self._workers.values())

    def queue(self, worker: str) -> tuple[int, ...]:
        """Return the tests that a worker has: the running one, then what is queued behind it."""
        return tuple(self._workers[worker].queue)

    def joined(self, worker: str) -> list[Decision]:
        """A worker is ready for its first test."""
        self._workers[worker] = _Worker()
        return self._feed(worker)

    def asks(self, worker: str) -> list[Decision]:
        """A worker is about to end its test and wants to know the next.

        A question that crossed with its answer changes nothing.
        """
        state = self._workers[worker]
        state.asked = True
        return [] if len(state.queue) > 1 else self._feed(worker)

    def ended(self, worker: str, index: int, seconds: float) -> list[Decision]:
        """A worker has ended a test, which took it that long."""
        state = self._workers[worker]
        state.queue.remove(index)
        state.begun.discard(index)
        state.asked = False
        self._unfinished.discard(index)
        family = self._families[self._tests[index].family]
        family.ended += 1
        family.seconds += seconds
        return self._top_up(worker)

    def stolen(self, worker: str, tests: Iterable[int]) -> list[Decision]:
        """A worker gave queued tests back, or none because it had begun them."""
        if self._robbery is None or self._robbery.worker != worker:
            return []  # it was lost since, and its tests with it
        asked_for, self._robbery = self._robbery.tests, None
        state = self._workers[worker]
        for index in tests:
            state.queue.remove(index)
            self._push((index,))
        state.begun.update(index for index in asked_for if index in state.queue)
        # It may have asked just before, when it seemed to have a next test: nothing else would answer it.
        state.hungry = state.hungry or (state.asked and len(state.queue) < 2)
        return self._feed_hungry()

    def lost(self, worker: str, blamed: int | None, over: Collection[int] = ()) -> list[Decision]:
        """A worker died. ``blamed`` is the test that it ran, which counts as ended; the rest waits again.

        ``over`` are tests of its queue whose results had come before the word that they ended.
        """
        state = self._workers.pop(worker)
        if self._robbery is not None and self._robbery.worker == worker:
            self._robbery = None
        gone = {*over} if blamed is None else {*over, blamed}
        self._unfinished -= gone
        rest = [index for index in (*state.queue, *state.unit) if index not in gone]
        for unit in _units([self._tests[index] for index in rest]):
            self._push(unit)
        return self._feed_hungry()

    def again(self, index: int) -> list[Decision]:
        """A test that had ended is to run once more."""
        self._unfinished.add(index)
        if (owner := self._owner_of(self._tests[index].group)) is not None:
            owner.unit.appendleft(index)
        else:
            self._push((index,))
        return self._feed_hungry()

    def _owner_of(self, group: str | None) -> _Worker | None:
        """Return the worker that has tests of this group, queued or still to come."""
        if group is None:
            return None
        for state in self._workers.values():
            mine = (*state.queue, *state.unit)
            if not state.retired and any(self._tests[index].group == group for index in mine):
                return state
        return None

    def _push(self, unit: tuple[int, ...]) -> None:
        priority = max(self._tests[index].priority for index in unit)
        # As xdist orders groups: a large one that starts last decides the makespan.
        grouped = self._largest_group_first and self._tests[unit[0]].group is not None
        size = len(unit) if grouped else 0
        heapq.heappush(self._units, (-priority, -size, unit[0], unit))

    def _feed(self, worker: str) -> list[Decision]:
        """Give a worker its next test, and short ones ahead."""
        state = self._workers[worker]
        if state.retired:
            return []
        following = self._take(state)
        if following is None:
            return self._starve(worker)
        state.hungry = False
        if not state.queue:
            state.asked = False  # about a test that had ended; this one begins now
        state.queue.append(following)
        return [Assign(worker, (following, *self._fill(state)))]

    def _top_up(self, worker: str) -> list[Decision]:
        """Queue more short tests before a worker runs dry, in batches."""
        state = self._workers[worker]
        if state.retired or not state.queue:
            return []
        if len(state.queue) > AHEAD_TESTS // 2 or self._seconds_ahead(state) > AHEAD_SECONDS / 2:
            return []
        tests = self._fill(state)
        return [Assign(worker, tuple(tests))] if tests else []

    def _fill(self, state: _Worker) -> list[int]:
        """Move short tests to the end of a queue while there is room, and return them."""
        added: list[int] = []
        room = AHEAD_SECONDS - self._seconds_ahead(state)
        while len(state.queue) <= AHEAD_TESTS and (index := self._peek(state)) is not None:
            expected = self._expected(index)
            if expected > (room if len(state.queue) > 1 else AHEAD_SECONDS):
                break
            room -= expected if len(state.queue) > 1 else 0.0
            self._take(state)
            state.queue.append(index)
            added.append(index)
        return added

    def _seconds_ahead(self, state: _Worker) -> float:
        """Return the expected duration of what is queued behind a worker's next test."""
        return sum(self._expected(index) for position, index in enumerate(state.queue) if position > 1)

    def _expected(self, index: int) -> float:
        """Return what a test's function has taken on average, infinity where too little is known.

        The mean, not the longest: one slow moment of the machine is no reason to ask after each test from then on, and
        a test that does turn out long is robbed of its queue.
        """
        family = self._families[self._tests[index].family]
        return family.seconds / family.ended if family.ended >= FAMILY_SEEN else math.inf

    def _take(self, state: _Worker) -> int | None:
        index = self._peek(state)
        if index is None:
            return None
        if not state.unit:
            state.unit.extend(heapq.heappop(self._units)[3])
        return state.unit.popleft()

    def _peek(self, state: _Worker) -> int | None:
        if state.unit:
            return state.unit[0]
        return self._units[0][3][0] if self._units else None

    def _starve(self, worker: str) -> list[Decision]:
        """Nothing waits: take from who has queued tests, else let the worker go."""
        state = self._workers[worker]
        if self._robbery is not None:
            state.hungry = True
            return []
        victim = max(self._workers, key=lambda name: len(self._stealable(name)), default=worker)
        loot = self._stealable(victim)
        if victim == worker or not loot:
            state.hungry, state.retired = False, True
            return [Retire(worker)]
        state.hungry = True
        self._robbery = Steal(victim, loot[len(loot) // 2 :])
        return [self._robbery]

    def _stealable(self, worker: str) -> tuple[int, ...]:
        """The tests behind the running one, or behind the next where that is about to begin, without a group."""
        state = self._workers[worker]
        behind = tuple(state.queue)[2 if state.asked else 1 :]
        return tuple(index for index in behind if index not in state.begun and self._tests[index].group is None)

    def _feed_hungry(self) -> list[Decision]:
        decisions: list[Decision] = []
        for name, state in self._workers.items():
            if state.hungry:
                decisions += self._feed(name)
        return decisions


def _units(tests: Iterable[Test]) -> list[tuple[int, ...]]:
    """Split tests into what must stay together: each group, and each test without one."""
    groups: dict[str | int, list[int]] = {}
    for test in tests:
        groups.setdefault(test.index if test.group is None else test.group, []).append(test.index)
    return [tuple(unit) for unit in groups.values()]


def group_of(nodeid: str, mode: str, marked: Mapping[str, str]) -> str | None:
    """Return the group of a test under xdist's ``--dist`` mode, None where it is free.

    ``marked`` has the names of ``xdist_group`` marks by nodeid.
    """
    if mode == "loadfile":
        return nodeid.split("::", 1)[0]
    if mode == "loadscope":
        return nodeid.rsplit("::", 1)[0]
    return marked.get(nodeid) if mode == "loadgroup" else None
