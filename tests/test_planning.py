"""The planner gives every test to one worker, late, in the right order, and leaves no worker idle while tests wait."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pytest_gpupool.planning import (
    AHEAD_SECONDS,
    AHEAD_TESTS,
    FAMILY_SEEN,
    Assign,
    Decision,
    Planner,
    Retire,
    Steal,
    Test,
    group_of,
)

SHORT = 0.001
LONG = 100.0


def several(count: int, family: str = "f", first: int = 0, group: str | None = None, priority: int = 0) -> list[Test]:
    """Tests of one function."""
    return [Test(index=index, family=family, group=group, priority=priority) for index in range(first, first + count)]


class TestOrder:
    """Which test is next."""

    def test_tests_start_in_the_order_of_collection(self) -> None:
        """Each worker has one."""
        planner = Planner(several(4))
        assert planner.joined("gw0") == [Assign("gw0", (0,))]
        assert planner.joined("gw1") == [Assign("gw1", (1,))]
        assert planner.asks("gw1") == [Assign("gw1", (2,))]
        assert planner.queue("gw1") == (1, 2)

    def test_higher_priority_goes_first(self) -> None:
        """Among equals the order of collection stands."""
        tests = [Test(index=index, family=str(index), priority=value) for index, value in enumerate([0, 5, -1, 5, 0])]
        assert order(Planner(tests)) == [1, 3, 0, 4, 2]

    def test_a_group_has_the_priority_of_its_most_urgent_test(self) -> None:
        """And runs in its own order."""
        tests = [*several(2, "a"), *several(2, "b", 2, "g"), *several(1, "b", 4, "g", priority=1)]
        assert order(Planner(tests)) == [2, 3, 4, 0, 1]

    def test_large_groups_go_first(self) -> None:
        """Before small ones and before free tests of the same priority."""
        tests = [*several(1), *several(1, first=1, group="one"), *several(3, first=2, group="three")]
        assert order(Planner(tests)) == [2, 3, 4, 1, 0]

    def test_large_groups_go_in_order_where_the_user_says_so(self) -> None:
        """xdist's ``--no-loadscope-reorder``."""
        tests = [*several(1), *several(1, first=1, group="one"), *several(3, first=2, group="three")]
        assert order(Planner(tests, largest_group_first=False)) == [0, 1, 2, 3, 4]

    def test_a_group_stays_with_its_worker(self) -> None:
        """Whoever asks meanwhile."""
        planner = Planner([*several(3, group="g"), *several(3, first=3)])
        assert planner.joined("gw0") == [Assign("gw0", (0,))]
        assert planner.joined("gw1") == [Assign("gw1", (3,))]
        assert planner.asks("gw1") == [Assign("gw1", (4,))]
        assert planner.asks("gw0") == [Assign("gw0", (1,))]

    def test_a_worker_that_comes_when_all_is_given_is_let_go(self) -> None:
        """There is nothing that it could have."""
        planner = Planner(several(3, group="g"))
        planner.joined("gw0")
        assert planner.joined("gw1") == [Retire("gw1")]
        assert (planner.has_pending, planner.finished) == (True, False)


