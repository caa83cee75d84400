"""The expectation: what a run will be like, in numbers. Pure: no clock, no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ..problem import Problem
from ..tests import Test
from .forecast import Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A run as it is expected. All times are in seconds.

    ``makespan`` is from the start of the first test to the end of the last; ``held`` for how long devices are leased
    in that time, ``busy`` how long tests and set-ups have them, each the sum over devices; ``built`` how often each
    wide fixture is set up, by key.
    """

    makespan: float
    held: float
    busy: float
    built: Mapping[str, int]
    given_up: int
    """How many tests would not start, because they would not end before the deadline."""


@dataclass(frozen=True, slots=True)
class Pole:
    """The longest pole: the test that takes longest with what has to be set up for it. No plan is shorter."""

    test: Test
    seconds: float
    set_up: float

    @property
    def whole(self) -> float:
        """Return both together, in seconds."""
        return self.seconds + self.set_up


def durations(tests: Sequence[Test]) -> list[float] | None:
    """Return the seconds of each test: as known, else the mean of the others; None where nothing is known of any."""
    known = [test.seconds for test in tests if test.seconds is not None]
    if not known:
        return None
    mean = fmean(known)
    return [mean if test.seconds is None else test.seconds for test in tests]


def look_ahead(problem: Problem, devices: Sequence[float] | None = None) -> Expectation | None:
    """Return what the run will be like, None where nothing is known of its tests. ``devices``: see Forecast."""
    seconds = durations(problem.tests)
    if seconds is None:
        return None
    run = Forecast(problem, seconds=seconds, devices=devices).run()
    costs = {key: known or 0.0 for key, known in problem.costs.items()}
    busy = 0.0
    for one in run.begun:
        took = seconds[one.test.index] + sum(costs.get(fixture.key, 0.0) for fixture in one.built)
        busy += one.test.gpus * took
    built = Counter(key for _, key in run.builds)
    return Expectation(
        makespan=run.end, held=run.held, busy=busy, built=built, given_up=len(problem.tests) - len(run.begun)
    )


def longest_pole(problem: Problem) -> Pole | None:
    """Return the longest test of those that are known, None where none is."""
    costs = problem.costs
    poles = [
        Pole(test, test.seconds, sum(costs.get(fixture.key) or 0.0 for fixture in test.set_ups))
        for test in problem.tests
        if test.seconds is not None
    ]
    return max(poles, key=lambda pole: pole.whole, default=None)
