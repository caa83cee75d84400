"""Tests that crashed run again, if somebody says so."""

from __future__ import annotations

from made_plans import LONG, SHORT, numbered, several

from pytest_gpupool.planning.backlog.queue import Queue
from pytest_gpupool.planning.decisions import Assign, Rest, Retire, Start
from pytest_gpupool.planning.dispatch.reruns import Reruns
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.planning.workers import Workers


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
        planner = Planner([*several(3), Test(index=3, function="g", stage=1)])
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
        planner = Planner([Test(index=0, function="f", memory=80), *several(1, first=1)])
        planner.joined("gw0", ["d0"], 80)
        planner.lost("gw0", 0)
        planner.again(0, ["d0"])
        assert planner.joined("gw1", ["d1"], 40) == [Assign("gw1", (1,))]
        assert planner.joined("gw2", ["d2"], 80) == [Assign("gw2", (0,))]

    def test_a_crashed_test_of_a_group_keeps_its_lock(self) -> None:
        """Also where the rest of the group, which needs no lock, went to another worker."""
        x = frozenset({"x"})
        group = [Test(index=0, function="f", group="g", locks=x), Test(index=1, function="f", group="g")]
        planner = Planner([*group, Test(index=2, function="h", locks=x)])
        planner.joined("gw0")
        planner.lost("gw0", 0)
        assert planner.joined("gw1") == [Assign("gw1", (1,))]
        assert planner.joined("gw2") == [Assign("gw2", (2,))]
        planner.again(0)
        assert planner.asks("gw1") == [Rest("gw1")]
        assert planner.ended("gw1", 1, LONG) == []
        assert planner.asks("gw2") == [Assign("gw2", (0,))]


class TestPlaces:
    """Where a test waits that runs again."""

    LOCKED = Test(index=0, function="f", locks=frozenset("x"))
    GROUPED = (Test(index=1, function="f", group="g"), Test(index=2, function="f", group="g"))
    FREE = Test(index=3, function="f")
    TESTS = (LOCKED, *GROUPED, FREE)

    def parts(self) -> tuple[Queue, Workers, Reruns]:
        """Every test has been taken from the queue by now."""
        queue, workers = Queue(numbered(*self.TESTS)), Workers(2)
        return queue, workers, Reruns(numbered(*self.TESTS), queue, workers)

    def test_one_that_has_to_wait_for_others_is_in_the_queue(self) -> None:
        """As every test with a lock."""
        queue, _, reruns = self.parts()
        reruns.add(0, ["d0"])
        assert (bool(queue), reruns.waiting) == (True, False)

    def test_one_of_a_group_is_with_the_rest_of_it(self) -> None:
        """It is the next one there; where nobody has the rest, it waits for any worker."""
        queue, workers, reruns = self.parts()
        owner = workers.joined("gw0", ["d0"], 8)
        owner.reserved.append(2)
        reruns.add(1, ["d0"])
        assert ([*owner.reserved], bool(queue), reruns.waiting) == ([1, 2], False, False)
        workers.retire(owner)
        reruns.add(1, ["d0"])
        assert reruns.waiting

    def test_another_waits_before_all_that_is_queued(self) -> None:
        """For whoever fits, but for those on its device while others may come."""
        _, workers, reruns = self.parts()
        here = workers.joined("gw0", ["d0"], 8)
        workers.announce(1, 0)
        reruns.add(3, ["d0"])
        assert reruns.take(here) is None
        workers.started("gw1", 1)
        assert reruns.take(workers["gw1"]) == 3
        assert (reruns.take(here), reruns.waiting) == (None, False)


def test_a_crashed_test_is_undecided_until_somebody_decides() -> None:
    """Then it runs again, or is given up; given up twice, it is given up once."""
    tests = [Test(index=0, function="s", serial=True), Test(index=1, function="f", gpus=2)]
    queue = Queue(numbered(*tests))
    reruns = Reruns(numbered(*tests), queue, Workers(2))
    for index in (0, 1):
        reruns.crashed(index)
    assert (reruns.undecided, reruns.undecided_serial) == (True, True)
    assert sorted(reruns.undecided_needs()) == [(1, 0), (2, 0)]
    reruns.add(1, [])
    assert (reruns.needs(), reruns.undecided_needs()) == ([(2, 0)], [(1, 0)])
    assert [reruns.gives_up(0), reruns.gives_up(0)] == [True, False]
    assert (reruns.undecided, reruns.undecided_serial, bool(queue)) == (False, False, False)