class TestAhead:
    """What is queued behind a running test."""

    def test_the_next_test_is_chosen_late(self) -> None:
        """Not before the worker asks; a second question changes nothing."""
        planner = Planner(several(5))
        assert planner.joined("gw0") == [Assign("gw0", (0,))]
        assert planner.asks("gw0") == [Assign("gw0", (1,))]
        assert planner.asks("gw0") == []
        assert planner.ended("gw0", 0, SHORT) == []
        assert planner.queue("gw0") == (1,)

    def test_long_tests_are_never_queued_behind_one_another(self) -> None:
        """However many of the function have ended."""
        planner = Planner(several(20))
        planner.joined("gw0")
        for index in range(19):
            assert planner.asks("gw0") == [Assign("gw0", (index + 1,))]
            assert planner.ended("gw0", index, LONG) == []

    def test_short_tests_are_queued_ahead_once_the_function_is_known(self) -> None:
        """After FAMILY_SEEN of them have ended, AHEAD_TESTS at the most."""
        planner = Planner(several(100))
        planner.joined("gw0")
        for index in range(FAMILY_SEEN - 1):
            assert planner.asks("gw0") == [Assign("gw0", (index + 1,))]
            assert planner.ended("gw0", index, SHORT) == []
        planner.asks("gw0")
        (batch,) = planner.ended("gw0", FAMILY_SEEN - 1, SHORT)
        assert isinstance(batch, Assign)
        assert len(planner.queue("gw0")) == 1 + AHEAD_TESTS
        assert planner.asks("gw0") == []

    def test_they_come_in_batches(self) -> None:
        """Not one with every test that ends."""
        planner = Planner(several(200))
        planner.joined("gw0")
        for index in range(FAMILY_SEEN):
            planner.asks("gw0")
            planner.ended("gw0", index, SHORT)
        batches = [planner.ended("gw0", index, SHORT) for index in range(FAMILY_SEEN, 100)]
        assert sum(bool(batch) for batch in batches) < 10

    def test_another_function_is_not_known_by_the_first(self) -> None:
        """Its tests are not queued ahead, though they are next."""
        planner = Planner([*several(4, "seen"), *several(40, "unseen", 4)])
        run_alone(planner, range(3), SHORT)
        assert planner.queue("gw0") == (3,)
        assert planner.asks("gw0") == [Assign("gw0", (4,))]
        assert planner.ended("gw0", 3, SHORT) == []

    def test_one_long_test_makes_its_function_long(self) -> None:
        """Three short ones before it do not make up for it."""
        planner = Planner(several(100))
        run_alone(planner, range(2), SHORT)
        planner.asks("gw0")
        planner.ended("gw0", 2, LONG)
        run_alone(planner, range(3, 50), SHORT, join=False)
        assert planner.queue("gw0") == (50,)

    def test_what_is_expected_ahead_is_summed_over_functions(self) -> None:
        """A slower function's test behind the next one leaves less room for a faster one's."""
        slow, fast = AHEAD_SECONDS / 2, AHEAD_SECONDS / 31.25
        tests = [*several(3, "slow"), *several(3, "fast", 3), *several(3, "slow", 6), *several(40, "fast", 9)]
        planner = Planner(tests)
        run_alone(planner, range(3), slow)
        run_alone(planner, range(3, 6), fast, join=False)
        assert planner.queue("gw0")[:2] == (6, 7)
        ahead = planner.queue("gw0")[2:]
        assert sum(slow if index < 9 else fast for index in ahead) <= AHEAD_SECONDS

    def test_nothing_is_queued_behind_tests_that_have_become_long(self) -> None:
        """Tests of a short function wait for any worker rather than behind several of a long one."""
        last = 6 + AHEAD_TESTS
        tests = [
            *several(3, "short", priority=9),
            *several(last - 2, "surprise", 3),
            *several(2 * AHEAD_TESTS, "short", last + 1),
        ]
        planner = Planner(tests)
        run_alone(planner, range(6), SHORT)
        assert planner.queue("gw0") == tuple(range(6, last + 1))
        assert planner.ended("gw0", 6, LONG) == []
        for index in range(7, last - 2):
            assert planner.ended("gw0", index, SHORT) == []
        assert planner.queue("gw0") == (last - 2, last - 1, last)


