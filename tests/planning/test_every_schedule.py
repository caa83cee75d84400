"""Whatever workers do, and whenever: every test runs once, and nobody waits for nothing."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from made_plans import LONG, at_most
from simulated_run import SimulatedRun
from simulated_workers import BLOCKS, DEVICES, PICK, SECONDS, Block

from pytest_gpupool.planning.dispatch.ahead import AHEAD_SECONDS
from pytest_gpupool.planning.tests import Test


def odd_collections(tests: list[Test], number: int, dice: Random) -> list[tuple[set[int], list[Test]]]:
    """What so many collections lack, and what they have besides."""
    found = []
    for _ in range(number):
        lacks = {test.index for test in tests if dice.random() < 0.3}
        found.append((lacks, [test for test in tests if dice.random() < 0.2]))
    return found


class Schedule(SimulatedRun, RuleBasedStateMachine):
    """A scheduler around the planner, with workers that do what they please, when they please."""

    # What may happen

    @initialize(
        blocks=BLOCKS,
        seconds=st.tuples(SECONDS, SECONDS, SECONDS),
        devices=DEVICES,
        longest=st.booleans(),
        odd=st.integers(-2, 2),
        seed=st.integers(0, 9999),
    )
    def collected(
        self,
        blocks: list[Block],
        seconds: tuple[float, ...],
        devices: list[int],
        longest: bool,
        odd: int,
        seed: int,
    ) -> None:
        """Workers have collected, not always the same; a test takes the time of its function, unless it is stuck."""
        times = dict(zip("abc", seconds, strict=True))
        each = [block for block in blocks if block.fits(devices) for _ in range(block.count)]
        tests = [
            Test(
                index=index,
                function=block.function,
                group=block.group if odd <= 0 else None,
                priority=block.priority,
                gpus=block.gpus,
                memory=block.memory if block.gpus else 0,
                stage=block.stage,
                serial=block.serial,
                locks=block.locks,
                seconds=times[block.function] if block.known else None,
                set_ups=block.set_ups,
            )
            for index, block in enumerate(each)
        ]
        self.begin(tests, times, devices, longest, odd_collections(tests, odd, Random(seed)), seed)
        for _ in devices:
            self.start(1, 0)

    @rule(pick=PICK)
    def joins(self, pick: int) -> None:
        """A worker has its lease and has collected."""
        if able := [worker for worker in self.workers.values() if self.can_join(worker)]:
            self.come_on(able[pick % len(able)])

    @rule(pick=PICK)
    def hears(self, pick: int) -> None:
        """The controller reads the next message of a worker."""
        if speakers := [worker for worker in self.workers.values() if worker.said]:
            self.hear(speakers[pick % len(speakers)])

    @rule(pick=PICK)
    def reads(self, pick: int) -> None:
        """A worker reads what it was told."""
        if readers := [worker for worker in self.workers.values() if worker.ready and worker.told]:
            readers[pick % len(readers)].read()

    @rule(pick=PICK, seconds=st.none() | SECONDS, look_first=st.booleans())
    def works(self, pick: int, seconds: float | None, look_first: bool) -> None:
        """A worker goes on; its test may be a surprise."""
        if busy := [worker for worker in self.workers.values() if worker.can_step()]:
            self.step(busy[pick % len(busy)], seconds, look_first=look_first)

    @rule(pick=PICK)
    def reports_its_call(self, pick: int) -> None:
        """Only the tear-down of a worker's test is left."""
        ready = [worker for worker in self.workers.values() if worker.running is not None and not worker.reported]
        if ready:
            ready[pick % len(ready)].report_call()

    @rule(steps=st.integers(1, 200), stuck=PICK)
    def time_passes(self, steps: int, stuck: int) -> None:
        """All workers go on, but one that is stuck in its test hears and speaks only."""
        name = self.stuck(stuck)
        for _ in range(steps):
            for worker in list(self.workers.values()):
                self.go_on(worker, stuck=worker.name == name)

    @rule(seed=st.integers(0, 9999), events=st.integers(1, 400), deaths=st.booleans(), stuck=PICK)
    def much_happens(self, seed: int, events: int, deaths: bool, stuck: int) -> None:
        """Workers come and go, work and speak at random, but one is stuck in its test."""
        dice, name = Random(seed), self.stuck(stuck)
        for _ in range(events):
            self.something_happens(dice, deaths, name)

    @rule(pick=PICK, keep=st.booleans(), fate=st.sampled_from(["again", "settled", "later"]), hung=st.booleans())
    def dies(self, pick: int, keep: bool, fate: str, hung: bool) -> None:
        """A worker dies or is killed; what it said is heard first, but perhaps an answer only later."""
        if self.workers:
            worker = list(self.workers.values())[pick % len(self.workers)]
            self.kill(worker, keep=keep, fate=fate, hung=hung)

    @rule(pick=PICK, fails=st.booleans())
    def is_poisoned(self, pick: int, fails: bool) -> None:
        """A worker finds that its device is of no use any more, or has run out of memory."""
        if able := [worker for worker in self.workers.values() if self.can_be_poisoned(worker)]:
            able[pick % len(able)].poison(fails=fails)

    @rule(pick=PICK)
    @precondition(lambda self: self.exchanges and not self.planner.finished)
    def is_given_what_nobody_can_use(self, pick: int) -> None:
        """An engine does not know it. Somebody is left who can work."""
        able = [worker for worker in self.workers.values() if not (worker.leased or worker.barred or worker.told)]
        if able and any(worker.ready and worker.name not in self.retired for worker in self.workers.values()):
            self.bar(able[pick % len(able)])

    @rule(pick=PICK)
    def a_device_is_lost(self, pick: int) -> None:
        """It is left to nobody; tests that were too large for the rest run on any worker then."""
        left = {device: memory for device, memory in self.devices.items() if device not in self.lost_devices}
        device = sorted(left)[pick % len(left)]
        del left[device]
        if left and all(self.can_run(test, left.values()) for test in self.tests):
            self.lost_devices.add(device)
            self.largest = len(left)
            self.carry_out(self.planner.shrunk(len(left), at_most(len(left)), sorted(self.lost_devices)))

    @rule(left=st.sampled_from([1e5, 3 * LONG, LONG, 3.5, AHEAD_SECONDS, 0.01, 0.0, -5.0]))
    def the_time_of_the_run_runs_out(self, left: float) -> None:
        """Tests that would take longer do not start."""
        self.time_goes_by(left)

    @rule()
    @precondition(lambda self: self.late)
    def a_late_answer_comes(self) -> None:
        """The worker that gave it is dead."""
        self.hear_late()

    @rule(again=st.booleans())
    @precondition(lambda self: self.blamed)
    def it_is_decided_about_a_crashed_test(self, again: bool) -> None:
        """Other plugins had their say."""
        self.decide(again=again)

    @rule(pick=PICK)
    @precondition(lambda self: self.crashed and not any(test.stage for test in self.tests))
    def a_crashed_test_is_wanted_again(self, pick: int) -> None:
        """Another plugin says so, late; where there are stages, that would be too late."""
        self.again(sorted(self.crashed)[pick % len(self.crashed)], frozenset())

    @rule()
    @precondition(lambda self: self.exiting)
    def a_process_is_gone(self) -> None:
        """The worker has said goodbye, or died, before."""
        self.exit_one()

    # What must hold

    @invariant()
    def no_test_is_in_two_queues(self) -> None:
        """Nor in one when it is over."""
        held = [index for name in self.workers for index in self.planner.assigned(name)]
        assert len(held) == len(set(held))
        assert not self.over & set(held)

    @invariant()
    def no_test_runs_twice(self) -> None:
        """Unless it was asked for again, or the word of its end was lost."""
        assert all(count <= 1 + self.agains[index] for index, count in self.begun.items())

    @invariant()
    def workers_have_no_more_devices_than_there_are(self) -> None:
        """Those that were let go make room for the next; where they die instead, xdist starts others unasked."""
        unasked = {name for name in self.unasked if not self.workers[name].ready}
        live = [worker for worker in self.workers.values() if worker.name not in self.retired | unasked]
        if not self.lost_devices:
            assert sum(worker.gpus for worker in live) <= len(self.devices)

    @invariant()
    def who_wants_a_test_gets_one_if_there_is_one(self) -> None:
        """It waits only for the answer to a question, or was told to wait for what cannot run now."""
        wanting = self.waits - self.retired
        idle = {name for name in wanting if not self.planner.assigned(name)}
        untold = wanting - self.resting - idle  # without a test a worker waits anyhow
        assert self.robbed or not untold, f"{untold} wait for nothing"
        for worker in map(self.workers.__getitem__, idle):
            free = [test for test in self.free() if not self.may_be_left_alone(test)]
            could = {test.index for test in free if self.may_run(worker, test)}
            assert not could, f"{worker} waits while {could} are free"

    @invariant()
    def no_room_is_left_unused(self) -> None:
        """A test that may run has a worker of its size, or one comes, or devices are gathered for a larger one."""
        live = [worker for worker in self.workers.values() if worker.name not in self.retired]
        room = self.largest - sum(worker.gpus for worker in live)
        if self.planner._staffing.gathers or self.lost_devices or not self.questions:
            return  # before the first worker is ready, the planner is not asked
        for test in self.free():
            able = [worker for worker in live if worker.gpus == test.gpus]
            if self.waits_for_all(test):
                continue
            if test.gpus <= room and not test.serial and self.may_run(None, test):
                assert able, f"nobody comes for {test}"

    @invariant()
    def one_question_at_a_time(self) -> None:
        """And not endlessly many."""
        assert len(self.robbed) <= 1
        assert self.steals <= 4 * (self.questions + self.losses + len(self.tests) + self.agains.total())

    @invariant()
    def the_planner_knows_when_all_is_over(self) -> None:
        """Each test has ended or has been blamed, and nobody wants that to run again."""
        assert self.planner.finished == (len(self.over) == len(self.tests))

    def teardown(self) -> None:
        """At the end, nothing more happens but that everybody goes on: every test is over then."""
        if not hasattr(self, "tests"):
            return
        for index, _ in self.blamed:
            self.settle(index)
        self.drain()
        left = [test for test in self.tests if test.index not in self.over]
        assert not left, f"nobody runs {left}: {self.workers}"
        assert self.planner.finished
        assert not self.workers


TestSchedule = Schedule.TestCase
TestSchedule.settings = settings(
    max_examples=2 * settings().max_examples,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes; add Phase.shrink to have it
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
