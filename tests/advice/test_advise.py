"""All advice on a run: when there is any, and in which order."""

from __future__ import annotations

import pytest
from made_advice import CARDS, GIB, Record, given, holder, ran, setting

from pytest_gpupool.advice import advise
from pytest_gpupool.advice.items import KINDS, MUCH, SHARES
from pytest_gpupool.records.folding.results import Results

GPU = [card.id for card in CARDS]


def wasteful(ended: float) -> list[Record]:
    """A run of so many seconds that wastes most of what it has."""
    asked = {"memory": 70 * GIB, "timeout": 3600.0}
    tests = [
        ran(
            f"test_w[{n}]",
            at=ended * (4 + n) / 8,
            seconds=ended / 8,
            asked=asked,
            peak_memory_bytes=GIB,
            utilization_mean=1.0,
        )
        for n in range(4)
    ]
    worker = holder("gw0", GPU[0], ready=ended / 2, ended=ended, idle={"stage": ended / 4})
    return [*worker, setting("cores", 8), *(record for test in tests for record in test)]


def test_what_saves_most_comes_first_and_what_would_if_a_test_hung_last() -> None:
    """Each saves more than 5 %."""
    found = [*given(wasteful(1000)).values()]
    assert {item.kind for item in found} == {"collection", "stage", "memory", "slots", "timeout"}
    assert found[-1].kind == "timeout"
    saves = [item.saves for item in found[:-1]]
    assert saves == sorted(saves, reverse=True)
    assert all(item.saves > MUCH and item.kind in KINDS and item.share_of in SHARES for item in found)
    assert all("\n" not in item.text for item in found)


def test_a_run_of_seconds_tells_nothing() -> None:
    """Its start is most of it."""
    assert not given(wasteful(9.9))
    assert given(wasteful(10.1))


def test_what_is_5_percent_of_next_to_nothing_is_noise() -> None:
    """Two seconds of eleven."""
    assert not given(holder("gw0", GPU[0], ended=11, idle={"lock": 2.0}), ran("test_a", seconds=9))


@pytest.mark.parametrize("records", [[], [setting("cores", 8)], holder("gw0"), holder("gw0", "GPU-gone")])
def test_a_run_that_held_nothing_gets_no_advice(records: list[Record]) -> None:
    """No workers, none with a device, or with one that the pool does not have."""
    assert not given(records)


def test_a_run_that_was_killed_is_judged_by_what_is_known_of_it() -> None:
    """A lease without an end ends with its last test; one without tests is left out."""
    killed = holder("gw0", GPU[0], ended=None), holder("gw1", GPU[1], ended=None)
    assert not given(*killed)
    item = given(*killed, ran("test_a", at=30, seconds=70))["collection"]
    assert item.saves == pytest.approx(28 / 100)


def test_a_clock_that_was_set_back_makes_no_sense_of_nothing() -> None:
    """A lease that ended before it began."""
    assert not given(holder("gw0", GPU[0], began=500, ready=900, ended=100), ran("test_a"))


def test_at_most_ten_lines() -> None:
    """A suite with a limit for each test."""
    results = Results()
    results.add_all(holder("gw0", GPU[0]))
    for number in range(30):
        results.add_all(ran(f"test_{number}", at=1 + number, seconds=1, asked={"timeout": 1000.0 + number}))
    assert len(advise.advice(results, CARDS)) == advise.MOST == 10
