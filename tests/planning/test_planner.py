"""The planner gives every test to one worker, late, in the right order, and leaves no worker idle while tests wait."""

from __future__ import annotations

import functools
import math
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pytest_gpupool.planning.decisions import Assign, Decision, Rest, Retire, Start, Steal
from pytest_gpupool.planning.demands import group_of, possible
from pytest_gpupool.planning.dispatch.ahead import AHEAD_SECONDS, AHEAD_TESTS
from pytest_gpupool.planning.dispatch.pace import FAMILY_SEEN
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import SHORTEST, Possible, Test
from pytest_gpupool.values.device import Device

SHORT = 0.001
LONG = 100.0


def at_most(largest: int) -> Possible:
    """What a pool can give of which so many devices are left, with all the memory that a test may want."""
    return lambda gpus, memory: (gpus, memory) if gpus <= largest else (min(1, largest), 0)


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
        assert planner.assigned("gw1") == (1, 2)

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
        assert planner.assigned("gw0") == (1,)

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
        assert len(planner.assigned("gw0")) == 1 + AHEAD_TESTS
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
        assert planner.assigned("gw0") == (3,)
        assert planner.asks("gw0") == [Assign("gw0", (4,))]
        assert planner.ended("gw0", 3, SHORT) == []

    def test_one_long_test_makes_its_function_long(self) -> None:
        """Three short ones before it do not make up for it."""
        planner = Planner(several(100))
        run_alone(planner, range(2), SHORT)
        planner.asks("gw0")
        planner.ended("gw0", 2, LONG)
        run_alone(planner, range(3, 50), SHORT, join=False)
        assert planner.assigned("gw0") == (50,)

    def test_what_is_expected_ahead_is_summed_over_functions(self) -> None:
        """A slower function's test behind the next one leaves less room for a faster one's."""
        slow, fast = AHEAD_SECONDS / 2, AHEAD_SECONDS / 31.25
        tests = [*several(3, "slow"), *several(3, "fast", 3), *several(3, "slow", 6), *several(40, "fast", 9)]
        planner = Planner(tests)
        run_alone(planner, range(3), slow)
        run_alone(planner, range(3, 6), fast, join=False)
        assert planner.assigned("gw0")[:2] == (6, 7)
        ahead = planner.assigned("gw0")[2:]
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
        assert planner.assigned("gw0") == tuple(range(6, last + 1))
        assert planner.ended("gw0", 6, LONG) == []
        for index in range(7, last - 2):
            assert planner.ended("gw0", index, SHORT) == []
        assert planner.assigned("gw0") == (last - 2, last - 1, last)


class TestSteal:
    """Tests behind one that is long after all come back."""

    def stuck(self) -> Planner:
        """Worker gw0 runs a test of a short function that takes long, with others behind it; gw1 has run dry."""
        planner = Planner(several(FAMILY_SEEN + 9))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        assert planner.assigned("gw0") == tuple(range(3, 12))
        return planner

    def test_the_queue_of_a_surprise_is_stolen(self) -> None:
        """An idle worker gets half of it."""
        planner = self.stuck()
        assert planner.joined("gw1") == [Steal("gw0", (8, 9, 10, 11))]
        assert planner.stolen("gw0", (8, 9, 10, 11)) == [Assign("gw1", (8, 9, 10, 11))]
        assert planner.assigned("gw0") == (3, 4, 5, 6, 7)

    def test_all_of_it_is_stolen_in_the_end(self) -> None:
        """Idle workers come back until nothing waits behind the long test."""
        planner = self.stuck()
        decisions = planner.joined("gw1")
        ran: list[int] = []
        while not any(isinstance(decision, Retire) for decision in decisions):
            (decision,) = decisions
            assert isinstance(decision, Steal)
            planner.stolen("gw0", decision.tests)
            while len(queue := planner.assigned("gw1")) > 1:
                ran.append(queue[0])
                planner.ended("gw1", queue[0], SHORT)
            decisions = planner.asks("gw1")
            ran.append(queue[0])
            planner.ended("gw1", queue[0], SHORT)
        assert sorted(ran) == list(range(4, 12))
        assert planner.assigned("gw0") == (3,)

    def test_the_running_test_and_groups_are_never_asked_for(self) -> None:
        """A group belongs to its worker."""
        planner = Planner(several(FAMILY_SEEN + 9, group="g"))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        assert len(planner.assigned("gw0")) == 9
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
        assert planner.assigned("gw0") == (3, 4)
        assert planner.joined("gw1") == [Steal("gw0", (4,))]

    def test_a_part_is_given_back(self) -> None:
        """What comes is used, the rest stays."""
        planner = self.stuck()
        planner.joined("gw1")
        assert planner.stolen("gw0", (10, 11)) == [Assign("gw1", (10, 11))]
        assert planner.assigned("gw0") == (3, 4, 5, 6, 7, 8, 9)

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
        assert isinstance(question, Steal)
        assert question.worker == "gw0"
        planner.lost("gw0", 3)
        (question,) = planner.joined("gw3")
        assert isinstance(question, Steal)
        assert question.worker == "gw2"
        assert planner.stolen("gw0", (AHEAD_TESTS,)) == []

    def test_who_asked_before_its_next_test_was_stolen_gets_another(self) -> None:
        """Or is let go: its question seemed to need no answer when it came."""
        planner = Planner(several(FAMILY_SEEN + 2))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        planner.joined("gw1")
        assert planner.asks("gw0") == []
        decisions = planner.stolen("gw0", (4,))
        assert {type(decision) for decision in decisions} == {Assign, Retire}
        assert {decision.worker for decision in decisions if not isinstance(decision, Start)} == {"gw0", "gw1"}

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
        assert sorted(planner.assigned("gw0") + planner.assigned("gw1")) == [0, 1, 2]


