"""Reduction: one metric of those that all ranks have given of one name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...metrics import metric as metrics
from ...metrics.metric import Metric, Number
from ...values.errors import MetricProblem
from ...values.texts import safe_repr
from ..result import ScriptError

_REDUCERS: Mapping[str, Callable[[Sequence[Number]], Number]] = {
    "mean": lambda values: math.fsum(values) / len(values),
    "sum": sum,
    "min": min,
    "max": max,
}

_ABOUT = ("kind", "unit", "higher_is_better", "atol", "rtol")

ALL = ""
"""Stands for the name of every metric that is not named."""


def checked(reduce: object) -> dict[str, str]:
    """Return how metrics are to be reduced, by name; those that are not there are of rank 0. Raises ScriptError."""
    if reduce is None:
        return {}
    told: Mapping[Any, Any] = reduce if isinstance(reduce, Mapping) else {ALL: reduce}
    for one in told.values():
        if not isinstance(one, str) or one not in _REDUCERS:
            known = ", ".join(map(repr, _REDUCERS))
            raise ScriptError(f"reduce={safe_repr(one, 40)}: give one of {known}, or a dict of these by metric")
    return {str(name): how for name, how in told.items()}


def reduced(by_rank: Sequence[Sequence[Metric]], how: Mapping[str, str]) -> list[Metric]:
    """Return the metrics of rank 0, those to be reduced over all ranks.

    Raises:
        MetricProblem: a rank lacks one of them, or says another thing of it.
    """
    found = []
    for first in by_rank[0]:
        reducer = how.get(first.name, how.get(ALL))
        found.append(first if reducer is None else _reduced(first, _of_all(first.name, by_rank), reducer))
    names = {metric.name for metric in by_rank[0]}
    for rank, others in enumerate(by_rank):
        for one in others:
            if one.name not in names and (one.name in how or ALL in how):
                raise MetricProblem(
                    f"metric {one.name!r} is to be reduced over ranks; rank {rank} gave it, rank 0 did not"
                )
    return found


def _of_all(name: str, by_rank: Sequence[Sequence[Metric]]) -> list[Metric]:
    found: list[Metric] = []
    for rank, of_rank in enumerate(by_rank):
        metric = next((one for one in of_rank if one.name == name), None)
        if metric is None:
            raise MetricProblem(f"metric {name!r} is to be reduced over ranks; rank 0 gave it, rank {rank} did not")
        if found and metric.unit != found[0].unit:
            raise MetricProblem(
                f"metric {name!r} is to be reduced over ranks; rank 0 gave it in {found[0].unit!r}, "
                f"rank {rank} in {metric.unit!r}"
            )
        found.append(metric)
    return found


def _reduced(first: Metric, of_all: Sequence[Metric], reducer: str) -> Metric:
    about: dict[str, Any] = {name: getattr(first, name) for name in _ABOUT}
    values = [metric.value for metric in of_all]
    if reducer != "mean":
        return metrics.make(first.name, _REDUCERS[reducer](values), **about)
    samples = _pooled(of_all)
    if samples is not None:
        each = list(samples.values()) if isinstance(samples, dict) else samples
        return metrics.make(first.name, math.fsum(each) / len(each), samples=samples, **about)
    counts = [metric.n for metric in of_all if metric.n is not None]
    if len(counts) < len(of_all):
        return metrics.make(first.name, _REDUCERS["mean"](values), **about)
    total = sum(counts)
    mean = math.fsum(value * count for value, count in zip(values, counts, strict=True)) / total
    return metrics.make(first.name, mean, n=total, **about)


def _pooled(of_all: Sequence[Metric]) -> dict[str, float] | list[float] | None:
    """Return the items of all ranks, each id once, since samplers give some to two ranks; None where one has none."""
    if any(metric.samples is None for metric in of_all):
        return None
    if any(metric.items is None for metric in of_all):
        return [value for metric in of_all for value in metric.samples or ()]
    return {
        item: value
        for metric in reversed(of_all)
        for item, value in zip(metric.items or (), metric.samples or (), strict=True)
    }