class TestFresh:
    """A test that ran out of memory, and is for a worker that has run nothing."""

    def out_of_memory(self, planner: Planner, worker: str, index: int) -> None:
        """A worker ends for it, and the test is to run again."""
        planner.poisoned(worker, [])
        planner.ended(worker, index, SHORT, is_over=False)
        planner.again(index, fresh=True)

    def begun(self, *tests: Test, workers: int = 2, are_shared: bool = False) -> Planner:
        """Each of so many workers runs a test."""
        planner = Planner(tests, capacity=workers, asked=workers, are_shared=are_shared)
        for number in range(workers):
            planner.started(f"gw{number}")
            planner.leased(f"gw{number}")
        for number in range(workers):
            planner.joined(f"gw{number}", [f"d{number}"])
        return planner

    def test_who_has_run_others_does_not_run_it(self) -> None:
        """Its worker's place is for a new one, which runs it first; the run is not over before."""
        planner = self.begun(*several(3))
        assert planner.poisoned("gw0", []) == [Start(1)]
        assert planner.ended("gw0", 0, LONG, is_over=False) == []
        assert planner.again(0, fresh=True) == []  # the new one is for it
        planner.ended("gw1", 1, LONG)
        assert planner.asks("gw1") == [Assign("gw1", (2,))]
        planner.ended("gw1", 2, LONG)
        assert planner.asks("gw1") == [Retire("gw1")]
        assert not planner.finished
        planner.started("gw2")
        assert planner.joined("gw2", ["d0"]) == [Assign("gw2", (0,))]
        planner.ended("gw2", 0, LONG)
        assert planner.finished

    def test_an_idle_worker_makes_room(self) -> None:
        """Where the run may hold no more devices."""
        later = Test(index=2, function="g", stage=1)
        planner = self.begun(*several(2), later)
        planner.ended("gw1", 1, LONG)
        assert planner.asks("gw1") == []  # it waits for the next stage
        assert planner.lost("gw0", 0, room=1) == []
        assert planner.again(0, fresh=True) == [Retire("gw1"), Start(1)]

    def test_where_devices_are_shared_it_waits_for_all_others(self) -> None:
        """Then all are let go, and one worker comes that shares its device with nobody; it ends with that test."""
        planner = self.begun(*several(3), Test(index=3, function="g", stage=1), are_shared=True)
        self.out_of_memory(planner, "gw0", 0)
        planner.lost("gw0", None)
        planner.started("gw2")
        planner.ended("gw1", 1, LONG)
        assert planner.asks("gw1") == [Assign("gw1", (2,))]
        assert planner.joined("gw2", ["d0"]) == []
        planner.ended("gw1", 2, LONG)
        assert planner.asks("gw1") == [Retire("gw1")]
        assert planner.lost("gw1", None) == [Retire("gw2"), Start(1, is_alone=True)]
        planner.started("gw3", is_alone=True)
        assert planner.joined("gw3", ["d0"]) == [Assign("gw3", (0,))]
        assert planner.lost("gw2", None) == []
        ended = planner.ended("gw3", 0, LONG)
        assert Start(1) in ended
        assert planner.asks("gw3") == [Retire("gw3")]

    def test_a_lock_is_held_again(self) -> None:
        """Such a test waits for all others too, as a serial one does."""
        locked = Test(index=0, function="f", locks=frozenset("x"))
        planner = self.begun(locked, *several(1, first=1))
        self.out_of_memory(planner, "gw0", 0)
        planner.lost("gw0", None)
        assert planner.ended("gw1", 1, LONG) == []
        assert planner.asks("gw1") == [Retire("gw1")]
        assert planner.lost("gw1", None) == [Start(1, is_alone=True)]

    def test_who_is_about_to_ask_for_the_next_test_is_no_idle_worker(self) -> None:
        """It has just ended one, and others wait: nobody comes who would be alone."""
        locked = [Test(index=index, function="f", locks=frozenset("x")) for index in range(3)]
        planner = self.begun(*locked, workers=1)
        self.out_of_memory(planner, "gw0", 0)
        planner.lost("gw0", None)
        planner.started("gw1")
        assert planner.joined("gw1", ["d0"]) == [Assign("gw1", (1,))]
        assert planner.ended("gw1", 1, LONG) == []
        assert planner.asks("gw1") == [Assign("gw1", (2,))]

    def test_a_worker_that_dies_before_it_begins_leaves_it_to_another_fresh_one(self) -> None:
        """Not to whoever is next."""
        planner = self.begun(*several(4))
        self.out_of_memory(planner, "gw0", 0)
        planner.lost("gw0", None)
        planner.started("gw2")
        assert planner.joined("gw2", ["d0"]) == [Assign("gw2", (0,))]
        planner.lost("gw2", None, replaced=True)
        planner.ended("gw1", 1, LONG)
        assert planner.asks("gw1") == [Assign("gw1", (2,))]
        planner.started("gw3")
        assert planner.joined("gw3", ["d0"]) == [Assign("gw3", (0,))]

    def test_what_a_fresh_worker_has_not_collected_anybody_runs(self) -> None:
        """No end of workers is started for a test that comes and goes with each collection."""
        planner = self.begun(*several(3))
        self.out_of_memory(planner, "gw0", 0)
        planner.started("gw2")
        planner.collected(1, lacks=[0], more=[])
        assert planner.joined("gw2", ["d0"], collection=1) == [Assign("gw2", (2,))]
        planner.ended("gw1", 1, LONG)
        assert planner.asks("gw1") == [Assign("gw1", (0,))]


