"""Tests that would end beyond the run's deadline do not start."""

from __future__ import annotations

from collections.abc import Sequence

from made_plans import model

from pytest_gpupool.planning.decisions import Assign, Retire
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test


def suite(*seconds: float | None, **keys: object) -> list[Test]:
    return [
        Test(index=index, function=f"f{index}", seconds=took, **keys)  # type: ignore[arg-type]
        for index, took in enumerate(seconds)
    ]


def planner(tests: Sequence[Test], deadline: float, workers: int = 1, **keys: object) -> Planner:
    made = Planner(tests, capacity=workers, asked=workers, deadline=deadline, **keys)  # type: ignore[arg-type]
    for number in range(workers):
        made.started(f"gw{number}")
    return made


def test_a_test_that_is_too_long_is_passed_over() -> None:
    """The next that ends in time is taken; it is given up for good, and then the run is over."""
    plan = planner(suite(10.0, 4.0), deadline=8.0)
    plan.at(0.0)
    assert plan.joined("gw0") == [Assign("gw0", (1,))]
    assert plan.given_up == [0]
    plan.at(4.0)
    plan.ended("gw0", 1, 4.0)
    assert plan.finished


def test_time_that_goes_by_is_time_lost() -> None:
    """What fitted at first does not fit later, whoever asks."""
    plan = planner(suite(5.0, 4.0, 3.0), deadline=9.5)
    plan.at(0.0)
    assert plan.joined("gw0") == [Assign("gw0", (0,))]
    plan.at(5.0)
    assert plan.asks("gw0") == [Assign("gw0", (1,))]
    plan.ended("gw0", 0, 5.0)
    assert plan.given_up == []
    plan.at(7.0)
    plan.ended("gw0", 1, 2.0)
    assert plan.given_up == [2]
    assert plan.finished


def test_what_nobody_knows_starts_while_there_is_time() -> None:
    """At the deadline it is over."""
    plan = planner(suite(None, None), deadline=5.0)
    plan.at(4.9)
    assert plan.joined("gw0") == [Assign("gw0", (0,))]
    plan.at(5.0)
    assert Retire("gw0") in plan.looks_again() + plan.asks("gw0")
    assert plan.given_up == [1]


def test_setting_up_counts_unless_somebody_has_it() -> None:
    """A model of 10 s makes a test of 2 s one of 12 s, at first."""
    tests = suite(2.0, 2.0, set_ups=(model("m"),))
    late = planner(tests, deadline=11.0, costs={"model[m]": 10.0})
    late.at(0.0)
    late.joined("gw0")
    assert late.given_up == [0, 1]
    plan = planner(tests, deadline=14.5, costs={"model[m]": 10.0})
    plan.at(0.0)
    assert plan.joined("gw0") == [Assign("gw0", (0,))]
    plan.at(12.0)
    assert plan.asks("gw0") == [Assign("gw0", (1,))]


def test_a_group_ends_where_the_time_does() -> None:
    """Each of its tests counts by itself, and its locks are held until the last that runs has ended."""
    tests = [
        *suite(2.0, 2.0, 2.0, group="g", locks=frozenset({"port"})),
        Test(index=3, function="other", seconds=0.5, locks=frozenset({"port"})),
    ]
    plan = planner(tests, deadline=5.0, workers=2)
    plan.at(0.0)
    assert plan.joined("gw0") == [Assign("gw0", (0,))]
    plan.joined("gw1")
    assert plan.assigned("gw1") == ()
    plan.at(2.0)
    assert Assign("gw0", (1,)) in plan.asks("gw0")
    plan.ended("gw0", 0, 2.0)
    plan.at(4.0)
    told = [*plan.asks("gw0"), *plan.ended("gw0", 1, 2.0)]
    assert plan.given_up == [2]
    assert any(isinstance(one, Assign) and one.tests == (3,) for one in told)


def test_a_later_stage_that_is_too_late_ends_the_run() -> None:
    """Nothing waits for it."""
    tests = [*suite(2.0), Test(index=1, function="g", stage=1, seconds=5.0)]
    plan = planner(tests, deadline=4.0)
    plan.at(0.0)
    plan.joined("gw0")
    plan.at(2.0)
    plan.ended("gw0", 0, 2.0)
    assert plan.given_up == [1]
    assert plan.finished
