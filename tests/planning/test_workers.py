"""Each worker is in one state at a time, and devices are counted for those that are there or will be."""

from __future__ import annotations

import pytest
from made_plans import model, unit

from pytest_gpupool.planning.decisions import Retire, Start
from pytest_gpupool.planning.workers import Worker, Workers


def states(workers: Workers, gpus: int = 1) -> tuple[int, list[str], list[str]]:
    """How many are coming, and who is starting and who is idle."""
    return workers.coming[gpus], [*workers.starting.of_size(gpus)], [*workers.idle.of_size(gpus)]


class TestWorker:
    """What one worker has."""

    @pytest.mark.parametrize(
        ("need", "fits"), [((2, 0), True), ((2, 8), True), ((2, 9), False), ((1, 0), False), ((4, 0), False)]
    )
    def test_it_fits_tests_of_its_size_and_memory(self, need: tuple[int, int], fits: bool) -> None:
        """No others, however many devices it has."""
        assert Worker("gw0", gpus=2, memory=8).fits(need) == fits

    def test_the_rest_of_a_unit_is_reserved_for_it(self) -> None:
        """Nobody else may run that, and its locks are held until the last test."""
        worker = Worker("gw0")
        assert worker.take_on(unit(7, locks=frozenset("x"), set_ups=(model("m0"),))) == 7
        assert (worker.tests, worker.is_busy, worker.warm) == ((), False, (model("m0"),))
        assert (worker.locks_held, worker.locks) == ({7: frozenset("x")}, frozenset("x"))
        worker.assigned.append(7)
        worker.reserved.extend([8, 9])
        assert (worker.tests, worker.is_busy) == ((7, 8, 9), True)


class TestStates:
    """From the announcement to the end."""

    def test_a_worker_comes_starts_idles_works_and_goes(self) -> None:
        """It is in one state at a time, and counts as live all the while."""
        workers = Workers(2)
        assert workers.announce(1, 0) == Start(1)
        assert (states(workers), workers.live[1], workers.room) == ((1, [], []), 1, 1)
        workers.started("gw0", 1)
        assert (states(workers), workers.live[1]) == ((0, ["gw0"], []), 1)
        worker = workers.joined("gw0", ["d0"], 8)
        workers.rests(worker)
        assert (worker.devices, worker.memory) == (frozenset({"d0"}), 8)
        assert states(workers) == (0, [], ["gw0"])
        workers.works(worker)
        assert (states(workers), worker.resting) == ((0, [], []), False)
        workers.ended(worker, replaced=False)
        assert ("gw0" in workers, workers.live[1], workers.room) == (False, 0, 2)

    def test_a_worker_that_rests_with_a_test_is_not_idle(self) -> None:
        """It is about to end it, and was told that nothing follows."""
        workers = Workers(1)
        worker = workers.joined("gw0", ["d0"], 8)
        worker.assigned.append(0)
        workers.rests(worker)
        assert (worker.resting, states(workers)) == (True, (0, [], []))
        worker.assigned.clear()
        workers.rests(worker)
        assert states(workers) == (0, [], ["gw0"])

    @pytest.mark.parametrize("joins", [False, True])
    def test_one_that_is_let_go_makes_room_at_once(self, joins: bool) -> None:
        """Before its process has ended; told twice, it counts once."""
        workers = Workers(4)
        workers.started("gw0", 4)
        if joins:
            workers.rests(workers.joined("gw0", ["d0"], 8))
        assert [workers.retire(workers["gw0"]) for _ in range(2)] == [Retire("gw0")] * 2
        assert (states(workers, 4), workers.room, "gw0" in workers) == ((0, [], []), 4, True)
        workers.ended(workers["gw0"], replaced=False)
        assert workers.room == 4

    def test_a_replaced_one_is_coming_where_there_is_room(self) -> None:
        """Else the other is one too many."""
        workers = Workers(1)
        workers.started("gw0", 1)
        workers.ended(workers["gw0"], replaced=True)
        assert (states(workers)[0], workers.room) == (1, 0)
        workers.started("gw1", 1)
        workers.capacity = 0
        workers.ended(workers["gw1"], replaced=True)
        assert (states(workers)[0], workers.live[1]) == (0, 0)

    def test_too_many_leave_less_than_no_room(self) -> None:
        """As where the pool has lost a device."""
        workers = Workers(2)
        for name in ("gw0", "gw1"):
            workers.started(name, 1)
        workers.capacity = 1
        assert workers.room == -1


def test_devices_with_enough_memory_are_awaited_until_a_worker_has_them() -> None:
    """From the announcement on; a worker that takes any device awaits none."""
    workers = Workers(2)
    workers.announce(1, 80)
    assert workers.some_await_memory
    workers.started("gw0", 1, 80)
    workers.started("gw1", 1)
    assert [workers.awaits_memory(name) for name in ("gw0", "gw1")] == [True, False]
    assert workers.some_await_memory
    workers.joined("gw0", ["d0"], 80)
    assert not workers.some_await_memory


def test_names_are_in_the_order_in_which_they_came() -> None:
    """Or the other way round; a size of which there is none is no size."""
    workers = Workers(8)
    for name, gpus in (("gw0", 1), ("gw1", 4), ("gw2", 1)):
        workers.started(name, gpus)
    assert [*workers.starting.of_size(1)] == ["gw0", "gw2"]
    assert [*workers.starting.last_first(1)] == ["gw2", "gw0"]
    workers.retire(workers["gw1"])
    assert (workers.starting.sizes(), [*workers.starting.of_size(2)]) == ([1], [])