class TestSteal:
    """Tests behind one that is long after all come back."""

    def stuck(self) -> Planner:
        """Worker gw0 runs a test of a short function that takes long, with others behind it; gw1 has run dry."""
        planner = Planner(several(FAMILY_SEEN + 9))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        assert planner.queue("gw0") == tuple(range(3, 12))
        return planner

    def test_the_queue_of_a_surprise_is_stolen(self) -> None:
        """An idle worker gets half of it."""
        planner = self.stuck()
        assert planner.joined("gw1") == [Steal("gw0", (8, 9, 10, 11))]
        assert planner.stolen("gw0", (8, 9, 10, 11)) == [Assign("gw1", (8, 9, 10, 11))]
        assert planner.queue("gw0") == (3, 4, 5, 6, 7)

    def test_all_of_it_is_stolen_in_the_end(self) -> None:
        """Idle workers come back until nothing waits behind the long test."""
        planner = self.stuck()
        decisions = planner.joined("gw1")
        ran: list[int] = []
        while not any(isinstance(decision, Retire) for decision in decisions):
            (decision,) = decisions
            assert isinstance(decision, Steal)
            planner.stolen("gw0", decision.tests)
            while len(queue := planner.queue("gw1")) > 1:
                ran.append(queue[0])
                planner.ended("gw1", queue[0], SHORT)
            decisions = planner.asks("gw1")
            ran.append(queue[0])
            planner.ended("gw1", queue[0], SHORT)
        assert sorted(ran) == list(range(4, 12))
        assert planner.queue("gw0") == (3,)

    def test_the_running_test_and_groups_are_never_asked_for(self) -> None:
        """A group belongs to its worker."""
        planner = Planner(several(FAMILY_SEEN + 9, group="g"))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        assert len(planner.queue("gw0")) == 9
        assert planner.joined("gw1") == [Retire("gw1")]

    def test_tests_that_are_not_given_back_are_not_asked_for_again(self) -> None:
        """The worker had begun them; the other worker waits no longer."""
        planner = Planner(several(FAMILY_SEEN + 2))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        assert planner.joined("gw1") == [Steal("gw0", (4,))]
        assert planner.stolen("gw0", ()) == [Retire("gw1")]

    def test_a_test_that_is_about_to_begin_stays(self) -> None:
        """Its worker has asked for it, and is about to end the one before."""
        planner = Planner(several(2))
        planner.joined("gw0")
        planner.asks("gw0")
        assert planner.joined("gw1") == [Retire("gw1")]

    def test_a_worker_that_asked_with_nothing_to_do_is_not_about_to_end_its_test(self) -> None:
        """What is behind the test that it then began comes back."""
        planner = Planner(several(FAMILY_SEEN + 2))
        planner.joined("gw0")
        for index in range(FAMILY_SEEN):
            planner.ended("gw0", index, SHORT)
            planner.asks("gw0")
        assert planner.queue("gw0") == (3, 4)
        assert planner.joined("gw1") == [Steal("gw0", (4,))]

    def test_a_part_is_given_back(self) -> None:
        """What comes is used, the rest stays."""
        planner = self.stuck()
        planner.joined("gw1")
        assert planner.stolen("gw0", (10, 11)) == [Assign("gw1", (10, 11))]
        assert planner.queue("gw0") == (3, 4, 5, 6, 7, 8, 9)

    def test_one_question_at_a_time(self) -> None:
        """A third worker waits for the same answer, and is fed from it too."""
        planner = self.stuck()
        planner.joined("gw1")
        assert planner.joined("gw2") == []
        decisions = planner.stolen("gw0", (8, 9, 10, 11))
        assert decisions[0] == Assign("gw1", (8, 9, 10, 11))
        (steal,) = decisions[1:]
        assert isinstance(steal, Steal)

    def test_when_the_robbed_worker_dies_its_tests_are_fed_to_who_waits(self) -> None:
        """Its answer never comes."""
        planner = self.stuck()
        planner.joined("gw1")
        (assign,) = planner.lost("gw0", 3)
        assert isinstance(assign, Assign)
        assert (assign.worker, assign.tests) == ("gw1", tuple(range(4, 12)))

    def test_an_answer_of_a_dead_worker_settles_no_other_question(self) -> None:
        """One worker is asked at a time, whatever comes late."""
        planner = Planner(several(FAMILY_SEEN + AHEAD_TESTS + 8))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        planner.joined("gw1")
        (question,) = planner.joined("gw2")
        assert (type(question), question.worker) == (Steal, "gw0")
        planner.lost("gw0", 3)
        (question,) = planner.joined("gw3")
        assert (type(question), question.worker) == (Steal, "gw2")
        assert planner.stolen("gw0", (AHEAD_TESTS,)) == []

    def test_who_asked_before_its_next_test_was_stolen_gets_another(self) -> None:
        """Or is let go: its question seemed to need no answer when it came."""
        planner = Planner(several(FAMILY_SEEN + 2))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        planner.joined("gw1")
        assert planner.asks("gw0") == []
        decisions = planner.stolen("gw0", (4,))
        assert {decision.worker for decision in decisions} == {"gw0", "gw1"}
        assert {type(decision) for decision in decisions} == {Assign, Retire}

    def test_the_last_test_does_not_go_to_and_fro(self) -> None:
        """Two workers whose tests are about to end want it; one gets it."""
        planner = Planner(several(3))
        planner.joined("gw0")
        planner.joined("gw1")
        pending = deque(planner.asks("gw0") + planner.asks("gw1"))
        steals = 0
        while pending:
            match pending.popleft():
                case Steal(worker=worker, tests=tests):
                    steals += 1
                    assert steals < 4, "endless"
                    pending.extend(planner.stolen(worker, tests))
                    pending.extend(planner.asks(worker))
        assert sorted(planner.queue("gw0") + planner.queue("gw1")) == [0, 1, 2]


