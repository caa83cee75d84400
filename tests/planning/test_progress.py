"""A stage begins when all tests of the lower ones are over."""

from __future__ import annotations

from made_plans import LONG, numbered, queue_of, several

from pytest_gpupool.planning.decisions import Assign, Rest
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.progress import Progress
from pytest_gpupool.planning.tests import Test


class TestStages:
    """Tests that wait for a stage."""

    def test_a_stage_begins_when_all_of_the_lower_have_ended(self) -> None:
        """Until then a worker that nothing is there for rests, and is fed by the last end."""
        planner = Planner([*several(2), Test(index=2, function="g", stage=1), Test(index=3, function="g", stage=1)])
        planner.joined("gw0")
        planner.joined("gw1")
        assert planner.asks("gw0") == [Rest("gw0")]
        assert planner.ended("gw0", 0, LONG) == []
        assert planner.asks("gw1") == [Rest("gw1")]
        assert planner.ended("gw1", 1, LONG) == [Assign("gw0", (2,)), Assign("gw1", (3,))]

    def test_a_stage_waits_for_what_may_run_again(self) -> None:
        """A crashed test has not ended before that is settled."""
        planner = Planner([*several(2), Test(index=2, function="g", stage=1)])
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
        planner = Planner([*several(1), Test(index=1, function="g", stage=1)])
        planner.joined("gw0")
        assert planner.joined("gw1") == []
        assert planner.lost("gw0", 0) == []
        assert planner.settled(0) == [Assign("gw1", (1,))]


class TestProgress:
    """Which tests are over."""

    TESTS = (*several(2), Test(index=2, function="g", stage=3), Test(index=3, function="g", stage=7))

    def test_it_is_finished_when_every_test_is_over(self) -> None:
        """One that is over twice is over once; one that runs again is not."""
        progress = Progress(numbered(*several(2)), queue_of(*several(2)))
        assert [progress.over(index) for index in (0, 0)] == [False, False]
        assert not progress.finished
        progress.over(1)
        assert progress.finished
        progress.reopen(0)
        assert not progress.finished

    def test_the_last_test_of_a_stage_begins_the_next(self) -> None:
        """The lowest of which there are tests; the last stage's begins none."""
        queue = queue_of(*self.TESTS)
        progress = Progress(numbered(*self.TESTS), queue)
        assert [(progress.over(index), queue.stage) for index in range(4)] == [
            (False, 0),
            (True, 3),
            (True, 7),
            (False, 7),
        ]

    def test_a_reopened_test_keeps_its_stage_open(self) -> None:
        """Until it is over again."""
        queue = queue_of(*self.TESTS)
        progress = Progress(numbered(*self.TESTS), queue)
        progress.over(0)
        progress.reopen(0)
        assert not progress.over(1)
        assert (progress.over(0), queue.stage) == (True, 3)
