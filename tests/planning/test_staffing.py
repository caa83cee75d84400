"""There is a worker for what waits, and none for nothing."""

from __future__ import annotations

from made_plans import LONG, of_kind, queue_of, several, sized, with_workers

from pytest_gpupool.planning.decisions import Assign, Rest, Retire, Start
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.staffing import Staffing
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.planning.workers import Workers


class TestSizes:
    """Workers that hold several devices, or none."""

    def test_workers_for_larger_tests_are_formed_before_any_test_runs(self) -> None:
        """Of those that are still starting; nobody waits for a test to end."""
        planner = with_workers(sized(4, *[1] * 8), 8)
        decisions = planner.joined("gw0", ["d0"])
        assert of_kind(decisions, Start) == [Start(4)]
        assert len(of_kind(decisions, Retire)) == 4
        assert of_kind(decisions, Assign) == [Assign("gw0", (1,))]
        planner.started("gw8", 4)
        assert planner.joined("gw8", ["d4", "d5", "d6", "d7"]) == [Assign("gw8", (0,))]

    def test_devices_are_gathered_for_a_test_that_comes_late(self) -> None:
        """Workers that would be free are let go one by one, and the last one's place is the larger one's."""
        tests = [*sized(1, 1, 1, 1), Test(index=4, function="g", gpus=2, stage=1, seconds=LONG)]
        planner = with_workers(
            [*tests, *(Test(index=index, function="g", stage=1, seconds=LONG) for index in (5, 6, 7))], 2
        )
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
        planner = with_workers(sized(2, 1, 1), 2)
        planner.joined("gw0", ["d0"])
        planner.started("gw2", 2)
        assert planner.joined("gw2", ["d0", "d1"]) == [Assign("gw2", (0,))]
        assert planner.asks("gw2") == [Retire("gw2"), Start(1), Start(1)]

    def test_nobody_comes_for_a_later_stage_that_asks_for_memory(self) -> None:
        """How much it needs is asked then: a worker of less would be let go, and another one started, without end."""
        tests = [*sized(2), *(Test(index=index, function="g", memory=16, stage=1) for index in (1, 2))]
        planner = Planner(tests, capacity=3, asked=3)
        planner.started("gw0", 2)
        assert planner.joined("gw0", ["d0", "d1"], 80) == [Assign("gw0", (0,))]
        planner.started("gw1", 1)
        assert planner.joined("gw1", ["d2"], 8) == [Retire("gw1")]
        assert of_kind(planner.lost("gw1", None), Start) == []

    def test_a_worker_that_waits_for_a_later_stage_makes_room(self) -> None:
        """Also where it asks after its test has ended."""
        tests = [*sized(2), Test(index=1, function="g"), Test(index=2, function="h", gpus=2, stage=1)]
        planner = with_workers(tests, 2)
        planner.joined("gw0", ["d0"])
        planner.started("gw2", 2)
        assert planner.joined("gw2", ["d0", "d1"]) == [Assign("gw2", (0,))]
        assert planner.ended("gw2", 0, LONG) == []
        assert planner.asks("gw2") == [Retire("gw2"), Start(1)]

    def test_gathered_devices_are_used_when_they_are_gathered_in_vain(self) -> None:
        """Devices do not idle once what they were kept free for is no longer worth it."""
        tests = [*sized(1, 1), Test(index=2, function="g", gpus=2, seconds=LONG, priority=1)]
        planner = with_workers(tests, 2)
        planner.joined("gw0", ["d0"])
        planner.started("gw2", 2)
        planner.joined("gw2", ["d0", "d1"])
        planner.lost("gw2", 2, replaced=False)
        assert of_kind(planner.settled(2), Start) == []

    def test_a_test_without_devices_runs_beside_the_others(self) -> None:
        """On a worker without any, of which there is one more than devices at most."""
        planner = with_workers(sized(1, 1, 0, 0), 2)
        assert planner.joined("gw0", ["d0"]) == [Start(0), Assign("gw0", (0,))]
        planner.started("gw2", 0)
        assert planner.joined("gw2") == [Assign("gw2", (2,))]
        assert planner.asks("gw2") == [Assign("gw2", (3,))]

    def test_a_test_waits_for_a_worker_with_enough_memory(self) -> None:
        """One with less is let go for it when it has nothing else to do."""
        tests = [Test(index=0, function="f", memory=80, seconds=LONG), Test(index=1, function="g", seconds=LONG)]
        planner = with_workers(tests, 1)
        assert planner.joined("gw0", ["d0"], 40) == [Retire("gw0"), Start(1, 80)]
        planner.started("gw1", 1, 80)
        assert planner.joined("gw1", ["d1"], 80) == [Assign("gw1", (0,))]

    def test_workers_are_started_with_as_much_memory_as_every_test_needs(self) -> None:
        """One with less would be let go as soon as it came, time and again."""
        tests = [Test(index=index, function="f", gpus=2, memory=40 + 40 * index) for index in range(2)]
        planner = with_workers(tests, 4)
        decisions = planner.joined("gw0", ["d0"], 40)
        assert of_kind(decisions, Start) == [Start(2, 80), Start(2, 40)]