class TestLoss:
    """A worker dies."""

    def test_a_test_whose_result_had_come_does_not_run_again(self) -> None:
        """Where only the word that it ended was lost with the worker."""
        planner = Planner(several(3))
        planner.joined("gw0")
        planner.asks("gw0")
        assert planner.queue("gw0") == (0, 1)
        planner.lost("gw0", 1, over=[0])
        assert planner.joined("gw1") == [Assign("gw1", (2,))]
        planner.ended("gw1", 2, LONG)
        assert planner.finished

    def test_the_blamed_test_counts_as_ended_and_the_rest_waits_again(self) -> None:
        """Its group moves to another worker as a whole."""
        planner = Planner([*several(3, group="g"), *several(1, first=3)])
        planner.joined("gw0")
        planner.asks("gw0")
        assert planner.lost("gw0", 0) == []
        assert planner.joined("gw1") == [Assign("gw1", (1,))]
        assert planner.joined("gw2") == [Assign("gw2", (3,))]
        assert planner.asks("gw1") == [Assign("gw1", (2,))]
        assert not planner.finished

    def test_a_worker_that_dies_before_its_test_begins_is_not_blamed(self) -> None:
        """The test runs elsewhere."""
        planner = Planner(several(1))
        planner.joined("gw0")
        planner.lost("gw0", None)
        assert (planner.finished, planner.has_pending) == (False, True)
        assert planner.joined("gw1") == [Assign("gw1", (0,))]

    def test_a_crashed_test_runs_again_when_asked_to(self) -> None:
        """As pytest-rerunfailures wants it; the run is not finished before."""
        planner = Planner(several(1))
        planner.joined("gw0")
        planner.lost("gw0", 0)
        assert planner.finished
        assert planner.again(0) == []
        assert not planner.finished
        assert planner.joined("gw1") == [Assign("gw1", (0,))]
        planner.ended("gw1", 0, SHORT)
        assert planner.finished

    def test_a_worker_that_was_let_go_gets_nothing_more(self) -> None:
        """Not even what a lost worker leaves: it has been told to end."""
        planner = Planner(several(2))
        planner.joined("gw0")
        planner.joined("gw1")
        planner.ended("gw1", 1, SHORT)
        assert planner.asks("gw1") == [Retire("gw1")]
        assert planner.lost("gw0", None) == []
        assert planner.asks("gw1") == []
        assert planner.joined("gw2") == [Assign("gw2", (0,))]


@pytest.mark.parametrize(
    ("nodeid", "mode", "group"),
    [
        ("t/test_a.py::TestA::test_b[1]", "load", None),
        ("t/test_a.py::TestA::test_b[1]", "worksteal", None),
        ("t/test_a.py::TestA::test_b[1]", "loadfile", "t/test_a.py"),
        ("t/test_a.py::TestA::test_b[1]", "loadscope", "t/test_a.py::TestA"),
        ("t/test_a.py::test_b", "loadscope", "t/test_a.py"),
        ("t/test_a.py::test_b", "loadgroup", None),
        ("t/test_a.py::test_m", "loadgroup", "marked"),
        ("t/test_a.py::test_m", "load", None),
        ("t/test_a.py::test_m", "loadfile", "t/test_a.py"),
    ],
)
def test_the_group_of_a_test(nodeid: str, mode: str, group: str | None) -> None:
    """By xdist's ``--dist``; an ``xdist_group`` mark counts for ``loadgroup`` only."""
    assert group_of(nodeid, mode, {"t/test_a.py::test_m": "marked"}) == group