class TestLoss:
    """A worker dies."""

    def test_a_test_whose_result_had_come_does_not_run_again(self) -> None:
        """Where only the word that it ended was lost with the worker."""
        planner = Planner(several(3))
        planner.joined("gw0")
        planner.asks("gw0")
        assert planner.assigned("gw0") == (0, 1)
        planner.lost("gw0", 1, over=[0])
        assert planner.settled(1) == []
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
        """As pytest-rerunfailures wants it; the run is not finished before. That it is settled changes nothing then."""
        planner = Planner(several(1))
        planner.joined("gw0")
        planner.lost("gw0", 0)
        assert not planner.finished
        assert planner.again(0) == []
        assert planner.settled(0) == []
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


def fleet(tests: Sequence[Test], devices: int, *, longest_first: bool = True) -> Planner:
    """A planner with a worker for each device, gw0 to begin with, which has collected."""
    planner = Planner(tests, capacity=devices, asked=devices, longest_first=longest_first)
    for number in range(devices):
        planner.started(f"gw{number}", 1)
    return planner


def sized(*gpus: int, seconds: float | None = LONG) -> list[Test]:
    """A test for each of these sizes."""
    return [Test(index=index, family=f"f{index}", gpus=each, seconds=seconds) for index, each in enumerate(gpus)]


def of_kind(decisions: Iterable[Decision], kind: type[Decision]) -> list[Decision]:
    return [decision for decision in decisions if isinstance(decision, kind)]


class TestDurations:
    """What earlier runs know of how long tests take."""

    def test_the_longest_known_goes_first_and_the_unknown_before(self) -> None:
        """A worker has them in that order."""
        tests = [Test(index=index, family="f", seconds=seconds) for index, seconds in enumerate([1.0, 9.0, None, 4.0])]
        assert order(Planner(tests)) == [2, 1, 3, 0]
        assert order(Planner(tests, longest_first=False)) == [0, 1, 2, 3]

    def test_short_tests_are_queued_ahead_from_the_start(self) -> None:
        """Where earlier runs know that they are short."""
        tests = [Test(index=index, family="f", seconds=SHORT) for index in range(9)]
        assert Planner(tests).joined("gw0") == [Assign("gw0", tuple(range(9)))]

    def test_a_long_test_of_a_short_function_is_no_short_one(self) -> None:
        """Its own record counts, whatever the function's other tests took."""
        tests = [*several(FAMILY_SEEN, priority=2), Test(index=FAMILY_SEEN, family="f", seconds=LONG, priority=1)]
        planner = Planner([*tests, *several(2, first=FAMILY_SEEN + 1)])
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        assert planner.assigned("gw0") == (FAMILY_SEEN,)
        assert planner.asks("gw0") == [Assign("gw0", (FAMILY_SEEN + 1, FAMILY_SEEN + 2))]

    def test_a_worker_goes_on_with_its_fixtures(self) -> None:
        """Among tests that are as long."""
        tests = [Test(index=index, family="f", seconds=LONG, warm="ab"[index % 2]) for index in range(4)]
        planner = Planner(tests)
        assert planner.joined("gw0") == [Assign("gw0", (0,))]
        assert planner.joined("gw1") == [Assign("gw1", (1,))]
        assert planner.asks("gw0") == [Assign("gw0", (2,))]


