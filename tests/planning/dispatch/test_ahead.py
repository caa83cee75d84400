"""Short tests are queued ahead of time, long ones never."""

from __future__ import annotations

from made_plans import LONG, SHORT, run_alone, several

from pytest_gpupool.planning.decisions import Assign
from pytest_gpupool.planning.dispatch.ahead import AHEAD_SECONDS, AHEAD_TESTS
from pytest_gpupool.planning.dispatch.pace import FAMILY_SEEN
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test


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


class TestKnown:
    """Durations that earlier runs know."""

    def test_short_tests_are_queued_ahead_from_the_start(self) -> None:
        """Where earlier runs know that they are short."""
        tests = [Test(index=index, function="f", seconds=SHORT) for index in range(9)]
        assert Planner(tests).joined("gw0") == [Assign("gw0", tuple(range(9)))]

    def test_a_long_test_of_a_short_function_is_no_short_one(self) -> None:
        """Its own record counts, whatever the function's other tests took."""
        tests = [*several(FAMILY_SEEN, priority=2), Test(index=FAMILY_SEEN, function="f", seconds=LONG, priority=1)]
        planner = Planner([*tests, *several(2, first=FAMILY_SEEN + 1)])
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        assert planner.assigned("gw0") == (FAMILY_SEEN,)
        assert planner.asks("gw0") == [Assign("gw0", (FAMILY_SEEN + 1, FAMILY_SEEN + 2))]