class TestExchanges:
    """Where an engine chooses the devices of a new worker."""

    def failed_on(self, device: str, *tests: Test, capacity: int = 1) -> Planner:
        """The first test has failed there, and is to be tried again on another device."""
        planner = Planner(tests, capacity=capacity, asked=capacity)
        planner.started("gw0")
        planner.joined("gw0", [device])
        planner.poisoned("gw0", [])
        planner.ended("gw0", 0, SHORT, is_over=False)
        planner.again(0, [device], exchanges=2)
        planner.lost("gw0", None)
        planner.started("gw1")
        return planner

    def test_who_comes_to_the_same_device_is_exchanged(self) -> None:
        """Another one is asked for before it goes, so often; then the test is given up, and others go on."""
        planner = self.failed_on("d0", *several(1), Test(index=1, function="g", stage=1))
        assert planner.joined("gw1", ["d0"]) == [Start(1), Retire("gw1")]
        planner.started("gw2")
        assert planner.lost("gw1", None) == []
        assert planner.joined("gw2", ["d0"]) == [Start(1), Retire("gw2")]
        planner.started("gw3")
        assert (planner.lost("gw2", None), planner.in_vain) == ([], [])
        assert Assign("gw3", (1,)) in planner.joined("gw3", ["d0"])
        assert planner.in_vain == [0]
        planner.ended("gw3", 1, SHORT)
        assert planner.finished

    def test_who_has_other_tests_stays(self) -> None:
        """Another one is asked for when it has none."""
        planner = self.failed_on("d0", *several(2))
        assert planner.joined("gw1", ["d0"]) == [Assign("gw1", (1,))]
        assert planner.asks("gw1") == [Start(1), Retire("gw1")]
        planner.started("gw2")
        assert planner.joined("gw2", ["d1"]) == [Assign("gw2", (0,))]

    def test_while_somebody_has_another_device_it_is_not_given_up(self) -> None:
        """However long that takes."""
        planner = Planner(several(3), capacity=2, asked=2)
        for name in ("gw0", "gw1"):
            planner.started(name)
        for name, device in (("gw0", "d0"), ("gw1", "d1")):
            planner.joined(name, [device])
        assert planner.poisoned("gw0", []) == [Start(1)]
        planner.ended("gw0", 0, SHORT, is_over=False)
        planner.again(0, ["d0"], exchanges=1)
        planner.lost("gw0", None)
        planner.started("gw2")
        assert planner.joined("gw2", ["d0"]) == [Assign("gw2", (2,))]
        assert planner.asks("gw2") == [Retire("gw2")]
        assert planner.in_vain == []
        assert planner.asks("gw1") == [Assign("gw1", (0,))]

    def test_who_cannot_use_its_device_is_exchanged_too(self) -> None:
        """If a test waits for others; else it stays, and keeps the device from others."""
        planner = self.failed_on("d0", *several(1))
        assert planner.is_barred("gw1") == [Start(1), Retire("gw1")]
        planner.started("gw2")
        assert planner.joined("gw2", ["d1"]) == [Assign("gw2", (0,))]
        planner = Planner(several(2), capacity=2, asked=2)
        for name in ("gw0", "gw1"):
            planner.started(name)
        planner.joined("gw0", ["d0"])
        assert planner.is_barred("gw1") == []