class TestGates:
    """Tests that must wait for others."""

    def test_a_stage_begins_when_all_of_the_lower_have_ended(self) -> None:
        """Until then a worker that nothing is there for rests, and is fed by the last end."""
        planner = Planner([*several(2), Test(index=2, family="g", stage=1), Test(index=3, family="g", stage=1)])
        planner.joined("gw0")
        planner.joined("gw1")
        assert planner.asks("gw0") == [Rest("gw0")]
        assert planner.ended("gw0", 0, LONG) == []
        assert planner.asks("gw1") == [Rest("gw1")]
        assert planner.ended("gw1", 1, LONG) == [Assign("gw0", (2,)), Assign("gw1", (3,))]

    def test_a_stage_waits_for_what_may_run_again(self) -> None:
        """A crashed test has not ended before that is settled."""
        planner = Planner([*several(2), Test(index=2, family="g", stage=1)])
        planner.joined("gw0")
        planner.joined("gw1")
        planner.asks("gw0")
        planner.ended("gw0", 0, LONG)
        assert planner.lost("gw1", 1) == []
        assert planner.again(1) == [Assign("gw0", (1,))]
        assert planner.settled(1) == []
        assert planner.asks("gw0") == [Rest("gw0")]
        assert planner.ended("gw0", 1, LONG) == [Assign("gw0", (2,))]

    def test_a_stage_begins_when_a_crashed_test_is_settled(self) -> None:
        """No other event would say so."""
        planner = Planner([*several(1), Test(index=1, family="g", stage=1)])
        planner.joined("gw0")
        assert planner.joined("gw1") == []
        assert planner.lost("gw0", 0) == []
        assert planner.settled(0) == [Assign("gw1", (1,))]

    def test_tests_that_share_a_lock_run_one_after_another(self) -> None:
        """Others go past them; the end of one frees the next."""
        x = frozenset({"x"})
        planner = Planner([Test(index=0, family="f", locks=x), Test(index=1, family="f", locks=x), *several(1, "g", 2)])
        assert planner.joined("gw0") == [Assign("gw0", (0,))]
        assert planner.joined("gw1") == [Assign("gw1", (2,))]
        assert planner.asks("gw1") == [Rest("gw1")]
        assert planner.ended("gw1", 2, LONG) == []
        assert planner.ended("gw0", 0, LONG) == [Assign("gw1", (1,))]

    def test_a_worker_goes_on_with_its_lock(self) -> None:
        """Its next test begins when the one before has ended; the lock is free when both have."""
        x = frozenset({"x"})
        planner = Planner([Test(index=index, family="f", locks=x) for index in range(3)])
        planner.joined("gw0")
        assert planner.joined("gw1") == []
        assert planner.asks("gw0") == [Assign("gw0", (1,))]
        assert planner.ended("gw0", 0, LONG) == []
        assert planner.lost("gw0", None) == [Assign("gw1", (1,))]
        assert planner.assigned("gw1") == (1,)

    def test_a_serial_test_goes_last_and_alone(self) -> None:
        """Others rest until it has ended."""
        tests = [Test(index=0, family="s", serial=True), *several(2, first=1), Test(index=3, family="g", stage=1)]
        planner = Planner(tests)
        assert planner.joined("gw0") == [Assign("gw0", (1,))]
        assert planner.joined("gw1") == [Assign("gw1", (2,))]
        assert planner.asks("gw0") == [Rest("gw0")]
        assert planner.ended("gw0", 1, LONG) == []
        assert planner.asks("gw1") == [Assign("gw1", (0,))]
        assert planner.ended("gw1", 2, LONG) == []
        assert planner.ended("gw1", 0, LONG) == [Assign("gw0", (3,))]

    def test_after_a_serial_test_all_go_on(self) -> None:
        """Also where the worker that ran it was given another test meanwhile."""
        planner = Planner([Test(index=0, family="s", serial=True, priority=1), *several(3, first=1)])
        assert planner.joined("gw0") == [Assign("gw0", (0,))]
        assert planner.joined("gw1") == []
        assert planner.asks("gw0") == [Assign("gw0", (1,))]
        assert planner.ended("gw0", 0, LONG) == [Assign("gw1", (2,))]

    def test_a_serial_group_is_alone_to_its_end(self) -> None:
        """Also in the moment between two of its tests."""
        group = [Test(index=index, family="s", serial=True, group="g", priority=1) for index in range(2)]
        planner = Planner([*group, *several(1, first=2)])
        planner.joined("gw0")
        planner.joined("gw1")
        assert planner.ended("gw0", 0, LONG) == []
        assert planner.asks("gw0") == [Assign("gw0", (1,))]
        assert planner.ended("gw0", 1, LONG) == [Assign("gw1", (2,))]

    def test_a_serial_test_waits_for_a_crashed_one_of_another_size(self) -> None:
        """Whose worker needs the devices of the one that is there for the serial test."""
        tests = [Test(index=0, family="f"), Test(index=1, family="s", gpus=2, serial=True)]
        planner = fleet(tests, 2)
        planner.joined("gw0", ["d0"])
        assert planner.lost("gw0", 0) == [Retire("gw1"), Start(2)]
        planner.started("gw2", 2)
        assert planner.joined("gw2", ["d0", "d1"]) == []
        assert planner.again(0) == [Retire("gw2"), Start(1)]
        planner.started("gw3", 1)
        assert planner.joined("gw3", ["d0"]) == [Assign("gw3", (0,))]
        assert planner.asks("gw3") == [Retire("gw3"), Start(2)]

    def test_workers_that_rest_are_let_go_when_nothing_is_left_for_them(self) -> None:
        """One rests for each test that waits for a lock."""
        x = frozenset({"x"})
        planner = Planner([Test(index=index, family="f", locks=x) for index in range(2)])
        planner.joined("gw0")
        assert planner.joined("gw1") == []
        assert planner.joined("gw2") == [Retire("gw1")]
        planner.asks("gw0")
        assert planner.ended("gw0", 0, LONG) == [Retire("gw2")]


