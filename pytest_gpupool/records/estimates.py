"""Estimates: what earlier runs say of the tests of this one.

Pure: standard library only, no clock, no files. ``history`` keeps what earlier runs measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier runs measured of one test: its median seconds, and its largest memory peak in bytes."""

    seconds: float
    peak: int | None


def durations(nodeids: Sequence[str], known: Mapping[str, Known]) -> list[float | None]:
    """Return for each test the seconds that it may take, None where nothing is known that is like it.

    Its own median; else the mean of its function with other parameters, else that of its module's tests. These
    count also where this run does not collect them.
    """
    by_function = _means(known, _function)
    by_module = _means(known, _module)
    return [
        known[nodeid].seconds if nodeid in known else by_function.get(_function(nodeid), by_module.get(_module(nodeid)))
        for nodeid in nodeids
    ]


def median(values: Sequence[float]) -> float:
    """Return the median, the mean of the middle two where their number is even.

    Raises:
        statistics.StatisticsError: there are no values.
    """
    return statistics.median(values)


def _means(known: Mapping[str, Known], part_of: Callable[[str], str]) -> dict[str, float]:
    totals: dict[str, tuple[float, int]] = {}
    for nodeid, test in known.items():
        part = part_of(nodeid)
        seconds, count = totals.get(part, (0.0, 0))
        totals[part] = (seconds + test.seconds, count + 1)
    return {part: seconds / count for part, (seconds, count) in totals.items()}


def _function(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def _module(nodeid: str) -> str:
    return nodeid.partition("::")[0]
