"""The queue gives the best test that may run now, and says what waits."""

from __future__ import annotations

import math
from types import MappingProxyType

import pytest
from made_plans import at_most, model, queue_of

from pytest_gpupool.planning.backlog.queue import Queue
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.planning.workers import Worker

FREE: frozenset[str] = frozenset()


def lasting(*seconds: float | None) -> list[Test]:
    """Tests that take so long."""
    return [Test(index=index, function="f", seconds=each) for index, each in enumerate(seconds)]


def worker(gpus: int = 1, memory: float = math.inf, warm: str = "") -> Worker:
    """A worker that has run a test with that model."""
    family = (model(warm),) if warm else ()
    return Worker("gw0", gpus=gpus, memory=memory, warm=family, set_up=frozenset(family))


def take(waiting: Queue, gpus: int = 1, memory: float = math.inf, warm: str = "") -> int | None:
    unit = waiting.take(worker(gpus, memory, warm))
    return None if unit is None else unit.tests[0]


def drain(waiting: Queue, gpus: int = 1, warm: str = "") -> list[int]:
    """Take everything that may run."""
    taken = []
    while (index := take(waiting, gpus, warm=warm)) is not None:
        taken.append(index)
    return taken


class TestOrder:
    """Which test is the best."""

    def test_the_longest_goes_first(self) -> None:
        """By the durations of earlier runs."""
        assert drain(queue_of(*lasting(1.0, 3.0, 2.0, 0.0))) == [1, 2, 0, 3]

    def test_unknown_durations_go_before_known_ones(self) -> None:
        """In the order of collection: any of them may be the longest."""
        assert drain(queue_of(*lasting(5.0, None, 7.0, None))) == [1, 3, 2, 0]

    def test_priority_goes_before_duration(self) -> None:
        """Also before unknown durations."""
        tests = [*lasting(9.0, None), Test(index=2, function="f", seconds=1.0, priority=1)]
        assert drain(queue_of(*tests)) == [2, 1, 0]

    def test_durations_within_5_percent_are_equal(self) -> None:
        """Then the order of collection decides; 20 % more are more."""
        assert drain(queue_of(*lasting(1.00, 1.01, 1.2))) == [2, 0, 1]

    def test_order_of_file_ignores_durations_and_fixtures(self) -> None:
        """``--gpupool-order=file``."""
        tests = [
            Test(index=0, function="f", seconds=1.0, set_ups=(model("a"),)),
            Test(index=1, function="f", seconds=3.0, set_ups=(model("b"),)),
            Test(index=2, function="f", set_ups=(model("a"),)),
            Test(index=3, function="f", seconds=2.0, priority=1),
        ]
        assert drain(queue_of(*tests, longest_first=False), warm="a") == [3, 0, 1, 2]

    def test_a_group_is_as_long_as_all_its_tests(self) -> None:
        """It stays together, and goes before a longer single test."""
        tests = [*lasting(3.0), *(Test(index=index, function="f", seconds=2.0, group="g") for index in (1, 2))]
        waiting = queue_of(*tests)
        unit = waiting.take(worker())
        assert unit is not None
        assert (unit.tests, unit.seconds) == ((1, 2), 4.0)


class TestWarm:
    """Fixtures that are set up already, and take next to nothing."""

    TESTS = tuple(Test(index=index, function="f", seconds=1.0, set_ups=(model("ab"[index % 2]),)) for index in range(6))
    FREE = MappingProxyType({"a": 0.0, "b": 0.0, "c": 0.0})

    def test_among_equals_the_worker_s_own_go_first(self) -> None:
        """Then those of others."""
        assert drain(queue_of(*self.TESTS, costs=self.FREE), warm="b") == [1, 3, 5, 0, 2, 4]

    def test_workers_without_them_begin_with_different_ones(self) -> None:
        """So that two workers do not set up the same."""
        waiting = queue_of(*self.TESTS, costs=self.FREE)
        assert [take(waiting), take(waiting)] == [0, 1]

    def test_a_longer_test_goes_before_warm_ones(self) -> None:
        """Only equals are a choice."""
        waiting = queue_of(
            *self.TESTS, Test(index=6, function="f", seconds=2.0, set_ups=(model("c"),)), costs=self.FREE
        )
        assert take(waiting, warm="b") == 6