class TestSizes:
    """Workers that hold several devices, or none."""

    def test_workers_for_larger_tests_are_formed_before_any_test_runs(self) -> None:
        """Of those that are still starting; nobody waits for a test to end."""
        planner = fleet(sized(4, *[1] * 8), 8)
        decisions = planner.joined("gw0", ["d0"])
        assert of_kind(decisions, Start) == [Start(4)]
        assert len(of_kind(decisions, Retire)) == 4
        assert of_kind(decisions, Assign) == [Assign("gw0", (1,))]
        planner.started("gw8", 4)
        assert planner.joined("gw8", ["d4", "d5", "d6", "d7"]) == [Assign("gw8", (0,))]

    def test_devices_are_gathered_for_a_test_that_comes_late(self) -> None:
        """Workers that would be free are let go one by one, and the last one's place is the larger one's."""
        tests = [*sized(1, 1, 1, 1), Test(index=4, family="g", gpus=2, stage=1, seconds=LONG)]
        planner = fleet([*tests, *(Test(index=index, family="g", stage=1, seconds=LONG) for index in (5, 6, 7))], 2)
        planner.joined("gw0", ["d0"])
        planner.joined("gw1", ["d1"])
        for name, index in (("gw0", 0), ("gw1", 1)):
            planner.asks(name)
            planner.ended(name, index, LONG)
        assert planner.asks("gw0") == [Rest("gw0")]
        assert planner.ended("gw0", 2, LONG) == []
        assert planner.asks("gw1") == [Rest("gw1")]
        decisions = planner.ended("gw1", 3, LONG)
        assert decisions == [Retire("gw1"), Retire("gw0"), Start(2)]

    def test_the_devices_of_a_large_worker_go_to_small_ones(self) -> None:
        """When nothing is left for it."""
        planner = fleet(sized(2, 1, 1), 2)
        planner.joined("gw0", ["d0"])
        planner.started("gw2", 2)
        assert planner.joined("gw2", ["d0", "d1"]) == [Assign("gw2", (0,))]
        assert planner.asks("gw2") == [Retire("gw2"), Start(1), Start(1)]

    def test_a_worker_that_waits_for_a_later_stage_makes_room(self) -> None:
        """Also where it asks after its test has ended."""
        tests = [*sized(2), Test(index=1, family="g"), Test(index=2, family="h", gpus=2, stage=1)]
        planner = fleet(tests, 2)
        planner.joined("gw0", ["d0"])
        planner.started("gw2", 2)
        assert planner.joined("gw2", ["d0", "d1"]) == [Assign("gw2", (0,))]
        assert planner.ended("gw2", 0, LONG) == []
        assert planner.asks("gw2") == [Retire("gw2"), Start(1)]

    def test_gathered_devices_are_used_when_they_are_gathered_in_vain(self) -> None:
        """Devices do not idle once what they were kept free for is no longer worth it."""
        tests = [*sized(1, 1), Test(index=2, family="g", gpus=2, seconds=LONG, priority=1)]
        planner = fleet(tests, 2)
        planner.joined("gw0", ["d0"])
        planner.started("gw2", 2)
        planner.joined("gw2", ["d0", "d1"])
        planner.lost("gw2", 2, replaced=False)
        assert of_kind(planner.settled(2), Start) == []

    def test_a_test_without_devices_runs_beside_the_others(self) -> None:
        """On a worker without any, of which there is one more than devices at most."""
        planner = fleet(sized(1, 1, 0, 0), 2)
        assert planner.joined("gw0", ["d0"]) == [Start(0), Assign("gw0", (0,))]
        planner.started("gw2", 0)
        assert planner.joined("gw2") == [Assign("gw2", (2,))]
        assert planner.asks("gw2") == [Assign("gw2", (3,))]

    def test_a_test_waits_for_a_worker_with_enough_memory(self) -> None:
        """One with less is let go for it when it has nothing else to do."""
        tests = [Test(index=0, family="f", memory=80, seconds=LONG), Test(index=1, family="g", seconds=LONG)]
        planner = fleet(tests, 1)
        assert planner.joined("gw0", ["d0"], 40) == [Retire("gw0"), Start(1, 80)]
        planner.started("gw1", 1, 80)
        assert planner.joined("gw1", ["d1"], 80) == [Assign("gw1", (0,))]

    def test_workers_are_started_with_as_much_memory_as_every_test_needs(self) -> None:
        """One with less would be let go as soon as it came, time and again."""
        tests = [Test(index=index, family="f", gpus=2, memory=40 + 40 * index) for index in range(2)]
        planner = fleet(tests, 4)
        decisions = planner.joined("gw0", ["d0"], 40)
        assert of_kind(decisions, Start) == [Start(2, 80), Start(2, 40)]

    def test_workers_that_wait_are_fed_past_one_with_too_little_memory(self) -> None:
        """Whoever fits gets the test."""
        x = frozenset({"x"})
        tests = [Test(index=index, family="f", locks=x, memory=memory) for index, memory in enumerate([0, 80, 0])]
        planner = Planner([*tests, Test(index=3, family="g", stage=1), Test(index=4, family="g", stage=1)])
        planner.joined("gw0", ["d0"], 80)
        planner.joined("gw1", ["d1"], 40)
        planner.joined("gw2", ["d2"], 80)
        assert planner.asks("gw0") == [Assign("gw0", (1,))]

    def test_only_tests_that_fit_the_thief_are_stolen(self) -> None:
        """What it could not run would go to and fro."""
        tests = [Test(index=index, family="f", seconds=SHORT, memory=80 * (index > 2)) for index in range(6)]
        planner = Planner(tests)
        assert planner.joined("gw0", ["d0"], 80) == [Assign("gw0", (0, 1, 2, 3, 4, 5))]
        assert planner.joined("gw1", ["d1"], 40) == [Steal("gw0", (2,))]


