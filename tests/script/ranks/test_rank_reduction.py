"""One metric of those that all ranks have given."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.metrics.metric import Metric, make
from pytest_gpupool.script.ranks.reduction import checked, reduced
from pytest_gpupool.script.result import ScriptError
from pytest_gpupool.values.errors import MetricProblem


def ranks(*values: float, **about: Any) -> list[list[Metric]]:
    """One metric of each rank."""
    return [[make("m", value, **about)] for value in values]


@pytest.mark.parametrize(("how", "value"), [("mean", 2), ("sum", 6), ("min", 1), ("max", 3)])
def test_each_reducer(how: str, value: float) -> None:
    """What else is said of the metric stays."""
    (metric,) = reduced(ranks(1, 2, 3, unit="s", higher_is_better=False, rtol=0.1), checked(how))
    assert (metric.value, metric.unit, metric.higher_is_better, metric.rtol) == (value, "s", False, 0.1)
    assert metric.kind == "time"


def test_a_mean_is_weighed_by_n() -> None:
    """Where every rank says of how many items its own is."""
    by_rank = [[make("m", 1.0, n=3)], [make("m", 0.0, n=1)]]
    (metric,) = reduced(by_rank, checked("mean"))
    assert (metric.value, metric.n) == (0.75, 4)
    by_rank[1] = [make("m", 0.0)]
    (metric,) = reduced(by_rank, checked("mean"))
    assert (metric.value, metric.n) == (0.5, None)


def test_items_of_all_ranks_count_once() -> None:
    """A sampler that fills up gives some to two ranks."""
    by_rank = [
        [make("m", 0.5, samples={"a": 1, "b": 0})],
        [make("m", 1.0, samples={"c": 1, "a": 1})],
    ]
    (metric,) = reduced(by_rank, checked("mean"))
    assert dict(zip(metric.items or (), metric.samples or (), strict=True)) == {"a": 1, "b": 0, "c": 1}
    assert metric.n == 3
    assert metric.value == pytest.approx(2 / 3)
    (metric,) = reduced([[make("m", 1, samples=[1])], [make("m", 0, samples=[0])]], checked("mean"))
    assert (metric.value, metric.samples) == (0.5, (1.0, 0.0))


def test_what_is_not_named_is_of_rank_0() -> None:
    """A dict says which metrics are reduced, and how."""
    by_rank = [[make("tokens", 10), make("loss", 1.0)], [make("tokens", 12), make("lr", 3)]]
    found = reduced(by_rank, checked({"tokens": "sum"}))
    assert {metric.name: metric.value for metric in found} == {"tokens": 22, "loss": 1.0}


@pytest.mark.parametrize(
    ("by_rank", "told"),
    [
        ([[make("m", 1)], []], "metric 'm' is to be reduced over ranks; rank 0 gave it, rank 1 did not"),
        ([[], [make("m", 1)]], "metric 'm' is to be reduced over ranks; rank 1 gave it, rank 0 did not"),
        ([[make("m", 1, unit="s")], [make("m", 1, unit="ms")]], "rank 0 gave it in 's', rank 1 in 'ms'"),
    ],
)
def test_ranks_that_do_not_agree(by_rank: list[list[Metric]], told: str) -> None:
    """It is said which."""
    with pytest.raises(MetricProblem, match=told):
        reduced(by_rank, checked("mean"))


@pytest.mark.parametrize("wrong", ["median", 3, {"m": None}])
def test_a_wrong_reducer(wrong: object) -> None:
    """It is said which there are."""
    with pytest.raises(ScriptError, match=r"give one of 'mean', 'sum', 'min', 'max', or a dict"):
        checked(wrong)
