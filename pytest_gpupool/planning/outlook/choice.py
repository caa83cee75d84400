"""The choice between two rules, where it is known how long all tests take, and there are few enough to look ahead.

The rule that minds set-ups is far better on the whole (see ``backlog.families``). Of a handful of tests longest first
is sometimes better by a few percent, and both can be played. Pure: no clock, no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..problem import Problem
from .forecast import Forecast

MOST_TESTS = 200
"""Of more tests looking ahead takes longer than it gains."""

LOOKING_SECONDS = 0.001
"""What looking ahead takes for each test, at most; it is done where the tests take a hundred times as long."""


def chosen(problem: Problem) -> Problem:
    """Return the problem with the rule by which its run ends first."""
    tests = problem.tests
    seconds = [test.seconds for test in tests if test.seconds is not None]
    shares = problem.longest_first and any(test.set_ups for test in tests)
    if not shares or len(seconds) < len(tests) > 0 or not _is_worth_it(problem, seconds):
        return problem
    other = replace(problem, minds_set_ups=False)
    return other if _end(other, seconds) < _end(problem, seconds) else problem


def _is_worth_it(problem: Problem, seconds: Sequence[float]) -> bool:
    share = sum(seconds) / max(1, problem.capacity)
    return len(seconds) <= MOST_TESTS and share >= 100 * LOOKING_SECONDS * len(seconds)


def _end(problem: Problem, seconds: Sequence[float]) -> float:
    return Forecast(replace(problem, deadline=None), seconds=seconds).run().end
