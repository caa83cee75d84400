"""Costs: what metrics with ``reduce="sum"``, such as tokens and dollars, add up to over a run.

Each attempt at a test and each repeat of it has cost what it has recorded, whatever became of it: all of them count,
those too that an earlier run has made of tests whose results are kept. What is no number counts for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..records.folding.result import TestResult
from ..records.folding.results import Results
from .wording import amount_text


def sums(results: Results) -> list[dict[str, Any]]:
    """Return, by name and unit, what a run's costs add up to, as reports have it."""
    found: dict[tuple[str, str], list[int | float]] = {}
    for metric in _all(results.single):
        value = metric.get("single", metric["value"])
        if metric.get("reduce") == "sum" and value is not None:
            found.setdefault((metric["name"], metric["unit"]), []).append(value)
    return [
        {"name": name, "unit": unit, "value": total, "count": len(values)}
        for (name, unit), values in found.items()
        if (total := _sum(values)) is not None
    ]


def line(told: Iterable[Mapping[str, Any]]) -> str | None:
    """Return what they are as a line for people; None where there are none."""
    texts = [f"{one['name']} {text_of(one)}" for one in told]
    return f"in all: {', '.join(texts)}" if texts else None


def texts(report: Mapping[str, Any]) -> list[str]:
    """Return a sentence on what the costs of a report's run are, without its full stop; nothing where it has none."""
    told = line(report["summary"].get("sums", ()))
    return [] if told is None else [f"{told[0].upper()}{told[1:]}"]


def text_of(one: Mapping[str, Any]) -> str:
    """Return a sum with its unit, as people write it."""
    return amount_text(one["value"], one["unit"])


def _all(tests: Iterable[TestResult]) -> Iterator[Mapping[str, Any]]:
    for test in tests:
        for before in test.before:
            yield from before.get("metrics", ())
        for one in (test, *test.again):
            yield from one.metrics.values()


def _sum(values: list[int | float]) -> int | float | None:
    if all(isinstance(value, int) for value in values):
        return sum(values)
    try:
        total = math.fsum(values)
    except OverflowError:
        return None
    return total if math.isfinite(total) else None
