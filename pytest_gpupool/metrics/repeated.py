"""Repeated: a metric over the repeats of one test: one value, its mean, the spread between runs, and an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..values.errors import MetricProblem
from .median import CONFIDENCE, median

Record = Mapping[str, Any]

_MIDDLES = ("mean", "median")


def reduced(name: str, found: Sequence[Record], reduce: str) -> dict[str, Any]:
    """Return one record, without a verdict, of what repeats have recorded under a name.

    ``mean`` and ``median`` are of the values, ``best`` and ``worst`` by the metric's direction, ``pass_at_k`` is 1
    where any of the values, each 0 or 1, is 1. A value that is not finite makes the whole so. ``repeated`` has the
    number of values, their mean, their standard deviation (n - 1), and Student's interval of the mean at 95 %.

    Raises:
        MetricProblem: they differ in unit or direction, or are not what the reducer takes.
    """
    for key in ("kind", "unit", "higher_is_better", "atol", "rtol"):
        if any(one[key] != found[0][key] for one in found):
            raise MetricProblem(f"metric {name!r}: its {key} differs between repeats")
    record = {key: found[0][key] for key in ("name", "kind", "unit", "higher_is_better", "atol", "rtol")} | {"n": None}
    if reduce not in _MIDDLES:  # of the extreme of several nothing tells the noise
        record["kind"] = "score"
    strange = next((one for one in found if one["value"] is None), None)
    if strange is not None:
        return record | {"value": None, "non_finite": strange["non_finite"]}
    values = [one["value"] for one in found]
    if reduce in _MIDDLES:
        # Each is of as many items, or nobody knows of how many the whole is.
        record |= {"repeats": values, "n": found[0]["n"] if len({one["n"] for one in found}) == 1 else None}
    return record | {"value": _one(name, values, reduce, record["higher_is_better"]), "repeated": summary(values)}


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return count, mean, spread and the mean's interval of values; None where one value has none."""
    count, mean = len(values), math.fsum(values) / len(values)
    if count < 2:
        return {"count": count, "mean": mean, "spread": None, "interval": None}
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = student_quantile(count - 1) * spread / math.sqrt(count)
    return {"count": count, "mean": mean, "spread": spread, "interval": [mean - half, mean + half]}


def student_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Return the t for which Student's distribution has so much between -t and t; for 1 degree of freedom or more."""
    low, high = 0.0, 1.0
    while _between(high, freedom) < confidence:
        high *= 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _between(middle, freedom) < confidence else (low, middle)
    return high


def _between(t: float, freedom: int) -> float:
    """Return P(-t < T < t). Source: Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    odd, square = freedom % 2, math.cos(angle) ** 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for number in range(3 if odd else 2, freedom - 1, 2):
        term *= square * (number - 1) / number
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


def _one(name: str, values: Sequence[float], reduce: str, higher_is_better: bool | None) -> float:
    if reduce == "mean":
        return values[0] if len(set(values)) == 1 else math.fsum(values) / len(values)
    if reduce == "median":
        return median(values).value
    if reduce == "pass_at_k":
        if not set(values) <= {0, 1}:
            raise MetricProblem(f"metric {name!r}: reduce='pass_at_k' takes values that are 0 or 1, not {values!r}")
        return max(values)
    if higher_is_better is None:
        raise MetricProblem(f"metric {name!r}: reduce={reduce!r} needs higher_is_better=True or False")
    return max(values) if higher_is_better == (reduce == "best") else min(values)