class TestWorkers:
    """What a worker can run."""

    def test_a_worker_gets_tests_of_its_size_only(self) -> None:
        """However many devices it has."""
        tests = [Test(index=index, function="f", gpus=gpus) for index, gpus in enumerate([2, 1, 0, 4])]
        waiting = queue_of(*tests)
        assert [drain(waiting, gpus) for gpus in (4, 2, 1, 0, 8)] == [[3], [0], [1], [2], []]

    def test_a_worker_gets_tests_for_its_memory_only(self) -> None:
        """The best that fits."""
        tests = [Test(index=index, function="f", memory=memory) for index, memory in enumerate([20, 0, 10])]
        waiting = queue_of(*tests)
        assert [take(waiting, memory=9), take(waiting, memory=9), take(waiting, memory=10)] == [1, None, 2]
        assert waiting.needs() == {(1, 20)}
        assert take(waiting, memory=20) == 0
        assert waiting.needs() == set()

    def test_a_short_test_is_taken_and_a_longer_one_stays(self) -> None:
        """Nor is one taken that needs a lock."""
        waiting = queue_of(*lasting(1.0, 2.0), Test(index=2, function="f", locks=frozenset("x"), seconds=3.0))
        assert waiting.take_short(worker(), lambda index: True) is None
        assert take(waiting) == 2
        assert waiting.take_short(worker(), lambda index: index != 1) is None
        unit = waiting.take_short(worker(), lambda index: True)
        assert unit is not None
        assert (unit.tests, waiting.usable.by_size[1]) == ((1,), 1)


class TestLocks:
    """Tests that share a name do not run at the same time."""

    TESTS = (
        Test(index=0, function="f", locks=frozenset({"x"}), seconds=9.0),
        Test(index=1, function="f", locks=frozenset({"x", "y"}), seconds=8.0),
        Test(index=2, function="f", locks=frozenset({"y"}), seconds=7.0),
        Test(index=3, function="f", seconds=1.0),
    )

    def test_one_of_them_is_given_at_a_time(self) -> None:
        """Others go past those that wait for it."""
        waiting = queue_of(*self.TESTS)
        assert drain(waiting) == [0, 2, 3]
        waiting.release(frozenset({"x"}))
        assert take(waiting) is None
        waiting.release(frozenset({"y"}))
        assert take(waiting) == 1

    def test_who_holds_a_lock_may_have_the_next_test_with_it(self) -> None:
        """That one begins when the one before has ended."""
        waiting = queue_of(*self.TESTS)
        assert take(waiting) == 0
        holding = worker()
        holding.locks_held[0] = frozenset({"x"})
        own = waiting.take(holding)
        assert own is not None
        assert own.tests == (1,)

    def test_tests_of_one_lock_are_work_for_one_worker(self) -> None:
        """As far as it can be said how many are of use."""
        tests = [Test(index=index, function="f", locks=frozenset({"x"})) for index in range(5)]
        waiting = queue_of(*tests)
        assert waiting.usable.by_size[1] == 1
        assert take(waiting) == 0
        assert waiting.usable.by_size[1] == 1
        waiting.release(frozenset({"x"}))
        assert [take(waiting), bool(waiting)] == [1, True]


class TestStages:
    """Later stages wait apart."""

    def test_they_wait_until_their_stage_begins(self) -> None:
        """But they are known to wait."""
        waiting = queue_of(Test(index=0, function="f", stage=2), Test(index=1, function="f"))
        assert (drain(waiting), waiting.usable.by_size[1]) == ([1], 1)
        waiting.advance(2)
        assert drain(waiting) == [0]
        assert not waiting


class TestSerial:
    """Tests that run alone."""

    def test_they_go_last(self) -> None:
        """Of their priority, so that the run is drained once."""
        tests = [
            Test(index=0, function="f", serial=True),
            Test(index=1, function="f"),
            Test(index=2, function="f", serial=True, priority=1),
            Test(index=3, function="f", priority=1),
        ]
        waiting = queue_of(*tests)
        assert waiting.next_serial() is None
        assert take(waiting) == 3
        assert waiting.take_serial().tests == (2,)
        assert waiting.next_serial() is None
        assert take(waiting) == 1
        assert waiting.take_serial().tests == (0,)
        assert not waiting

    def test_their_memory_is_asked_for_when_they_are_due(self) -> None:
        """Some worker must have it."""
        waiting = queue_of(Test(index=0, function="f", serial=True, memory=20), Test(index=1, function="f"))
        assert waiting.needs() == {(1, 0)}
        take(waiting)
        assert waiting.needs() == {(1, 20)}


