"""Expected workers: each is started for what it was wanted for."""

from __future__ import annotations

from made_members import member

from pytest_gpupool.distribution.workers.expected import ExpectedWorkers
from pytest_gpupool.distribution.workers.member import Shape


def test_the_runs_first_hold_one_device_each() -> None:
    """Nobody has announced them."""
    expected = ExpectedWorkers()
    assert expected.shape_of("gw0") == expected.shape_of("gw1") == Shape(gpus=1, memory=0, avoid=())


def test_one_that_we_start_is_known_by_its_name() -> None:
    """Also where xdist starts another at the same moment; it is expected once."""
    expected = ExpectedWorkers()
    expected.expect_replacement(member("gw0", 0, gpus=2))
    expected.expect("gw4", Shape(gpus=4, memory=80))
    assert expected.shape_of("gw4") == Shape(gpus=4, memory=80)
    assert expected.shape_of("gw5") == Shape(gpus=2)
    assert expected.shape_of("gw4") == Shape()


def test_one_in_a_dead_ones_place_avoids_its_devices() -> None:
    """They may be why it died; one that died waiting had none."""
    expected = ExpectedWorkers()
    first, second = member("gw0", 0), member("gw1", 1)
    first.devices = ("GPU-1",)
    expected.expect_replacement(first)
    expected.expect_replacement(second)
    assert [expected.shape_of("gw2").avoid, expected.shape_of("gw3").avoid] == [("GPU-1",), ()]
