"""Timeouts that come far too late."""

from __future__ import annotations

import pytest
from made_advice import CARDS, Record, built, given, holder, ran, setting

ONE = holder("gw0", CARDS[0].id)


def limited(
    seconds: float, limit: float | None, outcome: str = "passed", name: str = "test_a", at: float = 1
) -> list[Record]:
    """A test that took so long and may take so long."""
    return ran(name, at=at, seconds=seconds, outcome=outcome, asked={"timeout": limit})


def test_what_it_is_and_what_would_do() -> None:
    """The run held its device for 100 s; a hang costs 3600, with the other limit 180."""
    item = given(ONE, limited(58, 3600))["timeout"]
    assert item.share_of == "hang"
    assert item.saves == pytest.approx((3600 - 180) / 3700)
    assert item.text == (
        "a timeout of 3600 s is 62 times what the longest test that has it took (58 s, test_a): 180 s would do, and a "
        "run in which one hangs would take 92 % less time"
    )


def test_the_limit_of_the_command_line_is_that_of_tests_that_name_none() -> None:
    """One line for each limit, by the longest of its tests; infinity is no limit."""
    found = given(
        ONE,
        setting("timeout", 1000),
        ran("test_short", seconds=5),
        ran("test_long", at=6, seconds=50),
        limited(0.01, None, name="test_endless", at=57),
    )
    assert found["timeout"].text.startswith(
        "a timeout of 1000 s is 20 times what the longest test that has it took (50 s"
    )


@pytest.mark.parametrize(
    ("seconds", "limit"), [(60, 599), (2, 30), (0.5, 30), (60, None)], ids=["9.98 times", "short", "shortest", "none"]
)
def test_else_nothing_is_said(seconds: float, limit: float | None) -> None:
    """It is less than ten times, no shorter one is better, or there is none."""
    assert not given(ONE, limited(seconds, limit))


def test_ten_times_is_enough() -> None:
    """And what it had to set up counts."""
    assert "timeout" in given(ONE, limited(60, 600))
    assert not given(ONE, limited(60, 600), built("model", 0, 1.0))


def test_of_a_long_run_a_hang_is_little() -> None:
    """Ten minutes of ten hours."""
    assert not given(holder("gw0", CARDS[0].id, ended=36_000), limited(10, 600))


@pytest.mark.parametrize("outcome", ["timeout", "crashed", "error"])
def test_a_limit_that_was_of_use_is_left_alone(outcome: str) -> None:
    """It cannot be told how long that test takes."""
    assert not given(ONE, limited(5, 600), limited(60, 600, outcome, "test_b"))
    assert "timeout" in given(ONE, limited(5, 600), limited(0, 600, "skipped", "test_b"))
