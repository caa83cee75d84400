"""The planner: which worker runs which test next, and which workers there should be.

Pure: standard library only, no clock, no files. Events go in, decisions come out; xdist's side carries them out.
Tests and workers are known by numbers and names alone.

A worker has the test that it runs, and at the very most the one after it. That next test is chosen late, when the
worker is about to finish, so that a long test never has another one waiting behind it. Tests that are known to be very
short are the exception: a few of them are queued ahead, so that asking does not cost more than testing; where one of
them turns out long after all, what is queued behind it is stolen back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from .backlog.costs import Costs
from .backlog.queue import Queue
from .decisions import Decision
from .dispatch.budget import Budget
from .dispatch.differences import Differences
from .dispatch.dispatcher import Dispatcher
from .dispatch.idle_times import IdleTimes
from .dispatch.orphans import Orphans
from .dispatch.pace import Pace
from .dispatch.reruns import Reruns
from .dispatch.serial import SerialTurn
from .dispatch.stealing import Stealing
from .progress import Progress
from .staffing import Staffing
from .tests import Possible, Test, kind_of
from .workers import Worker, Workers, set_up_after


class Planner:
    """The state of one run's plan.

    ``capacity`` is how many devices, or slots of them, workers may hold together, ``asked`` how many workers the user
    asked for, ``costs`` what earlier runs say of wide fixtures, by their keys, which count where the plan
    ``minds_set_ups``; no test starts that is expected to end after ``deadline``, on the clock of :meth:`at`; devices
    ``are_shared`` where several workers may use one. A worker is given by its name, a test by its number; every event
    is told once, in the order in which things happened, and the decisions that it returns must be carried out in their
    order.
    """

    def __init__(
        self,
        tests: Sequence[Test],
        *,
        capacity: int = 0,
        asked: int = 0,
        longest_first: bool = True,
        largest_group_first: bool = True,
        costs: Mapping[str, float | None] | None = None,
        minds_set_ups: bool = True,
        deadline: float | None = None,
        are_shared: bool = False,
    ) -> None:
        self._tests = {test.index: test for test in tests}
        self._queue = Queue(
            self._tests,
            longest_first=longest_first,
            largest_group_first=largest_group_first,
            costs=Costs(costs),
            minds_set_ups=minds_set_ups,
        )
        self._queue.add(self._tests)
        self._progress = Progress(self._tests, self._queue)
        self._workers = Workers(capacity)
        self._staffing = Staffing(self._queue, self._workers, requested=asked)
        self._pace = Pace(self._tests)
        self._reruns = Reruns(self._tests, self._queue, self._workers, are_shared=are_shared)
        self._serial = SerialTurn(self._tests, self._queue, self._workers, self._reruns)
        self._stealing = Stealing(self._tests, self._queue)
        self._orphans = Orphans(self._tests, self._queue, self._workers, self._reruns, self._progress)
        self._differences = Differences(self._tests, self._queue)
        self._budget = Budget(deadline, self._tests, self._queue, self._workers, self._reruns, self._progress)
        self._idle_times = IdleTimes(self._workers, self._queue, self._serial)
        self._news = 0  # about what set-ups cost
        self._dispatcher = Dispatcher(
            self._queue,
            self._workers,
            self._staffing,
            pace=self._pace,
            reruns=self._reruns,
            serial=self._serial,
            stealing=self._stealing,
            orphans=self._orphans,
        )

    @property
    def finished(self) -> bool:
        """Whether every test has ended or was given up."""
        return self._progress.finished

    @property
    def given_up(self) -> Sequence[int]:
        """The tests that do not start, because they would not end before the deadline."""
        return self._budget.given_up

    @property
    def in_vain(self) -> Sequence[int]:
        """The tests that do not run again, because nobody has come who has other devices than failed under them."""
        return self._orphans.in_vain

    @property
    def leaves_tests_alone(self) -> bool:
        """Whether tests wait for those who have set up what they need, while others have none: time may change that."""
        return bool(self._workers.idle) and self._queue.families.some_wait

    def has(self, worker: str) -> bool:
        """Return whether a worker was started and has not ended."""
        return worker in self._workers

    def assigned(self, worker: str) -> tuple[int, ...]:
        """Return the tests that a worker was given: the running one, then those that it runs next."""
        return tuple(self._workers[worker].assigned)

    def at(self, now: float) -> None:
        """It is that late, in seconds since any moment, when the next event happens."""
        self._idle_times.at(now)
        self._workers.now = now
        self._budget.expire()

    def idle_times(self, worker: str) -> Mapping[str, float]:
        """Return for how many seconds a worker, present or gone, had no test, by what it waited for."""
        return self._idle_times.of(worker)

    def started(self, worker: str, gpus: int = 1, memory: int = 0, *, is_alone: bool = False) -> None:
        """A worker was started that will hold so many devices: at first, by Start, or in a dead one's place."""
        self._workers.started(worker, gpus, memory, is_alone=is_alone)
        self._workers[worker].is_last_hope = self._workers.nobody_has(gpus, self._queue.usable.lacked())

    def leased(self, worker: str) -> None:
        """A worker has its devices; until then it is not worth waiting for."""
        self._workers[worker].leased = True

    def is_barred(self, worker: str) -> list[Decision]:
        """A worker that is not here yet was given devices that nobody can use: it waits, and keeps them from others."""
        self._workers[worker].is_barred = True
        return self._dispatcher.replan()

    def collects(self, worker: str, *, is_so: bool = True) -> None:
        """A worker collects, or is about to: what it finds may be news, and so it is not let go for want of tests."""
        self._workers[worker].collects = is_so

    def collected(self, collection: int, lacks: Iterable[int], more: Sequence[Test]) -> None:
        """The collection of a worker that is about to join differs: what it ``lacks``, and what is new in it.

        The first collection, 0, are the tests that the planner was made with; each has its number.
        """
        self._differences.add(collection, lacks, more)
        self._progress.add(more)
        self._budget.has_more()

    def joined(
        self, worker: str, devices: Iterable[str] = (), memory: float = math.inf, collection: int = 0
    ) -> list[Decision]:
        """A worker is ready for its first test, with these devices of at least so much memory, and a collection."""
        joined = self._workers.joined(worker, devices, memory, collection)
        if joined.retired:
            return []
        self._workers.rests(joined)
        self._reruns.has_come(joined)
        self._orphans.has_joined(joined)
        return self._dispatcher.replan()

    def asks(self, worker: str) -> list[Decision]:
        """A worker is about to end its test and wants the next one, or has ended it and has none.

        A question that crossed with its answer changes nothing.
        """
        asking = self._workers[worker]
        if asking.retired or asking.resting:
            return []  # it was told
        asking.wants_next = True
        if len(asking.assigned) > 1:
            return []
        if self._budget.has_expired():
            return [*self._dispatcher.feed(asking), *self._dispatcher.replan()]
        decisions = self._dispatcher.feed(asking)
        # One that asks when its test has ended may be the last that had something to do: others' tests are orphans now.
        return decisions or ([] if asking.is_busy else self._dispatcher.replan())

    def ended(
        self,
        worker: str,
        index: int,
        seconds: float,
        built: Mapping[str, float] | None = None,
        *,
        is_over: bool = True,
    ) -> list[Decision]:
        """A worker has ended a test, which took it that long, without what it ``built`` of wide fixtures, by key.

        Where that ``is_over`` is not true, :meth:`again` or :meth:`settled` is to be called for it.
        """
        by = self._workers[worker]
        self._learn(by, self._tests[index], built)
        by.assigned.remove(index)
        by.begun.discard(index)
        by.wants_next = False
        # Only of those in a family does anybody ask; others may have many short tests ahead.
        by.free_at = self._workers.now + (sum(map(self._pace.guess, by.tests)) if by.family else 0.0)
        self._pace.ended(index, seconds)
        self._workers.mean = self._pace.mean
        self._stealing.note(by)
        frees = self._release(by, index)
        frees |= self._budget.has_expired()
        frees |= self._serial.ends(by)
        if is_over:
            frees |= self._progress.over(index)
        else:
            self._reruns.crashed(index)
        if by.resting:
            self._workers.rests(by)
        dispatcher = self._dispatcher
        return [*dispatcher.top_up(by), *(dispatcher.replan() if frees or by.resting else dispatcher.wake())]

    def stolen(self, worker: str, tests: Iterable[int]) -> list[Decision]:
        """A worker gave assigned tests back, as Steal requested, or fewer because it had begun them."""
        requested = self._stealing.answered(worker)
        if requested is None:
            return []  # it was lost since, and its tests with it
        victim = self._workers[worker]
        self._take_back(victim, tests)
        victim.begun.update(index for index in requested if index in victim.assigned)
        # It may have asked just before, when it seemed to have a next test: nothing else would answer it.
        if victim.wants_next and len(victim.assigned) < 2 and not (victim.resting or victim.retired):
            self._stealing.thieves[worker] = None
        return self._go_on()

    def has_not_answered(self, worker: str) -> list[Decision]:
        """A worker has not answered a Steal for so long that nobody is to wait for it; :meth:`stolen` may come yet."""
        return self._go_on() if self._stealing.has_not_answered(worker) else []

    def looks_again(self) -> list[Decision]:
        """Time has passed: workers that others were better off without may be of use by now, or it is too late."""
        return self._go_on()

    def poisoned(self, worker: str, given: Iterable[int]) -> list[Decision]:
        """A worker runs no more tests once the present one has ended; it gives its other tests back.

        What was on the way to it when it said so comes back too, the rest of a group whose test it runs when it ends.
        """
        poisoned = self._workers[worker]
        self._stealing.owes_nothing(poisoned)
        tests = poisoned.tests
        running = tests[:1] if poisoned.assigned and tests[0] not in set(given) else ()
        others = tests[len(running) :]
        kinds = {kind_of(self._tests[index]) for index in running}
        poisoned.reserved = deque(index for index in others if kind_of(self._tests[index]) in kinds)
        poisoned.assigned = deque(index for index in tests if index not in poisoned.reserved)
        self._take_back(poisoned, others)
        self._serial.ends(poisoned)
        self._dispatcher.let_go(poisoned)
        return self._dispatcher.replan()

    def lost(
        self,
        worker: str,
        blamed: int | None,
        over: Collection[int] = (),
        *,
        replaced: bool = False,
        room: int | None = None,
        is_ending: bool = False,
    ) -> list[Decision]:
        """A worker ended or died. ``blamed`` is the test that it ran; the others that it had wait again.

        ``over`` are those of them whose results had come before the word that they ended. The blamed test is given up
        when :meth:`settled` is called for it, unless :meth:`again` was before. ``replaced`` says that another worker of
        that size is started without our saying, ``room`` is what others may hold from now on, where that is less, and
        ``is_ending`` says that its process lives, until :meth:`exited`.
        """
        if is_ending:
            self._serial.is_ending(worker)
        if room is not None:
            self._workers.capacity = room
        gone = self._workers[worker]
        self._workers.ended(gone, replaced=replaced)
        self._stealing.leaves(gone)
        self._stealing.owes_nothing(gone)
        self._serial.leaves(gone)
        self._queue.release(gone.locks)
        self._queue.families.leaves(gone)
        self._wait_again(index for index in gone.tests if index != blamed and index not in over)
        for index in over:
            self._progress.over(index)
        if blamed is not None:
            self._reruns.crashed(blamed)
        return self._dispatcher.replan()

    def settled(self, index: int) -> list[Decision]:
        """A blamed test does not run again, unless that was said before."""
        if not self._reruns.gives_up(index):
            return []
        self._progress.over(index)
        return self._dispatcher.replan()

    def again(
        self, index: int, avoid: Iterable[str] = (), *, fresh: bool = False, exchanges: int = 0
    ) -> list[Decision]:
        """A test that had ended is to run once more, if possible not on these devices; if ``fresh``, see Reruns.

        With ``exchanges`` not at all on these: so many workers to which an engine gives them are exchanged for others.
        """
        self._progress.reopen(index)
        self._reruns.add(index, avoid, fresh=fresh, exchanges=exchanges)
        self._budget.has_more()
        return self._dispatcher.replan()

    def shrunk(self, capacity: int, possible: Possible, lost: Iterable[str]) -> list[Decision]:
        """The pool has lost devices: ``capacity`` is left, and ``possible`` says what a test can have of them."""
        self._workers.capacity, self._workers.lost_devices = capacity, frozenset(lost)
        self._queue.shrink(possible)
        return self._dispatcher.replan()

    def gives_way(self, capacity: int, *, to_others: bool) -> list[Decision]:
        """The run is to hold no more than so many devices: ``to_others``, until it is told that it may hold more."""
        self._workers.capacity, self._workers.gives_way = capacity, to_others
        return self._dispatcher.replan()

    def exited(self, worker: str) -> list[Decision]:
        """The process of a worker is gone of which :meth:`lost` had said that it was not."""
        return self._dispatcher.replan() if self._serial.has_exited(worker) else []

    def _go_on(self) -> list[Decision]:
        """Only what waits has changed, unless with the time a stage has begun."""
        return self._dispatcher.replan() if self._budget.has_expired() else self._dispatcher.wake()

    def _learn(self, worker: Worker, test: Test, built: Mapping[str, float] | None) -> None:
        """Take in what it took to set up what a test shares; what was not worth a record took next to nothing."""
        news = False
        for fixture in test.set_ups:
            if built is not None and fixture not in worker.was_set_up:
                news |= self._queue.costs.learn(fixture, built.get(fixture.key, 0.0))
        worker.was_set_up = set_up_after(worker.was_set_up, test)
        # Sorting anew takes time: at the first, second, fourth, eighth … surprise.
        self._news += news
        if news and self._news.bit_count() == 1:
            self._queue.sort_anew()

    def _release(self, worker: Worker, index: int) -> bool:
        """Release the locks that a test held as the last one of its unit; return whether there were any."""
        locks = worker.locks_held.pop(index, None)
        if locks:
            self._queue.release(locks - worker.locks)
        return bool(locks)

    def _wait_again(self, tests: Iterable[int]) -> None:
        """These were given to a worker, which has not begun them."""
        self._queue.add([index for index in tests if not self._reruns.takes_back(index)])
        self._budget.has_more()

    def _take_back(self, worker: Worker, tests: Iterable[int]) -> None:
        """Let those of these tests wait again that a worker was given."""
        back = [index for index in tests if index in worker.assigned]
        for index in back:
            worker.assigned.remove(index)
            self._release(worker, index)
        worker.set_up = worker.was_set_up
        self._queue.goes_to(worker, worker.tests)
        self._wait_again(back)
        self._stealing.note(worker)
