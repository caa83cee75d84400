"""What waits is counted, so that it can be said how many workers are worth it."""

from __future__ import annotations

import math

from made_plans import load, unit

from pytest_gpupool.planning.backlog.loads import Load, Loads, UsableWorkers, mean_of, work, work_of_all


class TestLoad:
    """What waits of one priority and size."""

    def test_times_stay_sorted(self) -> None:
        """When units come back."""
        load = Load()
        for seconds in (2.0, 3.0, 1.0):
            load.add(seconds)
        assert load.times == [1.0, 2.0, 3.0]
        load.add(2.5)
        load.remove(1.0)
        assert load.times == [2.0, 2.5, 3.0]


def test_unknown_durations_count_as_the_mean_of_the_known() -> None:
    """One second where none is known."""
    half_known = load(2.0, 4.0, None)
    assert (mean_of([half_known]), work(half_known, 3.0)) == (3.0, 9.0)
    assert mean_of([load(None)]) == 1.0


def test_what_was_taken_is_needed_no_more() -> None:
    """Each kind of need is told once, as long as a unit has it."""
    loads = Loads()
    units = [unit(index, memory=memory) for index, memory in enumerate([8, 8, 0])]
    for each in units:
        loads.add(each)
    assert loads.needs() == {(1, 8), (1, 0)}
    loads.remove(units[0])
    loads.remove(units[2])
    assert loads.needs() == {(1, 8)}


def test_tiers_come_from_the_highest_priority_down() -> None:
    """One without any unit is none."""
    loads = Loads()
    units = [unit(index, priority=priority) for index, priority in enumerate([0, 5, -1])]
    for each in units:
        loads.add(each)
    loads.remove(units[0])
    assert [{gpus: one.count for gpus, one in tier.items()} for tier in loads.tiers()] == [{1: 1}, {1: 1}]
    assert next(iter(loads.tiers())) is loads.by_priority[5]


def test_loads_of_a_size_are_one_for_each_priority() -> None:
    """Whatever other sizes there are."""
    loads = Loads()
    for index, (gpus, priority) in enumerate([(1, 0), (2, 0), (1, 3), (1, 3)]):
        loads.add(unit(index, gpus=gpus, priority=priority))
    assert sorted(one.count for one in loads.of_size(1)) == [1, 2]
    assert loads.of_size(4) == []


def test_unknown_work_is_taken_for_mean_work() -> None:
    """Of all loads together."""
    assert work_of_all([load(1.0, None), load(3.0)]) == 6.0
    assert (load(1.0, None).has_unknown, load(1.0).has_unknown, load().has_unknown) == (True, False, False)


def test_a_worker_with_little_memory_is_of_no_use_for_what_needs_more() -> None:
    """What needs none in particular can use any."""
    usable = UsableWorkers()
    for index, memory in enumerate([0, 8, 16]):
        usable.change(unit(index, memory=memory), 1)
    assert [usable.suiting(1, memory) for memory in (0, 8, 15, 16, math.inf)] == [1, 2, 2, 3, 3]
    assert usable.suiting(2, math.inf) == 0
