"""A run before it begins: who runs what, when, and for how long devices are held."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from clockwork import played
from hypothesis import given
from hypothesis import strategies as st
from made_plans import model, sized

from pytest_gpupool.planning.outlook.forecast import Forecast
from pytest_gpupool.planning.problem import Problem
from pytest_gpupool.planning.tests import Test


def forecast(tests: Sequence[Test], devices: int) -> Forecast:
    return Forecast(Problem(tests=tests, capacity=devices, asked=devices)).run()


def test_two_workers_share_the_tests() -> None:
    """The longest goes first, and devices are held until the end of the last test of each."""
    run = forecast(
        [Test(index=index, function=f"f{index}", seconds=took) for index, took in enumerate([3.0, 5.0, 4.0])], 2
    )
    assert run.end == pytest.approx(7.0)
    assert sorted(map(run.order, ["gw0", "gw1"])) == [[1], [2, 0]]
    assert run.held == pytest.approx(5.0 + 7.0)


def test_what_is_shared_is_set_up_by_each_that_needs_it() -> None:
    """And takes its time."""
    tests = [Test(index=index, function="f", seconds=10.0, set_ups=(model("m"),)) for index in range(4)]
    run = played(tests, 2, {"model[m]": 5.0})
    assert run.builds == [("gw0", "model[m]"), ("gw1", "model[m]")]
    assert run.end == pytest.approx(25.0)


def test_a_test_of_several_devices_waits_for_them() -> None:
    """Those that hold one each end first; all devices come to it, and nobody holds more than there are."""
    run = forecast(sized(1, 1, 2), 2)
    assert run.end == pytest.approx(200.0)
    assert run.held == pytest.approx(2 * 200.0)


def test_who_needs_much_memory_gets_a_large_device() -> None:
    """The smaller ones are left to the others."""
    tests = [
        Test(index=index, function=f"f{index}", memory=memory, seconds=10.0) for index, memory in enumerate([0, 80])
    ]
    run = Forecast(Problem(tests=tests, capacity=2, asked=2), devices=[40.0, 80.0]).run()
    assert [run.end, len(run.begun)] == [pytest.approx(10.0), 2]


def test_what_would_end_too_late_does_not_begin() -> None:
    """Shorter ones still do."""
    tests = [Test(index=index, function=f"f{index}", seconds=took) for index, took in enumerate([6.0, 5.0, 2.0])]
    run = Forecast(Problem(tests=tests, capacity=1, asked=1, deadline=9.0)).run()
    assert run.order("gw0") == [0, 2]
    assert run.end == pytest.approx(8.0)


@given(
    sizes=st.lists(st.tuples(st.sampled_from([0, 1, 1, 1, 2, 4]), st.floats(0.1, 100.0)), min_size=1, max_size=30),
    devices=st.sampled_from([4, 5, 8]),
)
def test_every_test_runs_once_on_as_many_devices_as_it_needs(sizes: list[tuple[int, float]], devices: int) -> None:
    """No more are held at any time than there are, and no schedule is shorter than the longest test."""
    tests = [
        Test(index=index, function=f"f{index}", gpus=gpus, seconds=took) for index, (gpus, took) in enumerate(sizes)
    ]
    run = forecast(tests, devices)
    assert sorted(one.test.index for one in run.begun) == [test.index for test in tests]
    moments = [(one.at, one.test.gpus) for one in run.begun]
    ends = [(one.at + (one.test.seconds or 0.0), -one.test.gpus) for one in run.begun]
    held, most = 0, 0
    for _, change in sorted([*moments, *ends], key=lambda event: (round(event[0], 6), event[1])):
        held += change
        most = max(most, held)
    assert most <= devices
    assert run.end >= max(took for _, took in sizes) - 1e-6
    assert math.isfinite(run.held)