def order(planner: Planner) -> list[int]:
    """The order in which one worker runs every test, all long."""
    planner.joined("gw0")
    ran = []
    while queue := planner.queue("gw0"):
        planner.asks("gw0")
        planner.ended("gw0", queue[0], LONG)
        ran.append(queue[0])
    return ran


def run_alone(planner: Planner, indices: Iterable[int], seconds: float, *, join: bool = True) -> None:
    """Have gw0 run these tests, which must come in this order."""
    if join:
        planner.joined("gw0")
    for index in indices:
        planner.asks("gw0")
        planner.ended("gw0", index, seconds)


STOP = -1
"""What a worker finds in its queue when it was let go."""


@dataclass
class Worker:
    """A worker process as it behaves; what it says and what it is told travel in order."""

    name: str
    told: deque[Decision] = field(default_factory=deque)
    said: deque[tuple[str, object]] = field(default_factory=deque)
    queue: deque[int] = field(default_factory=deque)
    running: int | None = None
    following: int | None = None  # taken out of the queue while the other one still runs
    looking: bool = True
    reported: bool = False
    stopped: bool = False

    def read(self) -> None:
        """Obey the next thing that it was told."""
        match self.told.popleft():
            case Assign(tests=tests):
                self.queue.extend(tests)
            case Steal(tests=tests):
                given = [index for index in self.queue if index in tests]
                self.queue = deque(index for index in self.queue if index not in tests)
                self.said.append(("stolen", given))
            case Retire():
                self.queue.append(STOP)

    def can_step(self) -> bool:
        """Whether it has anything to do."""
        return not self.stopped and (self.running is not None or bool(self.queue) or not self.looking)

    def step(self, seconds: float, *, look_first: bool) -> None:
        """End a test, look for the next one, or begin it."""
        if self.running is not None and (self.following is not None or not (look_first or self.looking)):
            self.said.append(("ended", (self.running, seconds)))
            self.running = None
        elif self.following is not None or self.queue:
            following = self.queue.popleft() if self.following is None else self.following
            if self.running is not None:
                self.following, self.looking = following, False
            else:
                self.begin(following)
        elif not self.looking:
            self.said.append(("asks", None))
            self.looking = True

    def begin(self, index: int) -> None:
        """Start a test, or stop."""
        self.following, self.looking, self.reported = None, False, False
        if index == STOP:
            self.stopped = True
            self.said.append(("gone", None))
        else:
            self.running = index

    def report_call(self) -> None:
        """Tell of the call's end, which makes the controller ask on the worker's behalf."""
        self.reported = True
        self.said.append(("asks", None))


PICK = st.integers(0, 5)
SECONDS = st.sampled_from([SHORT, SHORT, 0.0, 0.003, 0.02, AHEAD_SECONDS, LONG])
BLOCKS = st.lists(
    st.tuples(
        st.integers(1, 50),
        st.sampled_from("aaabc"),
        st.sampled_from([None] * 6 + ["g", "h"]),
        st.sampled_from([0, 0, 0, 1]),
    ),
    min_size=1,
    max_size=5,
)
"""How many tests there are of a function, a group and a priority, as they were collected."""


