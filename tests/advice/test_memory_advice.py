"""Tests that declare far more memory than they use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from made_advice import CARDS, GIB, MIGS, given, holder, ran

from pytest_gpupool.advice.memory import enough
from pytest_gpupool.values.device import Device

GPU = [card.id for card in CARDS]
ONE = holder("gw0", GPU[0])


def asks(gib: float) -> Mapping[str, float]:
    """What the marker says of memory."""
    return {"memory": gib * GIB}


def test_what_it_declares_and_what_would_do() -> None:
    """It declares 60 GiB of 80 for 90 of 100 s, and 15 would do."""
    item = given(ONE, ran("test_a[m0]", asked=asks(60), peak_memory_bytes=12 * GIB))["memory"]
    assert item.saves == pytest.approx(45 * 90 / (80 * 100))
    assert item.share_of == "memory"
    assert item.text == (
        'test_a declares 60.0 GiB of memory and used 12.0 GiB at most: memory="15GiB" would do (51 % of the memory of '
        "the GPUs that were held was kept for nothing)"
    )


def test_tests_of_a_function_are_one_line_by_what_they_declare() -> None:
    """The largest of them decides."""
    found = given(
        ONE,
        ran("test_a[0]", seconds=40, asked=asks(60), peak_memory_bytes=2 * GIB),
        ran("test_a[1]", at=41, seconds=40, asked=asks(60), peak_memory_bytes=20 * GIB),
        ran("test_b", at=81, seconds=10, asked=asks(60), peak_memory_bytes=40 * GIB),
    )
    assert found["memory"].text.startswith("test_a declares 60.0 GiB of memory and used 20.0 GiB at most: ")
    assert found["memory"].saves == pytest.approx(35 * 80 / (80 * 100))


@pytest.mark.parametrize(
    ("declared", "used", "seconds"),
    [(40, 20.5, 90), (4, 1, 90), (60, 12, 8), (60, None, 90), (None, 2, 90), (0, 2, 90)],
    ids=["half of it", "little", "for a moment", "not sampled", "not declared", "none declared"],
)
def test_else_nothing_is_said(declared: float | None, used: float | None, seconds: float) -> None:
    """It saves too little, or too little is known."""
    asked = None if declared is None else asks(declared)
    peak = None if used is None else int(used * GIB)
    assert not given(ONE, ran("test_a", seconds=seconds, asked=asked, peak_memory_bytes=peak))


@pytest.mark.parametrize("outcome", ["crashed", "timeout", "error"])
def test_who_came_to_harm_may_have_wanted_more(outcome: str) -> None:
    """Nothing is said of a function where one of its tests did."""
    fine = ran("test_a[0]", seconds=60, asked=asks(60), peak_memory_bytes=GIB)
    assert "memory" in given(ONE, fine)
    harmed = ran("test_a[1]", at=61, seconds=10, outcome=outcome, asked=asks(60), peak_memory_bytes=GIB)
    assert not given(ONE, fine, harmed)


def test_where_most_tests_are_shorter_than_a_sample_nothing_is_said() -> None:
    """What these took is not known."""
    seen = ran("test_a[0]", seconds=60, asked=asks(60), peak_memory_bytes=GIB)
    unseen = [ran(f"test_a[{n}]", at=60 + n, seconds=1, asked=asks(60), peak_memory_bytes=None) for n in range(1, 20)]
    assert not given(ONE, seen, *unseen)
    assert "memory" in given(ONE, seen, *unseen[:5])


def test_what_torch_held_counts_where_no_sample_saw_it() -> None:
    """A peak between two samples."""
    start, end = ran("test_a", asked=asks(60), peak_memory_bytes=2 * GIB)
    assert not given(ONE, [start, end | {"torch_peak": 59 * GIB}])


def test_several_devices_and_those_that_share_one_count_as_what_they_hold() -> None:
    """Two of two GPUs for 90 of 100 s; and a GPU that two workers share is held once."""
    both = given(holder("gw0", *GPU[:2]), ran("test_a", "gw0", *GPU[:2], asked=asks(60), peak_memory_bytes=12 * GIB))
    assert both["memory"].saves == pytest.approx(45 * 90 / (80 * 100))
    sharing = [ran(f"test_{n}", f"gw{n}", asked=asks(20), peak_memory_bytes=12 * GIB - 10 * n * GIB) for n in range(2)]
    shared = given(holder("gw0", GPU[0]), holder("gw1", GPU[0]), *sharing)
    assert shared["memory"].saves == pytest.approx(17.5 * 90 / (80 * 100))


def test_memory_of_a_mig_instance() -> None:
    """It is the instance's own."""
    found = given(
        holder("gw0", MIGS[0].id),
        ran("test_a", "gw0", MIGS[0].id, asked=asks(16), peak_memory_bytes=4 * GIB),
        devices=MIGS,
    )
    assert found["memory"].saves == pytest.approx(11 * 90 / (20 * 100))
    assert "MIG instances" in found["memory"].text


def test_a_device_of_unknown_size_is_no_measure() -> None:
    """As of a run whose plan is lost."""
    unknown = (Device(id=GPU[0], kind="gpu", index=0, name="unknown"),)
    assert not given(ONE, ran("test_a", asked=asks(60), peak_memory_bytes=GIB), devices=unknown)


def test_what_was_kept_from_an_earlier_run_held_nothing_in_this_one() -> None:
    """A run that goes on with another."""
    result: dict[str, Any] = {
        "params": {},
        "outcome": "passed",
        "attempt": 1,
        "worker": "gw0",
        "devices": [GPU[0]],
        "started": "2026-11-21T10:00:00.000000Z",
        "ended": "2026-11-21T10:10:00.000000Z",
        "duration_s": 600.0,
        "phases": {},
        "message": None,
        "metrics": [],
        "resources": {"peak_memory_bytes": GIB, "utilization_mean": 5.0},
    }
    kept = {"record": "kept", "test": "test_it.py::test_a", "run": "before", "result": result}
    assert not given(ONE, kept, ran("test_b", asked=asks(60), peak_memory_bytes=50 * GIB, utilization_mean=90.0))


@pytest.mark.parametrize(
    ("used", "said"), [(GIB, 1.25), (2 * GIB, 2.5), (4 * GIB, 5), (12 * GIB, 15), (13 * GIB, 17), (GIB // 100, 0.25)]
)
def test_sizes_are_such_as_people_write(used: int, said: float) -> None:
    """A quarter more, in steps."""
    assert enough(used) == said * GIB
