"""Estimates: what earlier runs say of the tests of this one.

Pure: standard library only, no clock, no files. ``durations`` keeps what earlier runs measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..values.nodeids import file_of, function_of
from ..values.wide_fixture import split_key


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier runs measured of one test: its median seconds, and its largest memory peak in bytes."""

    seconds: float
    peak: int | None


class Learned(NamedTuple):
    """What earlier runs measured: of tests by nodeid, of wide fixtures by key the median seconds of one instance."""

    tests: Mapping[str, Known]
    fixtures: Mapping[str, float]
    has_fixtures: bool = True
    """Whether those would be here that took any time: not where only version 0.1 has measured."""


def set_ups(keys: Sequence[str], learned: Learned) -> list[float | None]:
    """Return for each wide fixture the seconds that it may take, None where nothing is known that is like it.

    Its own median; else the mean of the same fixture with other parameters.
    """
    by_fixture: dict[str, list[float]] = {}
    for key, seconds in learned.fixtures.items():
        by_fixture.setdefault(split_key(key)[0], []).append(seconds)

    def expected(key: str) -> float | None:
        if key in learned.fixtures:
            return learned.fixtures[key]
        like = by_fixture.get(split_key(key)[0])
        return statistics.fmean(like) if like else None

    return list(map(expected, keys))


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


def duration_of_all(seconds: Sequence[float | None], workers: int) -> float | None:
    """Return the seconds that so many workers will take for all of these tests, None where one is not known.

    They are shared evenly, but take no less than the longest of them takes alone.
    """
    known = [each for each in seconds if each is not None]
    if len(known) < len(seconds):
        return None
    return max(sum(known) / max(1, workers), max(known, default=0.0))


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