class TestReplaced:
    """Workers that xdist starts by itself."""

    def test_xdist_s_unasked_worker_is_let_go_where_it_has_no_room(self) -> None:
        """It starts one for each that dies, also for one that had made room for a larger one."""
        planner = with_workers(sized(2, 2, 1), 2)
        planner.joined("gw0", ["d0"])
        planner.started("gw2", 2)
        planner.lost("gw1", None, replaced=True)
        planner.started("gw3", 1)
        assert Retire("gw3") in planner.joined("gw2", ["d0", "d1"])


class TestKept:
    """Who is worth keeping."""

    def test_as_many_idle_workers_are_kept_as_could_be_needed(self) -> None:
        """By what waits, and by so many tests more."""
        x = frozenset("x")
        queue, workers = queue_of(*(Test(index=index, function="f", locks=x) for index in range(3))), Workers(3)
        staffing = Staffing(queue, workers, requested=3)
        idle = [workers.joined(name, ["d"], 8) for name in ("gw0", "gw1", "gw2")]
        for worker in idle[:2]:
            workers.rests(worker)
        assert [staffing.is_kept(idle[0], more) for more in (0, 1)] == [False, True]
        assert [staffing.is_kept(idle[2], more) for more in (1, 2)] == [False, True]

    def test_nobody_is_kept_while_the_last_worker_waits_for_memory(self) -> None:
        """Perhaps the one that is idle holds the devices."""
        queue, workers = queue_of(Test(index=0, function="f"), Test(index=1, function="f", memory=80)), Workers(2)
        staffing = Staffing(queue, workers, requested=2)
        idle = workers.joined("gw0", ["d0"], 8)
        assert staffing.is_kept(idle, 0)
        workers.announce(1, 80)
        assert not staffing.is_kept(idle, 0)

    def test_a_worker_on_a_lost_device_is_surplus(self) -> None:
        """Once it has run what is reserved for it."""
        queue, workers = queue_of(*several(2)), Workers(2)
        staffing = Staffing(queue, workers, requested=2)
        worker = workers.joined("gw0", ["d0"], 8)
        assert not staffing.is_surplus(worker)
        workers.lost_devices = frozenset({"d0"})
        worker.reserved.append(9)
        assert not staffing.is_surplus(worker)
        worker.reserved.clear()
        assert staffing.is_surplus(worker)


class TestReform:
    """Who comes and goes."""

    def test_a_test_that_runs_again_has_a_worker_of_its_size(self) -> None:
        """Before those for what is queued."""
        workers = Workers(4)
        staffing = Staffing(queue_of(*several(8)), workers, requested=4)
        assert staffing.reform([(4, 0)], []) == [Start(4)]
        assert (workers.coming[4], workers.room, staffing.gathers) == (1, 0, False)

    def test_devices_are_gathered_while_others_work_on_them(self) -> None:
        """Those that work there are surplus then, until it can be started."""
        workers = Workers(2)
        staffing = Staffing(queue_of(*sized(2)), workers, requested=2)
        busy = [workers.joined(name, ["d"], 8) for name in ("gw0", "gw1")]
        for number, worker in enumerate(busy):
            worker.assigned.append(90 + number)
        assert (staffing.reform([], []), staffing.gathers) == ([], True)
        assert staffing.is_surplus(busy[0])
        for worker in busy:
            workers.retire(worker)
        assert (staffing.reform([], []), staffing.gathers) == ([Start(2)], False)

    def test_who_has_not_come_yet_and_is_of_no_use_is_let_go(self) -> None:
        """But not while a crashed test may need it."""
        workers = Workers(2)
        staffing = Staffing(queue_of(), workers, requested=2)
        workers.started("gw0", 1)
        assert staffing.reform([], [(1, 0)]) == []
        assert staffing.reform([], []) == [Retire("gw0")]
