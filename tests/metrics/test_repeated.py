"""A metric over the repeats of a test."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.metrics.repeated import reduced, student_quantile, summary
from pytest_gpupool.values.errors import MetricProblem


def found(*values: float | None, **fields: Any) -> list[dict[str, Any]]:
    """What repeats have recorded."""
    usual = {"name": "m", "kind": "mean", "unit": "", "higher_is_better": True, "n": 7, "atol": None, "rtol": None}
    return [{**usual, "value": value, **({"non_finite": "nan"} if value is None else {}), **fields} for value in values]


@pytest.mark.parametrize(
    ("reduce", "higher_is_better", "value"),
    [
        ("mean", True, 3.0),
        ("median", None, 2),
        ("best", True, 6),
        ("worst", True, 1),
        ("best", False, 1),
        ("worst", False, 6),
    ],
)
def test_one_value_of_several(reduce: str, higher_is_better: bool | None, value: float) -> None:
    record = reduced("m", found(6, 1, 2, higher_is_better=higher_is_better), reduce)
    assert record["value"] == value
    assert (record["repeated"]["count"], record["repeated"]["mean"]) == (3, 3.0)
    # Of the best or worst of several nothing tells the noise: it is judged by its tolerance alone.
    is_middle = reduce in ("mean", "median")
    told = ("mean", 7, [6, 1, 2]) if is_middle else ("score", None, None)
    assert (record["kind"], record["n"], record.get("repeats")) == told


def test_of_other_numbers_of_items_nobody_knows_how_many_the_whole_is_of() -> None:
    assert reduced("m", found(1) + found(2, n=8), "mean")["n"] is None


@pytest.mark.parametrize(("values", "value"), [((0, 0, 1), 1), ((0, 0), 0), ((True, False), True)])
def test_it_passes_at_k_where_any_does(values: tuple[float, ...], value: float) -> None:
    assert reduced("m", found(*values), "pass_at_k")["value"] == value


def test_what_is_not_finite_makes_the_whole_so() -> None:
    assert reduced("m", found(1, None), "mean") == {
        "name": "m", "kind": "mean", "unit": "", "higher_is_better": True, "n": None, "atol": None, "rtol": None,
        "value": None, "non_finite": "nan",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("records", "reduce", "said"),
    [
        (found(1, 0.5), "pass_at_k", "metric 'm': reduce='pass_at_k' takes values that are 0 or 1, not [1, 0.5]"),
        (found(1, higher_is_better=None), "best", "metric 'm': reduce='best' needs higher_is_better=True or False"),
        (found(1) + found(1, unit="s"), "mean", "metric 'm': its unit differs between repeats"),
    ],
)
def test_what_cannot_be_reduced(records: list[dict[str, Any]], reduce: str, said: str) -> None:
    with pytest.raises(MetricProblem) as caught:
        reduced("m", records, reduce)
    assert str(caught.value) == said


def test_spread_and_interval() -> None:
    """scipy.stats: t.interval(0.95, 4, mean, sem) of 1 … 5."""
    told = summary([1, 2, 3, 4, 5])
    assert (told["count"], told["mean"]) == (5, 3)
    assert told["spread"] == pytest.approx(2.5**0.5, abs=1e-12)
    assert told["interval"] == pytest.approx([1.0367568385224393, 4.96324316147756], abs=1e-9)
    assert summary([4.0]) == {"count": 1, "mean": 4.0, "spread": None, "interval": None}


@pytest.mark.parametrize(
    ("freedom", "t"),
    # scipy.stats.t.ppf(0.975, freedom)
    [
        (1, 12.706204736174694),
        (2, 4.302652729749462),
        (3, 3.182446305283708),
        (4, 2.776445105197793),
        (9, 2.262157162798205),
        (30, 2.0422724563012378),
        (99, 1.9842169515864174),
    ],
)
def test_students_quantile(freedom: int, t: float) -> None:
    assert student_quantile(freedom) == pytest.approx(t, rel=1e-9)
