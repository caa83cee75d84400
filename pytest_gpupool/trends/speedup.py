"""Speedup: how a suite's time goes with the number of workers, and whether its metrics stay what they were.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ..metrics.units import is_timed
from ..values.texts import epoch

CLASSES = ((0.8, "excellent"), (0.5, "good"), (0.0, "poor"))
"""What an efficiency is called, from this one on."""

Value = int | float | str | None
"""A metric's value; ``nan``, ``inf`` or ``-inf`` as text, None where it was not recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedRun:
    """The suite once: so many workers were asked for, so many ran; seconds of the command, and of its tests alone.

    The makespan is from the start of the first test to the end of the last one, None where none ran. ``shared_cores``
    is on how many cores the workers ran, None where they had GPUs, or a core each.
    """

    asked: int
    workers: int
    time: float
    makespan: float | None = None
    shared_cores: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The suite at one number of workers. ``speedup`` and ``efficiency`` are by the time of the command."""

    timed: TimedRun
    speedup: float
    efficiency: float

    @property
    def grade(self) -> str | None:
        """What its efficiency is called, see :data:`CLASSES`; None where its workers slowed each other down."""
        if self.timed.shared_cores is not None:
            return None
        return next(name for least, name in CLASSES if self.efficiency >= least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A metric that is not the same in all runs: its values, by the number of workers asked for.

    ``spread`` is the largest difference of two of them over the largest magnitude, infinite where one is no number.
    """

    test: str
    metric: str
    values: Mapping[int, Value]
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far the metrics of several runs agree.

    So many were ``compared``, so many not since they measure time (``timed``); those that differ, the worst first.
    """

    compared: int
    timed: int
    differing: tuple[Difference, ...]


def points(runs: Iterable[TimedRun]) -> list[Point]:
    """Return the runs with speedup and efficiency, in their order.

    Speedup = time with the fewest workers ÷ time, times those fewest workers: the run with the fewest counts as one of
    efficiency 1. Efficiency = speedup ÷ workers.
    """
    runs = list(runs)
    if not runs:
        return []
    first = min(runs, key=lambda run: run.asked)
    speedups = [first.time / run.time * first.workers for run in runs]
    return [
        Point(timed=run, speedup=speedup, efficiency=speedup / run.workers)
        for run, speedup in zip(runs, speedups, strict=True)
    ]


def workers_of(report: Mapping[str, Any], asked: int) -> int:
    """Return how many workers held a lease at a time, those without a test too: their devices were taken as well."""
    # One that was cancelled while it waited never started; one that takes a dead one's place is one more.
    started = [worker for worker in report["workers"] if worker["started"] is not None]
    return max(1, min(asked, len(started)))


def most_at_once(ran: Set[str | None], workers: Iterable[tuple[str, str | None, str | None]]) -> int:
    """Return how many of the workers that ran tests did so at a time, at most; all where nothing tells of times.

    Workers come with the moments at which they began and ended, as :func:`texts.iso` writes them: the first is None
    for one that never began, the second for one that goes on. What ends as another begins makes room for it.
    """
    moments: list[tuple[float, int]] = []
    for worker, start, end in workers:
        if worker in ran and start is not None:
            moments += [(epoch(start), 1), *([] if end is None else [(epoch(end), -1)])]
    return max(accumulate(step for _, step in sorted(moments)), default=0) or len(ran)


def idle_of(report: Mapping[str, Any], asked: int) -> int:
    """Return how many of these workers were given no test."""
    busy = {test["worker"] for test in report["tests"] if test["started"] is not None}
    return max(0, workers_of(report, asked) - len(busy))


def agreement(reports: Mapping[int, Mapping[str, Any]]) -> Agreement:
    """Compare the metrics of reports, by the number of workers; those of time or of a rate cannot be the same."""
    values: dict[tuple[str, str], dict[int, Value]] = {}
    timed = set()
    for asked, report in reports.items():
        for test, metric in _metrics(report["tests"]):
            key = (test, metric["name"])
            values.setdefault(key, {})[asked] = metric.get("non_finite", metric["value"])
            if is_timed(metric["unit"]):
                timed.add(key)
    found = [_difference(key, by_run, list(reports)) for key, by_run in values.items() if key not in timed]
    differing = sorted(filter(None, found), key=lambda one: -one.spread)
    return Agreement(compared=len(found), timed=len(timed), differing=tuple(differing))


def _metrics(tests: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    seen: Counter[str] = Counter()
    for test in tests:
        seen[test["nodeid"]] += 1  # a test may be there more than once, as where pytest is given a file twice
        number = seen[test["nodeid"]]
        name = test["nodeid"] if number == 1 else f"{test['nodeid']} ({number})"
        yield from ((name, metric) for metric in test["metrics"])


def _difference(key: tuple[str, str], by_run: Mapping[int, Value], runs: Sequence[int]) -> Difference | None:
    values = {run: by_run.get(run) for run in runs}
    told = list(values.values())
    if all(value == told[0] for value in told):
        return None
    test, metric = key
    return Difference(test=test, metric=metric, values=values, spread=_spread(told))


def _spread(values: Sequence[Value]) -> float:
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) < len(values):
        return float("inf")
    try:
        return float((max(numbers) - min(numbers)) / max(map(abs, numbers)))
    except OverflowError:  # an int beyond what a float holds
        return float("inf")
