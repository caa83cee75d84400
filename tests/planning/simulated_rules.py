"""What must hold of each decision of a planner, by what workers were told and have said."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence

from simulated_workers import COSTS, DEAR, Worker

from pytest_gpupool.planning.decisions import Decision, Start
from pytest_gpupool.planning.dispatch.ahead import AHEAD_SECONDS, AHEAD_TESTS
from pytest_gpupool.planning.dispatch.pace import FAMILY_SEEN
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import SHORTEST, Family, Test

DEADLINE = 1e6
"""When the run's time is over, on the planner's clock, which stands still but where a rule says that time goes by."""

ROUNDING = 1e-6
"""Of what is left of that time."""


class State:
    """A run under way, as its workers know it, and which tests are free."""

    left = math.inf  # of the run's time
    too_late = 0  # how many tests were given up for want of it
    in_vain = 0  # how many for want of other devices

    def begin(
        self,
        tests: Sequence[Test],
        seconds: Mapping[str, float],
        devices: Sequence[int],
        longest: bool,
        odd: Sequence[tuple[set[int], list[Test]]] = (),
        seed: int = 0,
    ) -> None:
        """A worker has collected; ``seconds`` are what tests of each function take, unless they are stuck.

        Workers of ``odd`` collections lack some tests, and have others that nobody else has.
        """
        self.seed = seed
        self.begin_collections(len(tests), odd)
        self.exiting: list[str] = []  # workers that are gone, and whose processes are not
        self.seconds = {**seconds}
        self.devices = {f"d{number}": memory for number, memory in enumerate(devices)}
        self.tests = [*tests]
        self.largest = len(devices)
        self.longest = longest
        self.begin_planner(len(devices))
        self.workers: dict[str, Worker] = {}
        self.numbers = 0
        self.lost_devices: set[str] = set()
        self.retired: set[str] = set()
        self.waits: set[str] = set()  # workers that want a test and have got no answer
        self.unasked: set[str] = set()  # workers that xdist started in the place of dead ones
        self.resting: set[str] = set()  # those that were told to wait
        self.ending: set[str] = set()  # workers that are about to end their test and begin the next
        self.robbed: list[str] = []
        self.silent: set[str] = set()  # workers whose answer nobody waits for any more
        self.asked_for: dict[str, set[int]] = {}  # what the open question to a worker is about
        self.refused: dict[str, set[int]] = {}
        self.late: list[tuple[str, list[int]]] = []
        self.over: set[int] = set()
        self.given_up: set[int] = set()
        self.blamed: list[tuple[int, frozenset[str]]] = []  # neither settled nor wanted again
        self.crashed: set[int] = set()
        self.rerun: set[int] = set()  # wait to run again
        self.begun: Counter[int] = Counter()
        self.agains: Counter[int] = Counter()
        self.steals = self.questions = self.losses = 0
        self.owners: dict[Hashable, str] = {}
        self.group_locks: dict[Hashable, frozenset[str]] = {}  # what a group's worker holds for all its tests
        self.split: set[Hashable] = set()  # groups of which a test ran again, apart from the others
        self.functions: dict[str, list[float]] = {}

    def begin_planner(self, devices: int) -> None:
        self.fresh: set[int] = set()  # tests that wait to run again in a worker that has run nothing
        self.are_shared = self.seed % 3 == 0
        self.exchanges = 2 if self.seed % 2 else 0  # an engine chooses the devices of who comes
        self.avoid: dict[int, frozenset[str]] = {}  # what tests that wait to run again are not to have
        self.planner = Planner(
            self.tests,
            capacity=devices,
            asked=devices,
            longest_first=self.longest,
            costs=COSTS,
            are_shared=self.are_shared,
            deadline=DEADLINE,
        )

    def begin_collections(self, number: int, odd: Sequence[tuple[set[int], list[Test]]]) -> None:
        self.first = number
        self.lacks = [set[int](), *(lacks for lacks, _ in odd)]
        self.more = [list[Test](), *(more for _, more in odd)]
        self.found = {0}
        self.lacked_by: dict[int, set[int]] = defaultdict(set)

    def kind(self, test: Test) -> Hashable:
        return test.index if test.group is None else (test.group, test.stage, test.gpus, test.serial)

    def size(self, test: Test) -> int:
        return test.gpus if test.gpus <= self.largest else min(1, self.largest)

    def rank(self, test: Test) -> tuple[float, ...]:
        if test.seconds is None or not self.longest:
            return (-test.priority, 0, 0) if self.longest else (-test.priority, 0, 0, test.index)
        return (-test.priority, 1, -round(math.log(max(test.seconds, SHORTEST)) / math.log(1.05)))

    def family(self, test: Test) -> tuple[int, Family]:
        """Among which tests the longest goes first."""
        return test.priority, test.set_ups if self.longest else ()

    def may_be_left_alone(self, test: Test) -> bool:
        """Whether an idle worker may leave a test to those who have its dear set-up already."""
        return self.longest and DEAR in test.set_ups and any(DEAR in worker.family for worker in self.planner._workers)

    def locks_of(self, kind: Hashable) -> frozenset[str]:
        """What a worker must hold that is given a group's tests now."""
        left = (test for test in self.tests if self.kind(test) == kind and test.index not in self.over)
        return frozenset().union(*(test.locks for test in left))

    def free(self) -> list[Test]:
        """The tests without a group that no worker has."""
        held = {index for name in self.workers for index in self.planner.assigned(name)} | {at for at, _ in self.blamed}
        return [test for test in self.tests if test.index not in self.over | held and test.group is None]

    def waits_for_all(self, test: Test) -> bool:
        """Whether a test waits until nobody has anything to do."""
        return test.index in self.fresh and (self.are_shared or test.serial or bool(test.locks))

    def has(self, worker: Worker, index: int) -> bool:
        """Whether a worker has collected a test."""
        return worker.collection not in self.lacked_by[index]

    def is_orphan(self, test: Test) -> bool:
        """Whether nobody who is ready, goes on and has the devices has collected a test."""
        workers = [worker for name, worker in self.workers.items() if worker.ready and name not in self.retired]
        able = [worker for worker in workers if worker.gpus == self.size(test) and worker.memory >= test.memory]
        return not any(self.has(worker, test.index) for worker in able)

    def may_run(self, worker: Worker | None, test: Test) -> bool:
        """Whether nothing keeps a free test from running now, on this worker if one is given."""
        if worker is not None:
            if not self.has(worker, test.index):
                return False
            if worker.gpus != test.gpus or worker.memory < test.memory or worker.devices & self.lost_devices:
                return False
            if test.index in self.fresh or (self.agains[test.index] and worker.devices):
                return False  # perhaps it is to avoid these
        stage = min(test.stage for test in self.tests if test.index not in self.over)
        # The rest of a group belongs to its worker, and so do the locks of those that have ended.
        others = {at for each in self.planner._workers for at in each.tests}
        kinds = {self.kind(self.tests[index]) for index in others}
        held = [other for other in self.tests if self.kind(other) in kinds and other.index not in self.over]
        if test.stage > stage or any(other.locks & test.locks for other in held):
            return False
        if any(self.group_locks.get(kind, frozenset()) & test.locks for kind in kinds):
            return False
        if any(other.serial for other in held):
            return False
        return not any(other.serial and other.priority >= test.priority for other in self.tests)