class TestTrouble:
    """Crashes, poison and lost devices."""

    def test_a_crashed_test_avoids_its_device(self) -> None:
        """While another worker may take it."""
        planner = Planner([*several(3), Test(index=3, family="g", stage=1)])
        for name, device in (("gw0", "d0"), ("gw1", "d1")):
            planner.joined(name, [device])
        planner.lost("gw0", 0)
        planner.again(0, ["d0"])
        assert planner.settled(0) == []
        assert planner.joined("gw2", ["d0"]) == [Assign("gw2", (2,))]
        assert planner.asks("gw2") == [Rest("gw2")]
        assert planner.asks("gw1") == [Assign("gw1", (0,))]

    def test_it_does_not_wait_for_a_device_that_nobody_has(self) -> None:
        """The same one again is better than none."""
        planner = Planner(several(1))
        planner.joined("gw0", ["d0"])
        planner.lost("gw0", 0)
        planner.again(0, ["d0"])
        assert planner.joined("gw1", ["d0"]) == [Assign("gw1", (0,))]

    def test_it_runs_where_there_is_enough_memory(self) -> None:
        """As it did the first time."""
        planner = Planner([Test(index=0, family="f", memory=80), *several(1, first=1)])
        planner.joined("gw0", ["d0"], 80)
        planner.lost("gw0", 0)
        planner.again(0, ["d0"])
        assert planner.joined("gw1", ["d1"], 40) == [Assign("gw1", (1,))]
        assert planner.joined("gw2", ["d2"], 80) == [Assign("gw2", (0,))]

    def test_a_crashed_test_of_a_group_keeps_its_lock(self) -> None:
        """Also where the rest of the group, which needs no lock, went to another worker."""
        x = frozenset({"x"})
        group = [Test(index=0, family="f", group="g", locks=x), Test(index=1, family="f", group="g")]
        planner = Planner([*group, Test(index=2, family="h", locks=x)])
        planner.joined("gw0")
        planner.lost("gw0", 0)
        assert planner.joined("gw1") == [Assign("gw1", (1,))]
        assert planner.joined("gw2") == [Assign("gw2", (2,))]
        planner.again(0)
        assert planner.asks("gw1") == [Rest("gw1")]
        assert planner.ended("gw1", 1, LONG) == []
        assert planner.asks("gw2") == [Assign("gw2", (0,))]

    def test_a_poisoned_worker_s_queue_goes_to_others(self) -> None:
        """Those on their way to it too; nothing more is given to it."""
        planner = Planner([Test(index=index, family="f", seconds=SHORT) for index in range(4)])
        assert planner.joined("gw0") == [Assign("gw0", (0, 1, 2, 3))]
        assert planner.poisoned("gw0", (1, 2)) == []
        assert planner.assigned("gw0") == (0,)
        assert planner.asks("gw0") == []
        assert planner.joined("gw1") == [Assign("gw1", (1, 2, 3))]

    def test_a_poisoned_worker_keeps_its_lock_while_its_test_runs(self) -> None:
        """And the rest of a group waits for the end of the worker, so that two workers never run one group."""
        x = frozenset({"x"})
        group = [Test(index=index, family="f", group="g", locks=x, priority=1) for index in range(3)]
        planner = Planner([*group, Test(index=3, family="h", locks=x)])
        planner.joined("gw0")
        planner.asks("gw0")
        assert planner.poisoned("gw0", (1,)) == []
        assert planner.joined("gw1") == []
        assert planner.ended("gw0", 0, LONG) == []
        assert planner.lost("gw0", None) == [Assign("gw1", (1,))]
        assert planner.asks("gw1") == [Assign("gw1", (2,))]

    def test_tests_that_are_too_large_for_what_is_left_run_on_any_worker(self) -> None:
        """There they can say so; also those that a worker has when the devices are lost."""
        planner = fleet(sized(2, 2), 2)
        planner.joined("gw0", ["d0"])
        planner.started("gw2", 2)
        assert planner.joined("gw2", ["d0", "d1"]) == [Assign("gw2", (0,))]
        assert planner.shrunk(1, at_most(1), ["d1"]) == []
        assert planner.asks("gw2") == [Retire("gw2"), Start(1)]
        planner.started("gw3", 1)
        planner.lost("gw2", 0)
        planner.again(0)
        planner.settled(0)
        assert planner.joined("gw3", ["d0"]) == [Assign("gw3", (0,))]
        assert planner.asks("gw3") == [Assign("gw3", (1,))]

    def test_what_needs_more_memory_than_is_left_runs_on_any_worker(self) -> None:
        """It would wait for ever for the device that was lost."""
        devices = [Device(id=f"d{number}", kind="gpu", index=number, name="G", memory_total=16) for number in range(2)]
        tests = [Test(index=0, family="f", memory=40), Test(index=1, family="f")]
        planner = fleet(tests, 2)
        assert planner.joined("gw0", ["d0"], 16) == [Assign("gw0", (1,))]
        planner.shrunk(1, functools.partial(possible, devices=devices), ["d2"])
        assert planner.asks("gw0") == [Assign("gw0", (0,))]

    def test_a_worker_on_a_lost_device_is_let_go(self) -> None:
        """When it has nothing to run, or asks for more."""
        planner = fleet(several(5), 2)
        planner.joined("gw0", ["d0"])
        planner.joined("gw1", ["d1"])
        assert planner.shrunk(1, at_most(1), ["d1"]) == []
        assert planner.asks("gw1") == [Retire("gw1")]
        assert planner.asks("gw0") == [Assign("gw0", (2,))]

    def test_xdist_s_unasked_worker_is_let_go_where_it_has_no_room(self) -> None:
        """It starts one for each that dies, also for one that had made room for a larger one."""
        planner = fleet(sized(2, 2, 1), 2)
        planner.joined("gw0", ["d0"])
        planner.started("gw2", 2)
        planner.lost("gw1", None, replaced=True)
        planner.started("gw3", 1)
        assert Retire("gw3") in planner.joined("gw2", ["d0", "d1"])


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
    while queue := planner.assigned("gw0"):
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

WAIT = -2
"""What it finds there when nothing is left for it now."""


@dataclass
class Worker:
    """A worker process as it behaves; what it says and what it is told travel in order."""

    name: str
    gpus: int = 1
    memory: int = 0  # of each device, at least: what it asks for, and has once it is ready
    devices: frozenset[str] = frozenset()
    ready: bool = False
    poisoned: bool = False
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
            case Rest():
                self.queue.append(WAIT)

    def can_step(self) -> bool:
        """Whether it has anything to do."""
        return self.ready and not self.stopped and (self.running is not None or bool(self.queue) or not self.looking)

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
        if index == WAIT:
            self.looking = True  # it was told that nothing is there, so it does not ask
        elif index == STOP:
            self.stopped = True
            self.said.append(("gone", None))
        else:
            self.running = index

    def poison(self) -> None:
        """Give everything back but the running test, and end after that one."""
        given = [*([] if self.following is None else [self.following]), *self.queue]
        self.queue, self.following, self.looking = deque([STOP]), None, True
        self.poisoned = True
        self.said.append(("poisoned", [index for index in given if index >= 0]))

    def report_call(self) -> None:
        """Tell of the call's end, which makes the controller ask on the worker's behalf."""
        self.reported = True
        self.said.append(("asks", None))


PICK = st.integers(0, 5)
SECONDS = st.sampled_from([SHORT, SHORT, 0.0, 0.003, 0.02, AHEAD_SECONDS, LONG])
MEMORY = (8, 16)
"""What devices have; a test asks for one of these, or does not care."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Tests of a function, as they were collected."""

    count: int
    family: str
    group: str | None
    priority: int
    gpus: int
    memory: int
    stage: int
    serial: bool
    locks: frozenset[str]
    known: bool
    warm: str | None

    def fits(self, devices: Sequence[int]) -> bool:
        """Whether such tests can run on devices with so much memory each."""
        return sum(memory >= self.memory for memory in devices) >= self.gpus


