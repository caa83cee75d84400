"""Workers may have collected different tests: each gets those that it has, and what nobody has is given up."""

from __future__ import annotations

from made_plans import LONG, several, with_workers

from pytest_gpupool.planning.decisions import Assign, Rest, Retire, Start
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test


def differing(tests: list[Test], lacks: list[int], more: list[Test], devices: int = 2) -> Planner:
    """A planner to which gw0 has told these tests, and of which collection 1 lacks some, and has more."""
    planner = with_workers(tests, devices)
    planner.joined("gw0")
    planner.collected(1, lacks, more)
    return planner


class TestDifferences:
    """Who may run what."""

    def test_each_gets_what_it_has(self) -> None:
        """In the plan's order, past what it lacks."""
        planner = differing(several(3), [1], several(1, first=3))
        assert planner.joined("gw1", collection=1) == [Assign("gw1", (2,))]
        assert planner.asks("gw0") == [Assign("gw0", (1,))]
        assert planner.asks("gw1") == [Assign("gw1", (3,))]

    def test_a_group_is_split_where_only_some_have_all_of_it(self) -> None:
        """What all have stays together, and so does what some have."""
        planner = with_workers(several(1), 3)
        planner.joined("gw0")
        group = several(2, first=1, group="g")
        planner.collected(1, [], group)
        planner.collected(2, [1, 2], several(2, first=3, group="g"))
        assert planner.joined("gw1", collection=1) == [Assign("gw1", (1,))]
        assert planner.joined("gw2", collection=2) == [Assign("gw2", (3,))]
        assert [planner.asks("gw1"), planner.asks("gw2")] == [[Assign("gw1", (2,))], [Assign("gw2", (4,))]]

    def test_nobody_is_started_for_what_some_lack(self) -> None:
        """Who knows whether one more worker would have it."""
        planner = differing(several(1), [0], several(9, first=1), devices=3)
        planner.joined("gw1", collection=1)
        planner.poisoned("gw2", [])
        assert planner.lost("gw2", None) == []

    def test_a_crashed_test_runs_again_where_it_was_collected(self) -> None:
        """Though another worker has nothing to do."""
        planner = differing(several(2), [0, 1], several(1, first=2))
        planner.joined("gw1", collection=1)
        assert planner.asks("gw1") == [Rest("gw1")]
        planner.lost("gw0", 0, replaced=True)
        planner.started("gw2", 1)
        assert planner.again(0) == []
        assert planner.ended("gw1", 2, LONG) == []
        assert planner.joined("gw2") == [Assign("gw2", (0,))]


class TestOrphans:
    """What nobody has who is left."""

    def test_one_more_worker_is_started_for_it(self) -> None:
        """Beside one that lacks it, and waits; where the new one lacks it too, it is given up."""
        planner = differing(several(2), [0, 1], [])
        planner.joined("gw1", collection=1)
        assert planner.poisoned("gw0", []) == [Start(1)]
        planner.started("gw2", 1)
        planner.ended("gw0", 0, LONG)
        assert not planner.finished
        planner.joined("gw2", collection=1)
        assert planner.finished

    def test_it_waits_for_who_comes_in_a_dead_ones_place(self) -> None:
        """That may have it."""
        planner = differing(several(2), [0, 1], several(1, first=2))
        planner.joined("gw1", collection=1)
        planner.lost("gw0", 0, replaced=True)
        planner.started("gw2", 1)
        planner.settled(0)
        assert planner.asks("gw1") == [Rest("gw1")]
        assert planner.ended("gw1", 2, LONG) == []
        assert Assign("gw2", (1,)) in planner.joined("gw2")

    def test_who_asks_when_its_last_test_has_ended_was_the_last_hope(self) -> None:
        """Nothing else would happen."""
        planner = with_workers(several(2), 1)
        planner.collected(1, [1], [])
        planner.joined("gw0", collection=1)
        planner.ended("gw0", 0, LONG)
        assert planner.asks("gw0") == [Retire("gw0")]
        assert planner.finished

    def test_nothing_that_somebody_has_is_given_up(self) -> None:
        """However many come who lack it."""
        planner = differing(several(3), [0, 1, 2], [])
        for worker in ("gw1", "gw2", "gw3"):
            planner.started(worker, 1)
            assert planner.joined(worker, collection=1) in ([], [Retire(worker)])
        assert planner.asks("gw0") == [Assign("gw0", (1,))]
        assert not planner.finished
