"""A run by the clock, in which nothing but tests and their set-ups takes time: a forecast that comes true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gpupool.planning.outlook.forecast import Forecast
from pytest_gpupool.planning.problem import Problem
from pytest_gpupool.planning.tests import Test


def played(
    tests: Sequence[Test],
    workers: int,
    costs: Mapping[str, float],
    *,
    known: Mapping[str, float | None] | None = None,
    seconds: Sequence[float] | None = None,
    tells: bool = True,
) -> Forecast:
    """So many workers run tests that take ``seconds`` each; a wide fixture takes what ``costs`` says, by its key.

    ``known`` is what earlier runs say of that, the same where nothing is given. Without ``tells`` the planner does not
    hear what it took.
    """
    problem = Problem(tests=tests, capacity=workers, asked=workers, costs=costs if known is None else known)
    return Forecast(problem, seconds=seconds, costs=costs, tells=tells).run()
