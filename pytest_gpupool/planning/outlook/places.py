"""Places: how many devices, or machines of so many, are enough for a run to end in time. Pure: no clock, no files."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..problem import Problem
from .expectation import durations
from .forecast import Forecast

MOST_PLACES = 4096
"""More devices than this are not looked for."""


def places_for(problem: Problem, target: float) -> int | None:
    """Return how many devices, or slots of them, end the run within ``target`` seconds, None where no number does.

    Devices of any number are taken to be as large as tests need. The makespan falls with their number but for small
    steps back, so the answer is one that does, and near the least.
    """
    seconds = durations(problem.tests)
    if seconds is None:
        return None

    def makespan(places: int) -> float:
        return Forecast(replace(problem, capacity=places, asked=places, deadline=None), seconds=seconds).run().end

    largest = max((test.gpus for test in problem.tests), default=1)
    work = sum(max(1, test.gpus) * seconds[test.index] for test in problem.tests)
    most = min(MOST_PLACES, sum(max(1, test.gpus) for test in problem.tests))
    places = too_few = max(1, largest, math.ceil(work / target) if target > 0 else most)
    too_few -= 1
    while places <= most and (end := makespan(places)) > target:
        too_few = places
        # Twice as many at most: how it goes on from here is seen best from near.
        places = max(places + 1, min(2 * places, math.ceil(places * end / target) if target > 0 else most + 1))
        if places > most > too_few:
            places = most
    if places > most:
        return None
    while places - too_few > 1:
        middle = (places + too_few) // 2
        if makespan(middle) > target:
            too_few = middle
        else:
            places = middle
    return places


def shards_for(
    problem: Problem, target: float, divide: Callable[[int], Sequence[Sequence[int]]], least: int
) -> int | None:
    """Return how many machines, each of the problem's capacity, end the run within ``target`` seconds.

    They are ``least`` at least. ``divide`` returns the numbers of the tests of each of so many shards. None where four
    times as many do not: what stays together takes longer.
    """
    seconds = durations(problem.tests)
    if seconds is None:
        return None
    counts = range(least, min(4 * least, max(least, len(problem.tests))) + 1)
    return next(
        (count for count in counts if all(_end(problem, part, seconds) <= target for part in divide(count))), None
    )


def _end(problem: Problem, part: Sequence[int], seconds: Sequence[float]) -> float:
    """Return when a machine is done that has these tests alone."""
    tests = [replace(problem.tests[number], index=index) for index, number in enumerate(part)]
    alone = replace(problem, tests=tests, deadline=None)
    return Forecast(alone, seconds=[seconds[number] for number in part]).run().end if tests else 0.0
