"""What one worker is given next."""

from __future__ import annotations

from made_plans import LONG, model, order, several

from pytest_gpupool.planning.decisions import Assign
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test


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
        tests = [Test(index=index, function=str(index), priority=value) for index, value in enumerate([0, 5, -1, 5, 0])]
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


class TestDurations:
    """What earlier runs know of how long tests take."""

    def test_the_longest_known_goes_first_and_the_unknown_before(self) -> None:
        """A worker has them in that order."""
        tests = [
            Test(index=index, function="f", seconds=seconds) for index, seconds in enumerate([1.0, 9.0, None, 4.0])
        ]
        assert order(Planner(tests)) == [2, 1, 3, 0]
        assert order(Planner(tests, longest_first=False)) == [0, 1, 2, 3]

    def test_a_worker_goes_on_with_its_fixtures(self) -> None:
        """Among tests that are as long."""
        tests = [Test(index=index, function="f", seconds=LONG, set_ups=(model("ab"[index % 2]),)) for index in range(4)]
        planner = Planner(tests)
        assert planner.joined("gw0") == [Assign("gw0", (0,))]
        assert planner.joined("gw1") == [Assign("gw1", (1,))]
        assert planner.asks("gw0") == [Assign("gw0", (2,))]