class Schedule(RuleBasedStateMachine):
    """A scheduler around the planner, with workers that do what they please, when they please."""

    @initialize(blocks=BLOCKS, seconds=st.tuples(SECONDS, SECONDS, SECONDS), workers=st.integers(1, 4))
    def collected(
        self, blocks: list[tuple[int, str, str | None, int]], seconds: tuple[float, ...], workers: int
    ) -> None:
        """Workers have collected; a test takes the time of its function, unless it is stuck."""
        each = [block for block in blocks for _ in range(block[0])]
        self.tests = [
            Test(index=index, family=family, group=group, priority=priority)
            for index, (_, family, group, priority) in enumerate(each)
        ]
        self.seconds = dict(zip("abc", seconds, strict=True))
        self.planner = Planner(self.tests)
        self.workers: dict[str, Worker] = {}
        self.numbers = 0
        self.retired: set[str] = set()
        self.waits: set[str] = set()  # workers that want a test and have got no answer
        self.ending: set[str] = set()  # workers that are about to end their test and begin the next
        self.robbed: list[str] = []
        self.asked_for: dict[str, set[int]] = {}  # what the open question to a worker is about
        self.refused: dict[str, set[int]] = {}
        self.late: list[tuple[str, list[int]]] = []
        self.over: set[int] = set()
        self.crashed: set[int] = set()
        self.begun: Counter[int] = Counter()
        self.agains: Counter[int] = Counter()
        self.steals = self.questions = self.losses = 0
        self.owners: dict[str, str] = {}
        self.split: set[str] = set()  # groups of which a test ran again, apart from the others
        self.families: dict[str, list[float]] = {}
        self.left_over = False  # whether tests came back when workers may have been let go
        for _ in range(workers):
            self.joins()

    # What may happen

    @rule()
    @precondition(lambda self: len(self.workers) < 4 and self.numbers < 10 + self.losses)
    def joins(self) -> None:
        """A worker has its lease and has collected."""
        name = f"gw{self.numbers}"
        self.numbers += 1
        self.workers[name] = Worker(name)
        self.refused[name] = set()
        self.waits.add(name)
        self.questions += 1
        self.carry_out(self.planner.joined(name))

    @rule(pick=PICK)
    def hears(self, pick: int) -> None:
        """The controller reads the next message of a worker."""
        if speakers := [worker for worker in self.workers.values() if worker.said]:
            self.hear(speakers[pick % len(speakers)])

    @rule(pick=PICK)
    def reads(self, pick: int) -> None:
        """A worker reads what it was told."""
        if readers := [worker for worker in self.workers.values() if worker.told]:
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

    @rule(pick=PICK, keep=st.booleans(), again=st.booleans())
    def dies(self, pick: int, keep: bool, again: bool) -> None:
        """A worker dies; what it said is heard first, but perhaps an answer only later."""
        if self.workers:
            worker = list(self.workers.values())[pick % len(self.workers)]
            self.kill(worker, keep=keep, again=again)

    @rule()
    @precondition(lambda self: self.late)
    def a_late_answer_comes(self) -> None:
        """The worker that gave it is dead."""
        name, tests = self.late.pop(0)
        self.carry_out(self.planner.stolen(name, tests))

    @rule(pick=PICK)
    @precondition(lambda self: self.crashed)
    def a_crashed_test_is_wanted_again(self, pick: int) -> None:
        """Another plugin says so."""
        self.again(sorted(self.crashed)[pick % len(self.crashed)])

    # What must hold

    @invariant()
    def no_test_is_in_two_queues(self) -> None:
        """Nor in one when it is over."""
        held = [index for name in self.workers for index in self.planner.queue(name)]
        assert len(held) == len(set(held))
        assert not self.over & set(held)

    @invariant()
    def no_test_runs_twice(self) -> None:
        """Unless it was asked for again."""
        assert all(count <= 1 + self.agains[index] for index, count in self.begun.items())

    @invariant()
    def who_wants_a_test_gets_one_if_there_is_one(self) -> None:
        """It waits only for the answer to a question; it is let go only where none could be had.

        A test cannot be had where a worker runs it, has refused to give it back, is about to begin it, or has begun
        its group.
        """
        wanting = self.waits - self.retired
        if wanting:
            assert self.robbed, f"{wanting} wait for nothing"
            assert not self.free(), f"{wanting} wait while {self.free()} are free"

    @invariant()
    def one_question_at_a_time(self) -> None:
        """And not endlessly many."""
        assert len(self.robbed) <= 1
        assert self.steals <= 4 * (self.questions + self.losses + len(self.tests) + self.agains.total())

    @invariant()
    def the_planner_knows_when_all_is_over(self) -> None:
        """Each test has ended or has been blamed."""
        assert self.planner.finished == (len(self.over) == len(self.tests))

    def teardown(self) -> None:
        """At the end, nothing more happens but that everybody goes on: every test is over then."""
        if not hasattr(self, "tests"):
            return
        self.settle()
        if self.left_over and not self.planner.finished:
            # Those that could have run them were let go; xdist starts a worker for each that died.
            self.joins()
            self.settle()
        assert self.planner.finished
        assert not self.planner.has_pending
        assert sorted(self.over) == [test.index for test in self.tests]
        assert not self.workers

    # How it happens

    def settle(self) -> None:
        """Let everybody go on until nothing moves."""
        for _ in range(40 * len(self.tests) + 400):
            moved = [self.go_on(worker) for worker in list(self.workers.values())]
            if not any(moved):
                return
        raise AssertionError("it goes on for ever")

    def go_on(self, worker: Worker, *, stuck: bool = False) -> bool:
        """Hear, read or work, whichever can be done; say whether anything could."""
        if worker.said:
            self.hear(worker)
        elif worker.told:
            worker.read()
        elif worker.can_step() and not stuck:
            self.step(worker, None, look_first=True)
        else:
            return False
        return True

    def stuck(self, pick: int) -> str | None:
        names = list(self.workers)
        return names[pick] if pick < len(names) else None

    def something_happens(self, dice: Random, deaths: bool, stuck: str | None) -> None:
        chance = dice.random()
        worker = dice.choice(list(self.workers.values())) if self.workers else None
        if worker is None or chance < 0.02:
            if len(self.workers) < 4:
                self.joins()
        elif chance < 0.05:
            if self.late:
                self.a_late_answer_comes()
        elif deaths and chance < 0.06:
            self.kill(worker, keep=dice.random() < 0.8, again=dice.random() < 0.5)
        elif deaths and chance < 0.1 and self.robbed and self.waits:
            self.kill(self.workers[self.robbed[0]], keep=dice.random() < 0.8, again=dice.random() < 0.5)
        elif chance < 0.15 and worker.running is not None and not worker.reported:
            worker.report_call()
        elif worker.said and chance < 0.4:
            self.hear(worker)
        elif worker.told and chance < 0.6:
            worker.read()
        elif worker.can_step() and worker.name != stuck:
            self.step(worker, LONG if chance > 0.995 else None, look_first=dice.random() < 0.6)

    def step(self, worker: Worker, seconds: float | None, *, look_first: bool) -> None:
        before = worker.running
        usual = 0.0 if before is None else self.seconds[self.tests[before].family]
        worker.step(usual if seconds is None else seconds, look_first=look_first)
        if worker.running is not None and worker.running != before:
            self.begun[worker.running] += 1

    def hear(self, worker: Worker) -> None:
        kind, value = worker.said.popleft()
        name = worker.name
        match kind, value:
            case "asks", _:
                self.questions += 1
                queue = self.planner.queue(name)
                if len(queue) <= 1 and name not in self.retired:
                    self.waits.add(name)
                if queue:
                    self.ending.add(name)
                self.carry_out(self.planner.asks(name))
            case "ended", (int(index), float(seconds)):
                self.over.add(index)
                self.ending.discard(name)
                self.families.setdefault(self.tests[index].family, []).append(seconds)
                self.carry_out(self.planner.ended(name, index, seconds))
            case "stolen", list(given):
                self.robbed.remove(name)
                self.refused[name] |= self.asked_for.pop(name) - set(given)
                self.carry_out(self.planner.stolen(name, given))
            case "gone", _:
                assert self.planner.queue(name) == ()
                self.bury(name, None)

    def kill(self, worker: Worker, *, keep: bool, again: bool) -> None:
        while worker.said:
            kind, value = worker.said[0]
            if kind == "gone":
                self.hear(worker)
                return
            if kind == "stolen" and keep:
                assert isinstance(value, list)
                self.late.append((worker.name, value))
                worker.said.popleft()
            else:
                self.hear(worker)
        self.losses += 1
        self.left_over = True
        if worker.running is not None:
            self.over.add(worker.running)
            self.crashed.add(worker.running)
        self.bury(worker.name, worker.running)
        if again and worker.running is not None:
            self.again(worker.running)

    def bury(self, name: str, blamed: int | None) -> None:
        assert blamed is None or blamed == self.planner.queue(name)[0]
        del self.workers[name]
        self.waits.discard(name)
        self.ending.discard(name)
        self.asked_for.pop(name, None)
        self.robbed = [robbed for robbed in self.robbed if robbed != name]
        self.owners = {group: owner for group, owner in self.owners.items() if owner != name}
        self.carry_out(self.planner.lost(name, blamed))

    def again(self, index: int) -> None:
        self.crashed.discard(index)
        self.over.discard(index)
        self.agains[index] += 1
        self.left_over = True
        if (group := self.tests[index].group) is not None:
            self.split.add(group)
        self.carry_out(self.planner.again(index))

    def carry_out(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            assert decision.worker in self.workers, "a dead worker is told something"
            assert decision.worker not in self.retired, "a worker that was let go is told something"
            self.workers[decision.worker].told.append(decision)
        # In two steps: the planner's queues are those after the last decision.
        for decision in decisions:
            match decision:
                case Assign(worker=name, tests=tests):
                    self.check_assigned(name, tests)
                case Steal(worker=name, tests=tests):
                    self.check_steal(name, tests)
                case Retire(worker=name):
                    self.waits.discard(name)
                    self.retired.add(name)
        for decision in decisions:
            if isinstance(decision, Retire):
                self.check_retired(decision.worker)

    def check_assigned(self, name: str, tests: tuple[int, ...]) -> None:
        assert tests
        self.waits.discard(name)
        queue = self.planner.queue(name)
        assert queue[len(queue) - len(tests) :] == tests
        for index in tests:
            group = self.tests[index].group
            if group is not None and group not in self.split:
                assert self.owners.setdefault(group, name) == name, "a group is on two workers"
        if not any(self.tests[index].group for index in tests):
            rank = min((-self.tests[index].priority, index) for index in self.free() or {tests[-1]})
            last = max((-self.tests[index].priority, index) for index in tests)
            assert last <= rank or any(index in self.free_groups() for index in self.free()), "not in order"
        if ahead := queue[2:]:
            assert len(queue) - 1 <= AHEAD_TESTS
            seen = [self.families.get(self.tests[index].family, []) for index in ahead]
            assert all(len(durations) >= FAMILY_SEEN for durations in seen), "of a function that is not known"
            expected = sum(sum(durations) / len(durations) for durations in seen)
            assert expected <= AHEAD_SECONDS * (1 + 1e-9), "too much ahead"

    def check_steal(self, name: str, tests: tuple[int, ...]) -> None:
        self.steals += 1
        self.robbed.append(name)
        self.asked_for[name] = set(tests)
        assert tests
        assert set(tests) <= set(self.planner.queue(name)[1:])
        assert not set(tests) & self.refused[name], "asked for what was refused"
        assert all(self.tests[index].group is None for index in tests)

    def check_retired(self, name: str) -> None:
        assert len(self.planner.queue(name)) <= 1
        assert not self.free(), f"{name} is let go while {self.free()} are free"
        to_be_had = {
            index
            for other in self.workers
            for index in self.planner.queue(other)[2 if other in self.ending else 1 :]
            if self.tests[index].group is None and index not in self.refused[other]
        }
        assert not to_be_had, f"{name} is let go while {to_be_had} wait behind a running test"

    def free(self) -> set[int]:
        """The tests that no worker has and any may have."""
        held = {index for name in self.workers for index in self.planner.queue(name)}
        return {
            test.index
            for test in self.tests
            if test.index not in self.over | held and test.group not in self.split and test.group not in self.owners
        }

    def free_groups(self) -> set[int]:
        """Those of them that are of a group, which have an order of their own."""
        return {index for index in self.free() if self.tests[index].group is not None}


TestSchedule = Schedule.TestCase
TestSchedule.settings = settings(
    max_examples=250,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes; add Phase.shrink to have it
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