BLOCKS = st.lists(
    st.builds(
        Block,
        count=st.integers(1, 30),
        family=st.sampled_from("aaabc"),
        group=st.sampled_from([None] * 6 + ["g", "h"]),
        priority=st.sampled_from([0, 0, 0, 1]),
        gpus=st.sampled_from([1, 1, 1, 1, 0, 2, 4]),
        memory=st.sampled_from([0, 0, 0, *MEMORY]),
        stage=st.sampled_from([0, 0, 0, 1, 2]),
        serial=st.sampled_from([False] * 5 + [True]),
        locks=st.sampled_from([frozenset()] * 5 + [frozenset("x"), frozenset("y"), frozenset("xy")]),
        known=st.booleans(),
        warm=st.sampled_from([None, "v", "w"]),
    ),
    min_size=1,
    max_size=5,
)
DEVICES = st.lists(st.sampled_from([*MEMORY, MEMORY[-1]]), min_size=1, max_size=6)


class Schedule(RuleBasedStateMachine):
    """A scheduler around the planner, with workers that do what they please, when they please."""

    @initialize(blocks=BLOCKS, seconds=st.tuples(SECONDS, SECONDS, SECONDS), devices=DEVICES, longest=st.booleans())
    def collected(self, blocks: list[Block], seconds: tuple[float, ...], devices: list[int], longest: bool) -> None:
        """Workers have collected; a test takes the time of its function, unless it is stuck."""
        self.seconds = dict(zip("abc", seconds, strict=True))
        self.devices = {f"d{number}": memory for number, memory in enumerate(devices)}
        each = [block for block in blocks if block.fits(devices) for _ in range(block.count)]
        self.tests = [
            Test(
                index=index,
                family=block.family,
                group=block.group,
                priority=block.priority,
                gpus=block.gpus,
                memory=block.memory if block.gpus else 0,
                stage=block.stage,
                serial=block.serial,
                locks=block.locks,
                seconds=self.seconds[block.family] if block.known else None,
                warm=block.warm,
            )
            for index, block in enumerate(each)
        ]
        self.largest = len(devices)
        self.longest = longest
        self.planner = Planner(self.tests, capacity=len(devices), asked=len(devices), longest_first=longest)
        self.workers: dict[str, Worker] = {}
        self.numbers = 0
        self.lost_devices: set[str] = set()
        self.retired: set[str] = set()
        self.waits: set[str] = set()  # workers that want a test and have got no answer
        self.unasked: set[str] = set()  # workers that xdist started in the place of dead ones
        self.resting: set[str] = set()  # those that were told to wait
        self.ending: set[str] = set()  # workers that are about to end their test and begin the next
        self.robbed: list[str] = []
        self.asked_for: dict[str, set[int]] = {}  # what the open question to a worker is about
        self.refused: dict[str, set[int]] = {}
        self.late: list[tuple[str, list[int]]] = []
        self.over: set[int] = set()
        self.blamed: list[tuple[int, frozenset[str]]] = []  # neither settled nor wanted again
        self.crashed: set[int] = set()
        self.rerun: set[int] = set()  # wait to run again
        self.begun: Counter[int] = Counter()
        self.agains: Counter[int] = Counter()
        self.steals = self.questions = self.losses = 0
        self.owners: dict[Hashable, str] = {}
        self.split: set[Hashable] = set()  # groups of which a test ran again, apart from the others
        self.families: dict[str, list[float]] = {}
        for _ in devices:
            self.start(1, 0)

    # What may happen

    @rule(pick=PICK)
    def joins(self, pick: int) -> None:
        """A worker has its lease and has collected."""
        if able := [worker for worker in self.workers.values() if self.can_join(worker)]:
            self.join(able[pick % len(able)])

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

    @rule(pick=PICK)
    def is_poisoned(self, pick: int) -> None:
        """A worker finds that its device is of no use any more."""
        if able := [worker for worker in self.workers.values() if self.can_be_poisoned(worker)]:
            able[pick % len(able)].poison()

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

    @rule()
    @precondition(lambda self: self.late)
    def a_late_answer_comes(self) -> None:
        """The worker that gave it is dead."""
        name, tests = self.late.pop(0)
        self.carry_out(self.planner.stolen(name, tests))

    @rule(again=st.booleans())
    @precondition(lambda self: self.blamed)
    def it_is_decided_about_a_crashed_test(self, again: bool) -> None:
        """Other plugins had their say."""
        index, devices = self.blamed.pop(0)
        if again:
            self.again(index, devices)
        self.settle(index)

    @rule(pick=PICK)
    @precondition(lambda self: self.crashed and not any(test.stage for test in self.tests))
    def a_crashed_test_is_wanted_again(self, pick: int) -> None:
        """Another plugin says so, late; where there are stages, that would be too late."""
        self.again(sorted(self.crashed)[pick % len(self.crashed)], frozenset())

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
            could = {test.index for test in self.free() if self.may_run(worker, test)}
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
        assert not self.planner.has_pending
        assert not self.workers

    # How it happens

    def start(self, gpus: int, memory: int) -> str:
        name = f"gw{self.numbers}"
        self.numbers += 1
        assert self.numbers <= 100 + 10 * (len(self.tests) + self.losses), "workers come and go without end"
        self.workers[name] = Worker(name, gpus=gpus, memory=memory)
        self.refused[name] = set()
        self.planner.started(name, gpus, memory)
        return name

    def free_devices(self, worker: Worker) -> list[str]:
        held = {device for other in self.workers.values() for device in other.devices}
        return [
            device
            for device, memory in self.devices.items()
            if device not in held | self.lost_devices and memory >= worker.memory
        ]

    def can_join(self, worker: Worker) -> bool:
        return not worker.ready and not worker.told and len(self.free_devices(worker)) >= worker.gpus

    def join(self, worker: Worker) -> None:
        worker.devices = frozenset(self.free_devices(worker)[: worker.gpus])
        worker.memory = min((self.devices[device] for device in worker.devices), default=0)
        worker.ready = True
        self.waits.add(worker.name)
        self.questions += 1
        memory = worker.memory if worker.gpus else math.inf
        self.carry_out(self.planner.joined(worker.name, worker.devices, memory))

    def can_be_poisoned(self, worker: Worker) -> bool:
        # Two of them are always left: devices of no use to anybody else would be lost to the pool.
        sound = [other for other in self.workers.values() if not other.poisoned]
        return worker.ready and worker in sound and worker.name not in self.retired and self.losses < 20

    def can_run(self, test: Test, devices: Iterable[int]) -> bool:
        memories = list(devices)
        enough = sum(memory >= test.memory for memory in memories) >= test.gpus
        return enough or test.gpus > len(memories)

    def drain(self) -> None:
        """Let everybody go on until nothing moves."""
        for _ in range(40 * len(self.tests) + 400):
            moved = [self.go_on(worker) for worker in list(self.workers.values())]
            if not any(moved):
                return
        left = [test for test in self.tests if test.index not in self.over]
        raise AssertionError(f"it goes on for ever: {self.workers}, {left}")

    def go_on(self, worker: Worker, *, stuck: bool = False) -> bool:
        """Hear, read or work, whichever can be done; say whether anything could."""
        if worker.name not in self.workers:
            return False
        if worker.said:
            self.hear(worker)
        elif not worker.ready and worker.told:
            self.bury(worker, None)  # cancelled before it had a device
        elif self.can_join(worker):
            self.join(worker)
        elif worker.ready and worker.told:
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
        if not self.workers:
            return
        worker = dice.choice(list(self.workers.values()))
        fate = dice.choice(["again", "again", "settled", "later"])
        if not worker.ready:
            if chance < 0.2:
                self.go_on(worker)
        elif chance < 0.02:
            if self.blamed:
                self.it_is_decided_about_a_crashed_test(again=dice.random() < 0.5)
        elif chance < 0.05:
            if self.late:
                self.a_late_answer_comes()
        elif deaths and chance < 0.06:
            self.kill(worker, keep=dice.random() < 0.8, fate=fate, hung=dice.random() < 0.3)
        elif deaths and chance < 0.065 and self.can_be_poisoned(worker):
            worker.poison()
        elif deaths and chance < 0.1 and self.robbed and self.waits:
            self.kill(self.workers[self.robbed[0]], keep=dice.random() < 0.8, fate=fate, hung=False)
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
            self.check_begun(worker, self.tests[worker.running])

    def hear(self, worker: Worker) -> None:
        kind, value = worker.said.popleft()
        name = worker.name
        match kind, value:
            case "asks", _:
                self.questions += 1
                queue = self.planner.assigned(name)
                if len(queue) <= 1 and name not in self.retired:
                    self.waits.add(name)
                if queue:
                    self.ending.add(name)
                self.carry_out(self.planner.asks(name))
            case "ended", (int(index), float(seconds)):
                self.over.add(index)
                self.ending.discard(name)
                self.families.setdefault(self.tests[index].family, []).append(seconds)
                decisions = self.planner.ended(name, index, seconds)
                self.carry_out(decisions)
                if not self.robbed and not any(isinstance(decision, Assign) for decision in decisions):
                    self.check_kept()
            case "stolen", list(given):
                if name in self.robbed:
                    self.robbed.remove(name)
                    self.refused[name] |= self.asked_for.pop(name) - set(given)
                self.carry_out(self.planner.stolen(name, given))
            case "poisoned", list(given):
                self.losses += 1
                self.leaves(name)
                self.retired.add(name)
                self.carry_out(self.planner.poisoned(name, given))
            case "gone", _:
                assert worker.poisoned or self.planner.assigned(name) == ()
                self.bury(worker, None)

    def kill(self, worker: Worker, *, keep: bool, fate: str, hung: bool) -> None:
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
        index, replaced = worker.running, not hung
        if index is not None:
            self.blamed.append((index, worker.devices))
        self.bury(worker, index, replaced=replaced)
        if index is not None and fate == "again":
            self.again(index, worker.devices)
        if index is not None and fate != "later":
            self.settle(index)
        if replaced:
            self.unasked.add(self.start(worker.gpus, 0))

    def leaves(self, name: str) -> None:
        self.waits.discard(name)
        self.resting.discard(name)
        self.unasked.discard(name)
        self.ending.discard(name)
        self.asked_for.pop(name, None)
        self.robbed = [robbed for robbed in self.robbed if robbed != name]
        self.owners = {group: owner for group, owner in self.owners.items() if owner != name}

    def bury(self, worker: Worker, blamed: int | None, *, replaced: bool = False) -> None:
        assert blamed is None or blamed in self.planner.assigned(worker.name)
        del self.workers[worker.name]
        self.leaves(worker.name)
        self.carry_out(self.planner.lost(worker.name, blamed, replaced=replaced))

    def settle(self, index: int) -> None:
        self.blamed = [entry for entry in self.blamed if entry[0] != index]
        if index not in self.rerun:
            self.over.add(index)
            self.crashed.add(index)
        self.carry_out(self.planner.settled(index))

    def again(self, index: int, avoid: frozenset[str]) -> None:
        self.blamed = [entry for entry in self.blamed if entry[0] != index]
        self.crashed.discard(index)
        self.over.discard(index)
        self.rerun.add(index)
        self.agains[index] += 1
        if self.tests[index].group is not None:
            self.split.add(self.kind(self.tests[index]))
        self.carry_out(self.planner.again(index, avoid))

    def carry_out(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, Start):
                continue
            assert decision.worker in self.workers, "a dead worker is told something"
            assert decision.worker not in self.retired, "a worker that was let go is told something"
            if not (isinstance(decision, Retire) and self.workers[decision.worker].poisoned):
                self.workers[decision.worker].told.append(decision)
        # In two steps: the planner's queues are those after the last decision.
        for decision in decisions:
            match decision:
                case Assign(worker=name, tests=tests):
                    self.check_assigned(name, tests)
                case Steal(worker=name, tests=tests):
                    self.check_steal(name, tests)
                case Rest(worker=name):
                    assert name in self.waits | self.ending, "nobody asked"
                    self.waits.add(name)  # it asked when it had a next test, which was stolen since
                    self.resting.add(name)
                case Retire(worker=name):
                    self.waits.discard(name)
                    self.resting.discard(name)
                    self.retired.add(name)
        for decision in decisions:
            match decision:
                case Start(gpus=gpus, memory=memory):
                    self.start(gpus, memory)
                case Retire(worker=name):
                    self.check_retired(self.workers[name], decisions)

    # What must hold of what happens

    def check_begun(self, worker: Worker, test: Test) -> None:
        self.begun[test.index] += 1
        self.rerun.discard(test.index)
        running = [
            self.tests[other.running]
            for other in self.workers.values()
            if other is not worker and other.running is not None
        ]
        assert not running or not test.serial, f"{running} run beside {test}"
        assert not any(other.serial for other in running), f"{test} runs beside a serial test"
        assert not any(other.locks & test.locks for other in running), f"{running} hold a lock of {test}"
        earlier = {other.index for other in self.tests if other.stage < test.stage}
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
            kind = self.kind(self.tests[index])
            if self.tests[index].group is not None and kind not in self.split:
                assert self.owners.setdefault(kind, name) == name, "a group is on two workers"
        if not any(self.tests[index].group or self.agains[index] for index in tests):
            last = max(self.rank(self.tests[index]) for index in tests)
            better = {test.index for test in self.free() if self.rank(test) < last and self.may_run(worker, test)}
            assert not better, f"{better} should come before {tests}"
        if ahead := [self.tests[index] for index in queue[2:]]:
            assert len(queue) - 1 <= AHEAD_TESTS
            expected = [self.expected(test) for test in ahead]
            assert sum(expected) <= AHEAD_SECONDS * (1 + 1e-9), "too much ahead"
            assert not any(test.locks or test.serial for test in ahead if test.group is None)

    def expected(self, test: Test) -> float:
        seen = self.families.get(test.family, [])
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

    def check_kept(self) -> None:
        """No more workers wait for a test than there are tests that could come."""
        idle = [self.workers[name].gpus for name in self.waits - self.retired if not self.planner.assigned(name)]
        held = {index for name in self.workers for index in self.planner.assigned(name)}
        left = Counter(self.size(test) for test in self.tests if test.index not in self.over | held)
        assert all(count <= left[gpus] for gpus, count in Counter(idle).items()), f"{idle} wait for {left}"

    def check_retired(self, worker: Worker, decisions: Sequence[Decision]) -> None:
        assert len(self.planner.assigned(worker.name)) <= 1
        makes_room = self.planner._staffing.gathers or any(isinstance(decision, Start) for decision in decisions)
        if makes_room or self.lost_devices or not worker.ready or worker.name in self.unasked:
            return
        could = {test.index for test in self.free() if self.may_run(worker, test)}
        assert not could, f"{worker.name} is let go while {could} are free"
        to_be_had = {
            index
            for other in self.workers.values()
            if other.gpus == worker.gpus and not other.poisoned
            for index in self.planner.assigned(other.name)[2 if other.name in self.ending else 1 :]
            if self.tests[index].group is None and index not in self.refused[other.name]
            if self.tests[index].memory <= worker.memory
        }
        assert not to_be_had, f"{worker.name} is let go while {to_be_had} wait behind a running test"

    # What is free

    def kind(self, test: Test) -> Hashable:
        return test.index if test.group is None else (test.group, test.stage, test.gpus, test.serial)

    def size(self, test: Test) -> int:
        return test.gpus if test.gpus <= self.largest else min(1, self.largest)

    def rank(self, test: Test) -> tuple[float, ...]:
        if test.seconds is None or not self.longest:
            return (-test.priority, 0, 0) if self.longest else (-test.priority, 0, 0, test.index)
        return (-test.priority, 1, -round(math.log(max(test.seconds, SHORTEST)) / math.log(1.05)))

    def free(self) -> list[Test]:
        """The tests without a group that no worker has."""
        held = {index for name in self.workers for index in self.planner.assigned(name)} | {at for at, _ in self.blamed}
        return [test for test in self.tests if test.index not in self.over | held and test.group is None]

    def may_run(self, worker: Worker | None, test: Test) -> bool:
        """Whether nothing keeps a free test from running now, on this worker if one is given."""
        if worker is not None:
            if worker.gpus != test.gpus or worker.memory < test.memory or worker.devices & self.lost_devices:
                return False
            if self.agains[test.index] and worker.devices:
                return False  # perhaps it is to avoid these
        stage = min(test.stage for test in self.tests if test.index not in self.over)
        # The rest of a group belongs to its worker.
        others = {at for worker in self.planner._workers for at in worker.tests}
        kinds = {self.kind(self.tests[index]) for index in others}
        held = [other for other in self.tests if self.kind(other) in kinds and other.index not in self.over]
        if test.stage > stage or any(other.locks & test.locks for other in held):
            return False
        if any(other.serial for other in held):
            return False
        return not any(other.serial and other.priority >= test.priority for other in self.tests)


TestSchedule = Schedule.TestCase
TestSchedule.settings = settings(
    max_examples=250,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes; add Phase.shrink to have it
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
