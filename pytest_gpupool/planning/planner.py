"""Planning: which worker runs which test next, and which workers there should be.

Pure: standard library only, no clock, no files. Events go in, decisions come out; ``scheduler`` carries them out.
Tests and workers are known by numbers and names alone.

A worker holds a queue: the test it runs, and at the very most the one after it. That next test is chosen late, when
the worker is about to finish, so that a long test never has another one waiting behind it. Tests that are known to be
very short are the exception: a few of them are queued ahead, so that asking does not cost more than testing; where one
of them turns out long after all, what is queued behind it is stolen back.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence

from .decisions import Assign, Decision, Rest, Retire
from .pace import Pace
from .queue import Backlog
from .staffing import Fleet, Worker
from .stealing import Stealing
from .tests import Possible, Test, Unit, kind_of

AHEAD_SECONDS = 0.2
"""How much expected work may be queued behind a worker's next test."""

AHEAD_TESTS = 64
"""How many tests may be queued behind it at most."""


class Planner:
    """The state of one run's plan. ``capacity`` and ``asked`` are the :class:`Fleet`'s."""

    def __init__(
        self,
        tests: Sequence[Test],
        *,
        capacity: int = 0,
        asked: int = 0,
        longest_first: bool = True,
        largest_group_first: bool = True,
    ) -> None:
        self._tests = {test.index: test for test in tests}
        self._pace = Pace()
        self._unfinished = set(self._tests)
        self._unsettled: set[int] = set()
        self._again: dict[int, frozenset[str]] = {}  # crashed tests that run again, and the devices to avoid
        self._stages = Counter(test.stage for test in tests)
        self._backlog = Backlog(self._tests, longest_first=longest_first, largest_group_first=largest_group_first)
        self._backlog.stage = min(self._stages, default=0)
        self._backlog.add(self._tests)
        self._fleet = Fleet(self._backlog, capacity=capacity, asked=asked)
        self._stealing = Stealing(self._tests, self._fits)
        self._hungry: dict[str, None] = {}  # workers that wait for what is stolen
        self._serial_on: str | None = None  # the worker that runs a test alone

    @property
    def finished(self) -> bool:
        """Whether every test has ended or was given up."""
        return not self._unfinished

    @property
    def has_pending(self) -> bool:
        """Whether a test waits for a worker."""
        waits = bool(self._backlog) or bool(self._again)
        return waits or any(worker.unit for worker in self._fleet.workers.values())

    def has(self, worker: str) -> bool:
        """Return whether a worker was started and has not ended."""
        return worker in self._fleet.workers

    def queue(self, worker: str) -> tuple[int, ...]:
        """Return the tests that a worker has: the running one, then what is queued behind it."""
        return tuple(self._fleet.workers[worker].queue)

    def started(self, worker: str, gpus: int = 1, memory: int = 0) -> None:
        """A worker was started that will hold so many devices: at first, by Start, or in a dead one's place."""
        self._fleet.started(worker, gpus, memory)

    def joined(self, worker: str, devices: Iterable[str] = (), memory: float = math.inf) -> list[Decision]:
        """A worker is ready for its first test, with these devices of at least so much memory."""
        state = self._fleet.joined(worker, devices, memory)
        if state.retired:
            return []
        self._fleet.rests(state)
        return self._settle_in()

    def asks(self, worker: str) -> list[Decision]:
        """A worker is about to end its test and wants to know the next.

        A question that crossed with its answer changes nothing.
        """
        state = self._fleet.workers[worker]
        if state.retired or state.resting:
            return []  # it was told
        state.asked = True
        return [] if len(state.queue) > 1 else self._feed(state)

    def ended(self, worker: str, index: int, seconds: float) -> list[Decision]:
        """A worker has ended a test, which took it that long."""
        state = self._fleet.workers[worker]
        state.queue.remove(index)
        state.begun.discard(index)
        state.asked = False
        self._pace.ended(self._tests[index], seconds)
        self._stealing.note(state)
        eased = self._release(state, index)
        eased |= self._ends_alone(state)
        eased |= self._is_over(index)
        if state.resting:
            self._fleet.rests(state)
        return [*self._top_up(state), *(self._settle_in() if eased or state.resting else self._wake())]

    def stolen(self, worker: str, tests: Iterable[int]) -> list[Decision]:
        """A worker gave queued tests back, or none because it had begun them."""
        asked_for = self._stealing.answered(worker)
        if asked_for is None:
            return []  # it was lost since, and its tests with it
        state = self._fleet.workers[worker]
        self._take_back(state, tests)
        state.begun.update(index for index in asked_for if index in state.queue)
        # It may have asked just before, when it seemed to have a next test: nothing else would answer it.
        if state.asked and len(state.queue) < 2 and not (state.resting or state.retired):
            self._hungry[worker] = None
        return self._wake()

    def poisoned(self, worker: str, given: Iterable[int]) -> list[Decision]:
        """A worker runs no more tests once the present one has ended; it gives its queue back.

        What was on the way to it when it said so comes back too, the rest of a group whose test it runs when it ends.
        """
        state = self._fleet.workers[worker]
        self._stealing.gives_all(state)
        held, left = set(given), [*state.queue, *state.unit]
        running = left[:1] if state.queue and left[0] not in held else []
        kinds = {kind_of(self._tests[index]) for index in running}
        state.unit = deque(index for index in left[len(running) :] if kind_of(self._tests[index]) in kinds)
        state.queue = deque([*running, *(index for index in left if index not in (*running, *state.unit))])
        self._take_back(state, [*state.queue][len(running) :])
        self._ends_alone(state)
        self._let_go(state)
        return self._settle_in()

    def lost(
        self, worker: str, blamed: int | None, over: Collection[int] = (), *, replaced: bool = False
    ) -> list[Decision]:
        """A worker ended or died. ``blamed`` is the test that it ran; the rest waits again.

        ``over`` are tests of its queue whose results had come before the word that they ended. The blamed test is over
        when :meth:`settled` is called for it, unless :meth:`again` was before. ``replaced`` says that another worker of
        that size is started without our saying.
        """
        state = self._fleet.workers[worker]
        self._fleet.ended(state, replaced=replaced)
        self._stealing.leaves(state)
        self._stealing.gives_all(state)
        self._hungry.pop(worker, None)
        if self._serial_on == worker:
            self._serial_on = None
        self._backlog.release(state.locks)
        gone = {*over} if blamed is None else {*over, blamed}
        self._backlog.add(index for index in (*state.queue, *state.unit) if index not in gone)
        for index in over:
            self._is_over(index)
        if blamed is not None:
            self._unsettled.add(blamed)
        return self._settle_in()

    def settled(self, index: int) -> list[Decision]:
        """A blamed test does not run again, unless that was said before."""
        if index not in self._unsettled:
            return []
        self._unsettled.discard(index)
        self._is_over(index)
        return self._settle_in()

    def again(self, index: int, avoid: Iterable[str] = ()) -> list[Decision]:
        """A test that had ended is to run once more, if possible not on these devices."""
        test = self._tests[index]
        if index not in self._unfinished:
            self._unfinished.add(index)
            self._stages[test.stage] += 1
        self._unsettled.discard(index)
        if test.locks or test.serial or test.stage > self._backlog.stage:
            self._backlog.add([index])
        elif (owner := self._owner_of(test)) is not None:
            owner.unit.appendleft(index)
        else:
            self._again[index] = frozenset(avoid)
        return self._settle_in()

    def shrunk(self, capacity: int, possible: Possible, lost: Iterable[str]) -> list[Decision]:
        """The pool has lost devices: ``capacity`` is left, and ``possible`` says what a test can have of them."""
        self._fleet.capacity, self._fleet.lost = capacity, frozenset(lost)
        self._backlog.shrink(possible)
        return self._settle_in()

    # What a worker gets

    def _feed(self, state: Worker) -> list[Decision]:
        """Give a worker its next test, and short ones ahead."""
        if state.retired:
            return []
        # What is gathered may have become wrong with every test that was taken since.
        changes = self._reform() if self._fleet.gathers else []
        if state.retired:
            return changes
        if self._fleet.is_surplus(state):
            return [*changes, self._let_go(state), *self._reform()]
        following = self._take(state)
        if following is None:
            return [*changes, *self._starve(state)]
        self._fleet.works(state)
        self._hungry.pop(state.name, None)
        if not state.queue:
            state.asked = False  # about a test that had ended; this one begins now
        state.queue.append(following)
        return [*changes, Assign(state.name, (following, *self._fill(state)))]

    def _take(self, state: Worker) -> int | None:
        if state.unit:
            return state.unit.popleft()
        if self._serial_on not in (None, state.name):
            return None
        if self._holds_its_turn:
            return None
        if (index := self._take_again(state)) is not None:
            return index
        if (serial := self._backlog.serial_due()) is not None:
            return self._take_serial(state, serial)
        unit = self._backlog.take(state.gpus, state.memory, state.warm, state.locks)
        return None if unit is None else _own(state, unit)

    @property
    def _holds_its_turn(self) -> bool:
        """Whether a test that ran alone crashed, and may run again before others."""
        return any(self._tests[index].serial for index in self._unsettled)

    def _take_serial(self, state: Worker, serial: Unit) -> int | None:
        """Take a test that runs alone, where nothing else runs or may run again."""
        others = (other for other in self._fleet.workers.values() if other is not state)
        if self._unsettled or self._again or any(other.queue or other.unit for other in others):
            return None
        if serial.gpus != state.gpus or serial.memory > state.memory:
            return None
        self._serial_on = state.name
        return _own(state, self._backlog.take_serial())

    def _take_again(self, state: Worker) -> int | None:
        for index, avoid in self._again.items():
            if self._fits(state, index) and not (state.devices & avoid and self._has_others(index, avoid)):
                del self._again[index]
                return index
        return None

    def _has_others(self, index: int, avoid: frozenset[str]) -> bool:
        """Return whether another worker fits a test, or will come, that does not hold these devices."""
        return bool(self._fleet.due[self._size(index)]) or any(
            self._fits(other, index) and not other.retired and not other.devices & avoid
            for other in self._fleet.workers.values()
        )

    def _fits(self, state: Worker, index: int) -> bool:
        gpus, memory = self._backlog.wants(self._tests[index])
        return gpus == state.gpus and memory <= state.memory

    def _size(self, index: int) -> int:
        return self._backlog.wants(self._tests[index])[0]

    def _top_up(self, state: Worker) -> list[Decision]:
        """Queue more short tests before a worker runs dry, in batches."""
        if state.retired or not state.queue or state.devices & self._fleet.lost:
            return []
        if len(state.queue) > AHEAD_TESTS // 2 or not (state.unit or self._backlog.waiting[state.gpus]):
            return []
        if self._seconds_ahead(state) > AHEAD_SECONDS / 2:
            return []
        tests = self._fill(state)
        return [Assign(state.name, tuple(tests))] if tests else []

    def _fill(self, state: Worker) -> list[int]:
        """Move short tests to the end of a queue while there is room, and return them."""
        begins = 1 if state.asked else 0  # the test that runs from now on, or next
        if any(self._expected(index) > AHEAD_SECONDS for index in list(state.queue)[begins : begins + 1]):
            return []
        added: list[int] = []
        room = AHEAD_SECONDS - self._seconds_ahead(state)
        while len(state.queue) <= AHEAD_TESTS:
            index = self._take_short(state, room if len(state.queue) > 1 else AHEAD_SECONDS)
            if index is None:
                break
            room -= self._expected(index) if len(state.queue) > 1 else 0.0
            state.queue.append(index)
            added.append(index)
        self._stealing.note(state)
        return added

    def _take_short(self, state: Worker, room: float) -> int | None:
        """Take a test to queue ahead; one that must run alone or without others may not be, nor a longer one."""
        if state.held or self._serial_on or self._again or self._holds_its_turn or self._backlog.serial_due():
            return None

        def is_short(index: int) -> bool:
            return self._expected(index) <= room

        if state.unit:
            return state.unit.popleft() if is_short(state.unit[0]) else None
        unit = self._backlog.take_short(state.gpus, state.memory, state.warm, is_short)
        return None if unit is None else _own(state, unit)

    def _seconds_ahead(self, state: Worker) -> float:
        """Return the expected duration of what is queued behind a worker's next test."""
        return sum(self._expected(index) for position, index in enumerate(state.queue) if position > 1)

    def _expected(self, index: int) -> float:
        return self._pace.expected(self._tests[index])

    def _starve(self, state: Worker) -> list[Decision]:
        """Nothing for this worker now: take from who has queued tests, else let it wait, else let it go."""
        question = self._stealing.ask(state)
        if question is not None or self._stealing.may_bring(state):
            if not state.resting:
                self._hungry[state.name] = None
            return [] if question is None else [question]
        self._hungry.pop(state.name, None)
        soon = Counter(map(self._size, (*self._again, *self._unsettled)))
        if not self._fleet.is_kept(state, soon[state.gpus]):
            return [self._let_go(state), *self._reform()]
        told = state.resting
        self._fleet.rests(state)
        if told:
            return []
        # Without a test it waits already, and its devices are there for others.
        return [Rest(state.name)] if state.queue else self._reform()

    # What changes

    def _settle_in(self) -> list[Decision]:
        """See which workers there should be, then give tests to who waits."""
        return [*self._reform(), *self._wake()]

    def _reform(self) -> list[Decision]:
        if self._serial_on is not None:
            return []
        return [*self._fleet.reform(self._wants(self._again), self._wants(self._unsettled))]

    def _wants(self, tests: Iterable[int]) -> list[tuple[int, int]]:
        """Return the devices, and the memory of each, that tests ask for."""
        return [self._backlog.wants(self._tests[index]) for index in tests]

    def _wake(self) -> list[Decision]:
        """Give tests to who waits, as far as there are any."""
        decisions = self._serve(self._hungry)
        for gpus in self._fleet.idle_sizes():
            decisions += self._serve(self._fleet.idle(gpus))
        return decisions

    def _serve(self, names: Collection[str]) -> list[Decision]:
        """Feed workers of which all wait for loot, or all for a test."""
        decisions: list[Decision] = []
        poor: dict[int, float] = {}  # by size, how much memory is not enough for any test
        for state in map(self._fleet.workers.__getitem__, list(names)):
            if state.memory <= poor.get(state.gpus, -1.0) and not self._again:
                continue
            decisions += self._feed(state)
            if state.name in names:  # it waits as before, and so would the next one
                poor[state.gpus] = max(poor.get(state.gpus, 0.0), state.memory)
        return decisions

    def _let_go(self, state: Worker) -> Retire:
        self._stealing.leaves(state)
        self._hungry.pop(state.name, None)
        return self._fleet.retire(state)

    def _release(self, state: Worker, index: int) -> bool:
        """Give back the locks that a test held as the last one of its unit; return whether there were any."""
        locks = state.held.pop(index, None)
        if locks:
            self._backlog.release(locks - state.locks)
        return bool(locks)

    def _is_over(self, index: int) -> bool:
        """Note that a test has ended; return whether the next stage begins with that."""
        if index not in self._unfinished:
            return False
        self._unfinished.discard(index)
        stage = self._tests[index].stage
        self._stages[stage] -= 1
        if self._stages[stage] or stage != self._backlog.stage or not self._unfinished:
            return False
        self._backlog.advance(min(stage for stage, count in self._stages.items() if count))
        return True

    def _ends_alone(self, state: Worker) -> bool:
        """Return whether a worker that was to run alone has no more test of that kind."""
        left = (*state.queue, *state.unit)
        if self._serial_on != state.name or any(self._tests[index].serial for index in left):
            return False
        self._serial_on = None
        return True

    def _take_back(self, state: Worker, tests: Iterable[int]) -> None:
        back = [index for index in tests if index in state.queue]
        for index in back:
            state.queue.remove(index)
            self._release(state, index)
        self._backlog.add(back)
        self._stealing.note(state)

    def _owner_of(self, test: Test) -> Worker | None:
        """Return the worker that has tests of the same group and kind, queued or still to come."""
        if test.group is None:
            return None
        for state in self._fleet.workers.values():
            mine = (*state.queue, *state.unit)
            fits = not state.retired and self._fits(state, test.index)
            if fits and any(kind_of(self._tests[index]) == kind_of(test) for index in mine):
                return state
        return None


def _own(state: Worker, unit: Unit) -> int:
    if unit.locks:
        state.held[unit.tests[-1]] = unit.locks
    state.warm = unit.warm
    state.unit.extend(unit.tests[1:])
    return unit.tests[0]
