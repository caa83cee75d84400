"""Serial tests run while nothing else does."""

from __future__ import annotations

from made_plans import LONG, numbered, queue_of, several, with_workers

from pytest_gpupool.planning.backlog.queue import Queue
from pytest_gpupool.planning.decisions import Assign, Decision, Rest, Retire, Start
from pytest_gpupool.planning.dispatch.reruns import Reruns
from pytest_gpupool.planning.dispatch.serial import SerialTurn
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.planning.workers import Workers


class TestSerial:
    """Tests that run alone."""

    def test_a_serial_test_goes_last_and_alone(self) -> None:
        """Others rest until it has ended."""
        tests = [Test(index=0, function="s", serial=True), *several(2, first=1), Test(index=3, function="g", stage=1)]
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
        planner = Planner([Test(index=0, function="s", serial=True, priority=1), *several(3, first=1)])
        assert planner.joined("gw0") == [Assign("gw0", (0,))]
        assert planner.joined("gw1") == []
        assert planner.asks("gw0") == [Assign("gw0", (1,))]
        assert planner.ended("gw0", 0, LONG) == [Assign("gw1", (2,))]

    def test_a_serial_group_is_alone_to_its_end(self) -> None:
        """Also in the moment between two of its tests."""
        group = [Test(index=index, function="s", serial=True, group="g", priority=1) for index in range(2)]
        planner = Planner([*group, *several(1, first=2)])
        planner.joined("gw0")
        planner.joined("gw1")
        assert planner.ended("gw0", 0, LONG) == []
        assert planner.asks("gw0") == [Assign("gw0", (1,))]
        assert planner.ended("gw0", 1, LONG) == [Assign("gw1", (2,))]

    def test_a_serial_test_waits_for_a_crashed_one_of_another_size(self) -> None:
        """Whose worker needs the devices of the one that is there for the serial test."""
        tests = [Test(index=0, function="f"), Test(index=1, function="s", gpus=2, serial=True)]
        planner = with_workers(tests, 2)
        planner.joined("gw0", ["d0"])
        assert planner.lost("gw0", 0) == [Retire("gw1"), Start(2)]
        planner.started("gw2", 2)
        assert planner.joined("gw2", ["d0", "d1"]) == []
        assert planner.again(0) == [Retire("gw2"), Start(1)]
        planner.started("gw3", 1)
        assert planner.joined("gw3", ["d0"]) == [Assign("gw3", (0,))]
        assert planner.asks("gw3") == [Retire("gw3"), Start(2)]


class TestNobodyComesOrGoes:
    """While a serial test runs."""

    TESTS = (Test(index=0, function="s", serial=True), *several(2, first=1))

    def test_it_waits_for_a_worker_that_starts(self) -> None:
        """Once that has its device; then it collects, or is on its way to."""
        planner = with_workers(self.TESTS, 3)
        planner.leased("gw2")
        planner.joined("gw0")
        planner.joined("gw1")
        run_out(planner, "gw0", 1)
        run_out(planner, "gw1", 2)
        assert planner.joined("gw2") in ([Assign("gw0", (0,))], [Assign("gw1", (0,))], [Assign("gw2", (0,))])

    def test_who_waits_for_a_device_is_let_go(self) -> None:
        """It may get it in the middle of the test, or never."""
        planner = with_workers(self.TESTS, 3)
        planner.joined("gw0")
        planner.joined("gw1")
        assert Retire("gw2") in run_out(planner, "gw0", 1)
        run_out(planner, "gw1", 2)
        assert planner.lost("gw2", None) == [Assign("gw0", (0,))]

    def test_it_waits_for_a_worker_that_ends(self) -> None:
        """Until its process is gone, too."""
        planner = with_workers(self.TESTS, 2)
        planner.joined("gw0")
        planner.joined("gw1")
        planner.poisoned("gw1", [])
        planner.ended("gw1", 2, LONG)
        assert run_out(planner, "gw0", 1) == [Rest("gw0")]
        assert planner.lost("gw1", None, is_ending=True) == []
        assert planner.exited("gw1") == [Assign("gw0", (0,))]

    def test_nobody_is_let_go_meanwhile(self) -> None:
        """Though there is nothing for it any more."""
        planner = with_workers(self.TESTS, 2)
        planner.joined("gw0")
        planner.joined("gw1")
        assert run_out(planner, "gw0", 1) == [Rest("gw0")]
        assert run_out(planner, "gw1", 2) == [Assign("gw1", (0,))]
        assert planner.asks("gw1") == [Rest("gw1")]
        assert planner.ended("gw1", 0, LONG) == [Retire("gw0"), Retire("gw1")]


def run_out(planner: Planner, worker: str, index: int) -> list[Decision]:
    """Have a worker ask for its next test, and end this one."""
    return [*planner.asks(worker), *planner.ended(worker, index, LONG)]


class TestTurn:
    """Whose turn it is."""

    TESTS = (Test(index=0, function="s", serial=True, gpus=2), Test(index=1, function="s", serial=True, gpus=2))

    def test_it_is_taken_when_nobody_else_has_a_test(self) -> None:
        """By a worker that fits; the others are kept waiting until it ends."""
        queue, workers = queue_of(*self.TESTS), Workers(4)
        turn = SerialTurn(numbered(*self.TESTS), queue, workers, Reruns(numbered(*self.TESTS), queue, workers))
        workers.started("gw1", 2)
        one, other = workers.joined("gw0", ["d0"], 8), workers["gw1"]
        serial = queue.next_serial()
        assert serial is not None
        assert (turn.is_near, turn.is_taken) == (True, False)
        assert turn.take(other, serial) is None, "it has not collected yet"
        workers.joined("gw1", ["d1", "d2"], 8)
        one.assigned.append(7)
        assert turn.take(other, serial) is None
        one.assigned.clear()
        assert turn.take(one, serial) is None
        assert turn.take(other, serial) == 0
        other.assigned.append(0)
        assert (turn.is_taken, turn.keeps_waiting(one), turn.keeps_waiting(other)) == (True, True, False)
        assert (turn.ends(one), turn.ends(other)) == (False, False)
        other.assigned.clear()
        assert (turn.ends(other), turn.is_taken) == (True, False)

    def test_it_is_kept_for_one_that_crashed(self) -> None:
        """Nobody begins anything before it is known whether that runs again."""
        queue, workers = Queue(numbered(*self.TESTS)), Workers(4)
        reruns = Reruns(numbered(*self.TESTS), queue, workers)
        turn = SerialTurn(numbered(*self.TESTS), queue, workers, reruns)
        worker = workers.joined("gw0", ["d0"], 8)
        reruns.crashed(0)
        assert (turn.keeps_waiting(worker), turn.is_near, turn.is_taken) == (True, True, False)
        reruns.gives_up(0)
        assert (turn.keeps_waiting(worker), turn.is_near) == (False, False)

    def test_it_is_over_when_its_worker_is_gone(self) -> None:
        """Another worker's end changes nothing."""
        queue, workers = queue_of(*self.TESTS), Workers(4)
        turn = SerialTurn(numbered(*self.TESTS), queue, workers, Reruns(numbered(*self.TESTS), queue, workers))
        workers.started("gw0", 2)
        workers.joined("gw0", ["d0", "d1"], 8)
        serial = queue.next_serial()
        assert serial is not None
        assert turn.take(workers["gw0"], serial) == 0
        turn.leaves(workers.joined("gw1", ["d2"], 8))
        assert turn.is_taken
        turn.leaves(workers["gw0"])
        assert not turn.is_taken
