"""How metrics are written for people: no exponent where a prefix or a finer unit says it, points for proportions."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.metrics.wording import (
    allowed_text,
    amount_text,
    baseline_text,
    change_text,
    interval_text,
    limits,
    shows_text,
    value_text,
)

ACCURACY: dict[str, Any] = {
    "value": 0.881,
    "baseline": 0.913,
    "change": -0.035,
    "kind": "proportion",
    "unit": "",
    "allowed": 0.00913,
    "interval": [-0.1, -0.02],
    "p": 3e-17,
    "n": 1319,
    "cohort": 5,
    "detectable": 0.071,
    "detectable_alone": 0.039,
    "higher_is_better": True,
}


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (65757.3, "examples/s", "65.8k examples/s"),
        (1234567.0, "", "1.23M"),
        (2.5e9, "B", "2.5G B"),
        (9999.0, "tokens/s", "9999 tokens/s"),
        (65757, "steps", "65757 steps"),
        (3.737e-05, "s", "37.4 µs"),
        (0.00037, "ms", "370 ns"),
        (4.2e-7, "us", "0.00042 ns"),
        (0.0374, "s", "0.0374 s"),
        (70000.0, "s", "70000 s"),
        (3.737e-05, "", "3.737e-05"),
        (1e300, "", "1e+300"),
        (float("inf"), "s", "inf s"),
    ],
)
def test_an_amount(number: float, unit: str, text: str) -> None:
    """A large one has a prefix, a short time a finer unit; whole numbers are shown whole."""
    assert amount_text(number, unit) == text


def test_a_value_and_its_baseline_are_told_apart_in_one_unit() -> None:
    """In as many digits as it takes, unless they are far apart."""
    metric = {"value": 3.7371e-05, "baseline": 3.7372e-05, "unit": "s"}
    assert (value_text(metric), baseline_text(metric)) == ("37.371 µs", "37.372 µs")
    metric = {"value": 3.7371e-05, "baseline": 2.0, "unit": "s"}
    assert (value_text(metric), baseline_text(metric)) == ("37.4 µs", "2 s")
    metric = {"value": 2e4, "baseline": 10, "unit": ""}
    assert (value_text(metric), baseline_text(metric)) == ("20k", "10")


def test_a_proportion_is_in_points() -> None:
    """Its change, its interval, what is allowed, and what would be seen."""
    assert change_text(ACCURACY) == "-3.2 points"
    assert change_text({**ACCURACY, "value": 88.1, "baseline": 91.3, "unit": "%"}) == "-3.2 points"
    assert change_text({**ACCURACY, "value": 0.923}) == "+1 point"
    assert (interval_text(ACCURACY), allowed_text(ACCURACY)) == ("(-9.1 to -1.8 points)", "0.913 points")
    assert list(limits(ACCURACY)) == [
        "allowed 0.913 points",
        "p 3e-17",
        "n 1319",
        "80% sure to see a drop of 3.9 points; with this suite's error rate 7.1",
    ]


def test_what_would_be_seen() -> None:
    """In the direction that is worse; in percent of a time; not where a proportion has no such drop."""
    assert shows_text({**ACCURACY, "higher_is_better": None, "detectable_alone": None}) == (
        "80% sure to see a change of 7.1 points"
    )
    assert shows_text({**ACCURACY, "detectable": 1.2}).endswith("of 3.9 points; with this suite's error rate none")
    assert shows_text({**ACCURACY, "detectable": 1.2, "detectable_alone": 1.1}) == (
        "too few items to be sure to see any change"
    )
    time = {"kind": "time", "unit": "s", "baseline": 2.0, "detectable": 0.18, "detectable_alone": 0.08}
    assert shows_text({**time, "higher_is_better": False}) == (
        "80% sure to see a rise of 4%; with this suite's error rate 9"
    )
