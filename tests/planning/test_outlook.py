"""What a run will be like, and how many devices would be enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from made_plans import model, sized

from pytest_gpupool.planning.outlook.choice import chosen
from pytest_gpupool.planning.outlook.expectation import durations, longest_pole, look_ahead
from pytest_gpupool.planning.outlook.forecast import Forecast
from pytest_gpupool.planning.outlook.places import places_for, shards_for
from pytest_gpupool.planning.problem import Problem
from pytest_gpupool.planning.tests import Test


def suite(*seconds: float | None) -> list[Test]:
    return [Test(index=index, function=f"f{index}", seconds=took) for index, took in enumerate(seconds)]


def problem(tests: Sequence[Test], devices: int = 2, **keys: object) -> Problem:
    return Problem(tests=tests, capacity=devices, asked=devices, **keys)  # type: ignore[arg-type]


def test_what_nobody_knows_takes_as_long_as_the_others() -> None:
    """Where nothing is known nothing can be said."""
    assert durations(suite(2.0, None, 4.0)) == [2.0, 3.0, 4.0]
    assert durations(suite(None, None)) is None
    assert look_ahead(problem(suite(None, None))) is None
    assert longest_pole(problem(suite(None))) is None
    assert places_for(problem(suite(None)), 100.0) is None


def test_makespan_device_time_and_set_ups() -> None:
    """Busy is what tests and set-ups take; held is more, where devices wait for others."""
    tests = [Test(index=index, function="f", seconds=10.0, set_ups=(model("m"),)) for index in range(3)]
    ahead = look_ahead(problem(tests, costs={"model[m]": 4.0}))
    assert ahead is not None
    assert ahead.built == {"model[m]": 2}
    assert [ahead.makespan, ahead.busy, ahead.held] == pytest.approx([24.0, 38.0, 38.0])
    assert ahead.given_up == 0


def test_device_time_counts_all_devices_of_a_test() -> None:
    """One of four devices for 100 s uses 400 s of them."""
    ahead = look_ahead(problem(sized(4), 4))
    assert ahead is not None
    assert [ahead.busy, ahead.held] == pytest.approx([400.0, 400.0])


def test_the_longest_pole_is_the_test_with_its_set_up() -> None:
    """Not the longest alone."""
    tests = [*suite(10.0), Test(index=1, function="g", seconds=8.0, set_ups=(model("m"),))]
    pole = longest_pole(problem(tests, costs={"model[m]": 5.0}))
    assert pole is not None
    assert (pole.test.index, pole.seconds, pole.set_up, pole.whole) == (1, 8.0, 5.0, 13.0)


@pytest.mark.parametrize(
    ("target", "expected"),
    [(1000.0, 1), (100.0, 1), (99.0, 2), (50.0, 2), (40.0, 3), (30.0, 4), (20.0, 5), (10.0, 10), (9.9, None)],
)
def test_how_many_devices_are_enough(target: float, expected: int | None) -> None:
    """Ten tests of ten seconds each: the least number that does; none is enough for less than one test takes."""
    assert places_for(problem(suite(*[10.0] * 10)), target) == expected


def test_a_test_of_several_devices_needs_as_many() -> None:
    """However much time there is."""
    assert places_for(problem(sized(4, 1)), 1000.0) == 4


def in_turn(tests: Sequence[Test], count: int) -> list[list[int]]:
    """A division of tests among so many machines."""
    return [[test.index for test in tests[shard::count]] for shard in range(count)]


def test_how_many_machines_are_enough() -> None:
    """Each sets up for itself what its tests share; what no number ends in time is None."""
    tests = [Test(index=index, function="f", seconds=10.0, set_ups=(model("m"),)) for index in range(8)]
    whole = problem(tests, costs={"model[m]": 15.0})
    assert shards_for(whole, 60.0, lambda count: in_turn(tests, count), 1) == 1
    # An even part would be 27.5 s on one of two machines with two devices each.
    assert shards_for(whole, 27.5, lambda count: in_turn(tests, count), 1) == 4
    assert shards_for(whole, 25.0, lambda count: in_turn(tests, count), 2) == 4
    assert shards_for(whole, 24.0, lambda count: in_turn(tests, count), 2) is None
    assert shards_for(problem(suite(None)), 24.0, lambda count: [[0]], 1) is None


def test_a_deadline_leaves_nothing_out_of_what_is_to_be_reached() -> None:
    """How many devices all the tests need does not depend on it."""
    short = problem(suite(10.0, 10.0, 10.0), deadline=15.0)
    ahead = look_ahead(short)
    assert ahead is not None
    assert ahead.given_up == 1
    assert places_for(short, 10.0) == 3


class TestChoice:
    """Which rule a run goes by, where both can be played."""

    def few(self, seconds: float | None = 20.0, count: int = 4) -> Problem:
        """Tests of two models whose set-up takes 60 s, in turn."""
        tests = [
            Test(index=index, function="f", seconds=seconds, set_ups=(model(f"m{index % 2}"),))
            for index in range(count)
        ]
        return problem(tests, costs={"model[m0]": 60.0, "model[m1]": 60.0})

    def test_set_ups_count(self) -> None:
        """Where they are dear."""
        assert chosen(self.few()).minds_set_ups

    def test_longest_first_where_that_ends_earlier(self) -> None:
        """Never is the plan longer than that of longest first."""
        for seed in range(60):
            dice = Random(seed)
            tests = [
                Test(
                    index=index,
                    function="f",
                    seconds=dice.lognormvariate(3, 1),
                    set_ups=(model(f"m{dice.randrange(4)}"),),
                )
                for index in range(dice.randint(1, 12))
            ]
            costs = {f"model[m{number}]": dice.choice([1.0, 10.0, 40.0]) for number in range(4)}
            given = problem(tests, devices=dice.choice([2, 3, 4]), costs=costs)
            ends = [Forecast(replace(given, minds_set_ups=minds)).run().end for minds in (True, False)]
            best = Forecast(chosen(given)).run().end
            assert best == pytest.approx(min(ends))

    @pytest.mark.parametrize("seconds", [None, 0.001])
    def test_no_look_ahead_that_costs_more_than_it_gains(self, seconds: float | None) -> None:
        """Where a duration is not known, or tests are short, the problem stays as it is."""
        given = self.few(seconds)
        assert chosen(given) is given

    def test_without_tests(self) -> None:
        """There is nothing to choose."""
        given = problem([])
        assert chosen(given) is given
