"""Whoever waits gets what there is; who waits for nothing is let go."""

from __future__ import annotations

from made_plans import LONG, several

from pytest_gpupool.planning.decisions import Assign, Rest, Retire
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test


class TestNothing:
    """A worker for which there is no test."""

    def test_a_worker_that_comes_when_all_is_given_is_let_go(self) -> None:
        """There is nothing that it could have."""
        planner = Planner(several(3, group="g"))
        planner.joined("gw0")
        assert planner.joined("gw1") == [Retire("gw1")]
        assert not planner.finished

    def test_workers_that_rest_are_let_go_when_nothing_is_left_for_them(self) -> None:
        """One rests for each test that waits for a lock."""
        x = frozenset({"x"})
        planner = Planner([Test(index=index, function="f", locks=x) for index in range(2)])
        planner.joined("gw0")
        assert planner.joined("gw1") == []
        assert planner.joined("gw2") == [Retire("gw1")]
        planner.asks("gw0")
        assert planner.ended("gw0", 0, LONG) == [Retire("gw2")]

    def test_workers_that_wait_are_fed_past_one_with_too_little_memory(self) -> None:
        """Whoever fits gets the test."""
        x = frozenset({"x"})
        tests = [Test(index=index, function="f", locks=x, memory=memory) for index, memory in enumerate([0, 80, 0])]
        planner = Planner([*tests, Test(index=3, function="g", stage=1), Test(index=4, function="g", stage=1)])
        planner.joined("gw0", ["d0"], 80)
        planner.joined("gw1", ["d1"], 40)
        planner.joined("gw2", ["d2"], 80)
        assert planner.asks("gw0") == [Assign("gw0", (1,))]


class TestLocks:
    """Tests that share a name."""

    def test_tests_that_share_a_lock_run_one_after_another(self) -> None:
        """Others go past them; the end of one frees the next."""
        x = frozenset({"x"})
        planner = Planner(
            [Test(index=0, function="f", locks=x), Test(index=1, function="f", locks=x), *several(1, "g", 2)]
        )
        assert planner.joined("gw0") == [Assign("gw0", (0,))]
        assert planner.joined("gw1") == [Assign("gw1", (2,))]
        assert planner.asks("gw1") == [Rest("gw1")]
        assert planner.ended("gw1", 2, LONG) == []
        assert planner.ended("gw0", 0, LONG) == [Assign("gw1", (1,))]

    def test_a_worker_goes_on_with_its_lock(self) -> None:
        """Its next test begins when the one before has ended; the lock is free when both have."""
        x = frozenset({"x"})
        planner = Planner([Test(index=index, function="f", locks=x) for index in range(3)])
        planner.joined("gw0")
        assert planner.joined("gw1") == []
        assert planner.asks("gw0") == [Assign("gw0", (1,))]
        assert planner.ended("gw0", 0, LONG) == []
        assert planner.lost("gw0", None) == [Assign("gw1", (1,))]
        assert planner.assigned("gw1") == (1,)

    def test_a_group_holds_its_locks_to_its_end(self) -> None:
        """Also when only those of its tests are left that need none."""
        x = frozenset({"x"})
        group = [
            Test(index=index, function="f", group="g", locks=x if index == 0 else frozenset()) for index in range(3)
        ]
        planner = Planner([*group, Test(index=3, function="h", locks=x)])
        planner.joined("gw0")
        assert planner.joined("gw1") == []
        for index in (0, 1):
            assert planner.asks("gw0") == [Assign("gw0", (index + 1,))]
            assert planner.ended("gw0", index, LONG) == []
        assert planner.ended("gw0", 2, LONG) == [Assign("gw1", (3,))]
