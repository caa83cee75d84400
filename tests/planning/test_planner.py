"""What becomes of a worker's tests when it is lost, poisoned, or its devices are."""

from __future__ import annotations

import functools

from made_plans import LONG, SHORT, at_most, several, sized, with_workers

from pytest_gpupool.planning.decisions import Assign, Retire, Start
from pytest_gpupool.planning.demands import possible
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.values.device import Device


class TestLost:
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
        assert not planner.finished
        assert planner.joined("gw1") == [Assign("gw1", (0,))]

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


class TestPoisoned:
    """A worker that can run no more tests gives back what it has."""

    def test_a_poisoned_worker_s_queue_goes_to_others(self) -> None:
        """Those on their way to it too; nothing more is given to it."""
        planner = Planner([Test(index=index, function="f", seconds=SHORT) for index in range(4)])
        assert planner.joined("gw0") == [Assign("gw0", (0, 1, 2, 3))]
        assert planner.poisoned("gw0", (1, 2)) == []
        assert planner.assigned("gw0") == (0,)
        assert planner.asks("gw0") == []
        assert planner.joined("gw1") == [Assign("gw1", (1, 2, 3))]

    def test_a_poisoned_worker_keeps_its_lock_while_its_test_runs(self) -> None:
        """And the rest of a group waits for the end of the worker, so that two workers never run one group."""
        x = frozenset({"x"})
        group = [Test(index=index, function="f", group="g", locks=x, priority=1) for index in range(3)]
        planner = Planner([*group, Test(index=3, function="h", locks=x)])
        planner.joined("gw0")
        planner.asks("gw0")
        assert planner.poisoned("gw0", (1,)) == []
        assert planner.joined("gw1") == []
        assert planner.ended("gw0", 0, LONG) == []
        assert planner.lost("gw0", None) == [Assign("gw1", (1,))]
        assert planner.asks("gw1") == [Assign("gw1", (2,))]


class TestShrunk:
    """The pool has lost devices."""

    def test_tests_that_are_too_large_for_what_is_left_run_on_any_worker(self) -> None:
        """There they can say so; also those that a worker has when the devices are lost."""
        planner = with_workers(sized(2, 2), 2)
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
        tests = [Test(index=0, function="f", memory=40), Test(index=1, function="f")]
        planner = with_workers(tests, 2)
        assert planner.joined("gw0", ["d0"], 16) == [Assign("gw0", (1,))]
        planner.shrunk(1, functools.partial(possible, devices=devices), ["d2"])
        assert planner.asks("gw0") == [Assign("gw0", (0,))]

    def test_a_worker_on_a_lost_device_is_let_go(self) -> None:
        """When it has nothing to run, or asks for more."""
        planner = with_workers(several(5), 2)
        planner.joined("gw0", ["d0"])
        planner.joined("gw1", ["d1"])
        assert planner.shrunk(1, at_most(1), ["d1"]) == []
        assert planner.asks("gw1") == [Retire("gw1")]
        assert planner.asks("gw0") == [Assign("gw0", (2,))]


class TestQuestions:
    """A worker asks for its next test."""

    def test_who_was_told_to_end_is_told_nothing_more(self) -> None:
        """Its question has crossed with the answer, for which the call of its test was the reason."""
        planner = with_workers(several(2), 2)
        planner.joined("gw0")
        planner.joined("gw1")
        assert planner.asks("gw0") == [Retire("gw0")]
        assert planner.asks("gw0") == []
