"""Estimates: what earlier runs say of the tests of this one.

Pure: standard library only, no clock, no files. ``durations`` keeps what earlier runs measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..values.nodeids import file_of, function_of


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
    by_function = _means(known, function_of)
    by_file = _means(known, file_of)

    def expected(nodeid: str) -> float | None:
        if nodeid in known:
            return known[nodeid].seconds
        return by_function.get(function_of(nodeid), by_file.get(file_of(nodeid)))

    return list(map(expected, nodeids))


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
