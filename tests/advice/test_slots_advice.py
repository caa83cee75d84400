"""How many workers would have fitted on a device."""

from __future__ import annotations

from typing import Any

import pytest
from made_advice import CARDS, GIB, MIGS, Record, given, holder, ran, setting

GPU = [card.id for card in CARDS]
CORES = setting("cores", 64)


def suite(number: int = 20, worker: str = "gw0", *devices: str, seconds: float = 4.5, **resources: Any) -> list[Record]:
    """So many tests, one after the other, which keep the GPU a fifth busy and use 10 GiB."""
    measured = {"peak_memory_bytes": 10 * GIB, "utilization_mean": 20.0, "cpu_percent": 50.0, **resources}
    tests = (
        ran(f"test_{worker}[{n}]", worker, *devices, at=1 + n * seconds, seconds=seconds, **measured)
        for n in range(number)
    )
    return [record for test in tests for record in test]


ONE = holder("gw0", GPU[0])


def test_as_many_as_its_memory_and_its_use_allow() -> None:
    """Six by memory (76 GiB of 80 for 12.5 each), five by use."""
    item = given(ONE, CORES, suite())["slots"]
    assert item.share_of == "makespan"
    assert item.saves == pytest.approx(0.8)
    assert item.text == (
        "5 workers would have fitted on each GPU, where there was 1: tests used 10.0 GiB of 80.0 GiB at most, and kept "
        "GPUs 20 % busy: --gpupool-slots=5 with -n 5 saves up to 80 % of the makespan, where no test measures speed"
    )
    assert given(ONE, CORES, suite(utilization_mean=1.0))["slots"].text.startswith("6 workers would")
    assert given(ONE, CORES, suite(peak_memory_bytes=20 * GIB))["slots"].text.startswith("3 workers would")


def test_on_several_gpus_that_are_shared_already() -> None:
    """Two workers on each of two GPUs, each test a fifth of its GPU's use: ten would fit by use, six by memory."""
    workers = [holder(f"gw{n}", GPU[n // 2]) for n in range(4)]
    suites = [suite(20, f"gw{n}", GPU[n // 2]) for n in range(4)]
    item = given(*workers, CORES, *suites)["slots"]
    assert item.text.startswith("6 workers would have fitted on each GPU, where there were 2: ")
    assert "--gpupool-slots=6 with -n 12 saves" in item.text
    assert item.saves == pytest.approx(2 / 3)


def test_no_more_than_the_cores_bear() -> None:
    """Each takes half a core; where that is not known, one."""
    assert given(ONE, setting("cores", 2), suite())["slots"].text.startswith("4 workers would")
    assert given(ONE, setting("cores", 2), suite(cpu_percent=None))["slots"].text.startswith("2 workers would")
    assert not given(ONE, setting("cores", 1), suite(cpu_percent=100.0))
    assert not given(ONE, suite())


def test_no_more_than_there_are_tests() -> None:
    """Nor is the makespan shorter than the longest test."""
    assert given(ONE, CORES, suite(2, seconds=45.0))["slots"].text.startswith("2 workers would")
    assert not given(ONE, CORES, suite(1, seconds=90.0))
    long = ran("test_long", at=5, seconds=86, peak_memory_bytes=GIB, utilization_mean=20.0)
    assert not given(ONE, CORES, long, suite(4, seconds=1.0))


@pytest.mark.parametrize(
    "resources",
    [
        {"utilization_mean": 60.0},
        {"peak_memory_bytes": 40 * GIB},
        {"utilization_mean": None},
        {"peak_memory_bytes": None},
        {"peak_memory_bytes": None, "utilization_mean": None, "cpu_percent": None},
    ],
    ids=["busy", "full", "use unknown", "memory unknown", "no samples"],
)
def test_else_nothing_is_said(resources: dict[str, Any]) -> None:
    """There is no room, or nobody knows."""
    assert not given(ONE, CORES, suite(**resources))


def test_half_of_the_tests_measured_is_not_enough() -> None:
    """Those that were not may be the large ones."""
    unmeasured = [ran(f"test_x[{n}]", at=50 + n, seconds=1.0) for n in range(40)]
    assert not given(ONE, CORES, suite(10), *unmeasured)


def test_a_mig_instance_does_not_tell_its_use() -> None:
    """Of the card's nothing can be said of one of them."""
    tests = suite(20, "gw0", MIGS[0].id, utilization_mean=None, peak_memory_bytes=GIB)
    assert not given(holder("gw0", MIGS[0].id), CORES, tests, devices=MIGS)


def test_with_tests_of_several_gpus_nothing_is_said() -> None:
    """Nor with --dist each, where more workers run more tests, nor where a test crashed."""
    pair = ran("test_pair", "gw1", *GPU[:2], at=101, seconds=9, peak_memory_bytes=GIB, utilization_mean=5.0)
    assert not given(ONE, CORES, suite(), holder("gw1", *GPU[:2], began=100, ready=101, ended=110), pair)
    assert not given(ONE, CORES, suite(), each=True)
    assert not given(ONE, CORES, suite(19), ran("test_x", at=90, seconds=2, outcome="crashed"))


def test_a_device_that_goes_from_one_worker_to_the_next_is_not_shared() -> None:
    """An end is on record a moment after the device came free."""
    first, second = holder("gw0", GPU[0], ended=51), holder("gw1", GPU[0], began=50)
    item = given(first, second, CORES, suite())["slots"]
    assert "where there was 1: " in item.text