class TestShrink:
    """The pool has lost devices."""

    def test_tests_that_became_too_large_run_on_any_worker(self) -> None:
        """Of one device, where they can say why they cannot run; whatever they wait for."""
        tests = [
            Test(index=0, function="f", gpus=4, memory=20),
            Test(index=1, function="f", gpus=2),
            Test(index=2, function="f", gpus=4, stage=1),
            Test(index=3, function="f", gpus=4, serial=True),
        ]
        waiting = queue_of(*tests)
        waiting.shrink(at_most(2))
        assert +waiting.usable.by_size == {1: 3, 2: 1}
        assert waiting.needs() == {(1, 0), (2, 0)}
        assert [take(waiting, 1, memory=0), take(waiting, 2)] == [0, 1]
        assert waiting.take_serial().tests == (3,)
        waiting.advance(1)
        assert take(waiting) == 2

    def test_such_tests_that_come_back_later_do_too(self) -> None:
        """Those that a worker had when the devices were lost."""
        waiting = queue_of(Test(index=0, function="f", gpus=4))
        take(waiting, 4)
        waiting.shrink(at_most(3))
        waiting.add([0])
        assert take(waiting) == 0

    def test_a_loss_that_makes_no_difference_costs_one_look_at_each_size(self) -> None:
        """Not at each test: there may be 100,000, and a host has several devices."""
        asked: list[tuple[int, int]] = []

        def possible(gpus: int, memory: int) -> tuple[int, int]:
            asked.append((gpus, memory))
            return gpus, memory

        waiting = queue_of(*lasting(*[1.0] * 50))
        waiting.shrink(possible)
        assert asked == [(1, 0)]
        assert take(waiting) == 0

    def test_without_any_device_workers_without_devices_run_them(self) -> None:
        """They are of size 0."""
        waiting = queue_of(*lasting(1.0))
        waiting.shrink(at_most(0))
        assert take(waiting, 0) == 0


class TestCounts:
    """What waits, counted."""

    def test_it_counts_units_and_sums_known_durations(self) -> None:
        """By priority, then size; what was taken is no longer in it."""
        tests = [*lasting(3.0, None, 1.0), Test(index=3, function="f", gpus=2, priority=1, seconds=5.0)]
        waiting = queue_of(*tests)
        assert waiting.loads.priorities == [0, 1]
        load = waiting.loads.by_priority[0][1]
        assert (load.count, load.total, load.times) == (3, 4.0, [1.0, 3.0])
        assert [take(waiting), take(waiting)] == [1, 0]
        assert (load.count, load.total, load.times) == (1, 1.0, [1.0])
        take(waiting, 2)
        assert waiting.loads.priorities == [0]

    def test_what_needs_larger_devices_keeps_no_smaller_worker(self) -> None:
        """A worker is kept for what it could do, not for what would never fit its devices."""
        waiting = Queue({0: Test(index=0, function="f", memory=40), 1: Test(index=1, function="f")})
        waiting.add([0, 1])
        assert (waiting.usable.by_size[1], waiting.usable.suiting(1, 16), waiting.usable.suiting(1, 80)) == (2, 1, 2)
        assert waiting.take(worker(1, 80)) is not None
        assert (waiting.usable.suiting(1, 16), waiting.usable.suiting(1, 80)) == (1, 1)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_what_is_taken_comes_back(count: int) -> None:
    """Taking and adding again changes neither what waits nor its order."""
    tests = [
        Test(index=index, function="f", seconds=float(index % 7), memory=index % 3, locks=frozenset({f"{index}"}))
        for index in range(count)
    ]
    waiting = queue_of(*tests)
    before = waiting.usable.by_size.copy(), waiting.needs()
    first = drain(waiting)
    waiting.release(frozenset(f"{index}" for index in first))
    waiting.add(reversed(first))
    assert (waiting.usable.by_size, waiting.needs()) == before
    assert drain(waiting) == first