class Rules(State):
    """What must hold of what happens."""

    def check_begun(self, worker: Worker, test: Test) -> None:
        self.begun[test.index] += 1
        self.rerun.discard(test.index)
        running = [
            self.tests[other.running]
            for other in self.workers.values()
            if other is not worker and other.running is not None
        ]
        # What not all workers have is for any of those that do.
        if test.index in self.fresh and not self.lacked_by[test.index]:
            assert worker.ran == 1, f"{worker.name} has run others before {test}"
            assert not (running and self.are_shared), f"{test} shares a device with {running}"
            assert worker.is_alone or not self.waits_for_all(test)
        self.fresh.discard(test.index)
        assert not running or not test.serial, f"{running} run beside {test}"
        assert not any(other.serial for other in running), f"{test} runs beside a serial test"
        assert not any(other.locks & test.locks for other in running), f"{running} hold a lock of {test}"
        # What is found later may be late for its stage.
        earlier = {other.index for other in self.tests[: self.first] if other.stage < test.stage}
        assert earlier <= self.over, f"{test} began before {earlier - self.over} had ended"
        if worker.gpus == test.gpus:
            assert worker.memory >= test.memory
        else:
            assert test.gpus > self.largest
            assert worker.gpus <= 1

    def check_assigned(self, name: str, tests: tuple[int, ...]) -> None:
        assert tests
        self.waits.discard(name)
        self.resting.discard(name)
        worker, queue = self.workers[name], self.planner.assigned(name)
        assert queue[len(queue) - len(tests) :] == tests
        for index in tests:
            assert self.has(worker, index), f"{name} has not collected {self.tests[index]}"
            avoid = self.avoid.pop(index, frozenset())
            assert not worker.devices & avoid, f"{self.tests[index]} failed there before"
            self.check_in_time(self.tests[index])
            if self.tests[index].serial and self.tests[index].group is None:
                self.check_alone(worker)
            kind = self.kind(self.tests[index])
            if self.tests[index].group is not None and kind not in self.split:
                if kind not in self.owners:
                    self.group_locks[kind] = self.locks_of(kind)
                assert self.owners.setdefault(kind, name) == name, "a group is on two workers"
        if not any(self.tests[index].group or self.agains[index] for index in tests):
            last = {self.family(self.tests[index]): self.rank(self.tests[index]) for index in tests}
            better = {
                test.index
                for test in self.free()
                if self.rank(test) < last.get(self.family(test), ()) and self.may_run(worker, test)
            }
            assert not better, f"{better} should come before {tests}"
        if ahead := [self.tests[index] for index in queue[2:]]:
            assert len(queue) - 1 <= AHEAD_TESTS
            expected = [self.expected(test) for test in ahead]
            assert sum(expected) <= AHEAD_SECONDS * (1 + 1e-9), "too much ahead"
            assert not any(test.locks or test.serial for test in ahead if test.group is None)

    def expected(self, test: Test) -> float:
        seen = self.functions.get(test.function, [])
        assert len(seen) >= FAMILY_SEEN or test.seconds is not None, "of a function that is not known"
        return max(sum(seen) / len(seen) if len(seen) >= FAMILY_SEEN else 0.0, test.seconds or 0.0)

    def check_steal(self, name: str, tests: tuple[int, ...]) -> None:
        self.steals += 1
        self.robbed.append(name)
        self.asked_for[name] = set(tests)
        assert tests
        assert set(tests) <= set(self.planner.assigned(name)[1:])
        assert not set(tests) & self.refused[name], "asked for what was refused"
        assert all(self.tests[index].group is None for index in tests)

    def check_alone(self, worker: Worker) -> None:
        """Nobody starts, collects, ends or works when a serial test is given to a worker."""
        others = [other for other in self.workers.values() if other is not worker]
        assert all(other.ready and other.name not in self.retired for other in others), f"{others} come or go"
        assert not self.exiting, f"{self.exiting} still end"

    def check_in_time(self, test: Test) -> None:
        """What is assigned ends before the run's time is over, as far as is known."""
        assert self.left > 0, f"{test} starts too late"
        assert (test.seconds or 0.0) <= self.left + ROUNDING, f"{test} ends too late"

    def check_too_late(self) -> None:
        """What is given up for want of time would take longer than is left, with all that can be set up for it."""
        for index in self.planner.given_up[self.too_late :]:
            test = self.tests[index]
            most = (test.seconds or 0.0) + 3 * self.planner._queue.costs.total(test.set_ups)
            assert self.left <= 0 or most > self.left - ROUNDING, f"{test} is given up with {self.left} s left"
            assert index not in self.over
            self.over.add(index)
            self.rerun.discard(index)
        self.too_late = len(self.planner.given_up)

    def check_in_vain(self) -> None:
        """What is given up for want of other devices runs again, and nobody is left that has any."""
        for index in self.planner.in_vain[self.in_vain :]:
            test, avoid = self.tests[index], self.avoid.pop(index, None)
            assert self.exchanges
            assert index in self.rerun
            others = [worker for worker in self.workers.values() if worker.name not in self.retired]
            fitting = [worker for worker in others if worker.gpus == test.gpus and self.has(worker, index)]
            able = [worker for worker in fitting if worker.memory >= test.memory and not worker.barred]
            assert avoid is None or all(worker.devices & avoid for worker in able), f"{able} could run {test}"
            self.over.add(index)
            self.crashed.add(index)
            self.rerun.discard(index)
        self.in_vain = len(self.planner.in_vain)

    def check_given_up(self) -> None:
        """What nobody has is given up, and nothing else."""
        unfinished = self.planner._progress._unfinished
        blamed = {index for index, _ in self.blamed}
        for test in self.tests:
            if test.index not in self.over | unfinished | blamed:
                assert self.lacked_by[test.index]
                assert self.is_orphan(test), f"{test} is given up"
                self.over.add(test.index)
                self.given_up.add(test.index)

    def check_kept(self) -> None:
        """No more workers wait for a test than there are tests that could come."""
        if self.silent or any(test.serial and test.index not in self.over for test in self.tests):
            return  # what they have may come, and nobody ends while a serial test runs
        idle = [self.workers[name].gpus for name in self.waits - self.retired if not self.planner.assigned(name)]
        held = {index for name in self.workers for index in self.planner.assigned(name)}
        left = Counter(self.size(test) for test in self.tests if test.index not in self.over | held)
        assert all(count <= left[gpus] for gpus, count in Counter(idle).items()), f"{idle} wait for {left}"

    def check_retired(self, worker: Worker, decisions: Sequence[Decision]) -> None:
        assert len(self.planner.assigned(worker.name)) <= 1
        makes_room = self.planner._staffing.gathers or any(isinstance(decision, Start) for decision in decisions)
        if makes_room or self.lost_devices or not worker.ready or worker.name in self.unasked:
            return
        free = [test for test in self.free() if not self.may_be_left_alone(test)]
        could = {test.index for test in free if self.may_run(worker, test)}
        assert not could, f"{worker.name} is let go while {could} are free"
        to_be_had = {
            index
            for other in self.workers.values()
            if other.gpus == worker.gpus and not other.poisoned
            for index in self.planner.assigned(other.name)[2 if other.name in self.ending else 1 :]
            if self.tests[index].group is None and index not in self.refused[other.name]
            if self.tests[index].memory <= worker.memory and self.has(worker, index)
        }
        assert not to_be_had, f"{worker.name} is let go while {to_be_had} wait behind a running test"
