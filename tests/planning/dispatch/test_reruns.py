"""Tests that crashed run again, if somebody says so."""

from __future__ import annotations

from made_plans import LONG, SHORT, several

from pytest_gpupool.planning.decisions import Assign, Rest
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test


class TestReruns:
    """A crashed test."""

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
