"""The plan's line: what the run was planned to take, beside what it took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...planning.outlook.expectation import look_ahead
from ...reports.terminal.plan import against_reality
from ..controller import Controller

_SHORT = 0.05  # a mean duration below which looking ahead takes too long for what it tells, in seconds
_LEAST = 1.0  # of a makespan, in seconds


def lines(run: Controller) -> Iterator[str]:
    """Yield the line, where the run went through all its tests and earlier runs knew most of them."""
    problem, makespan = run.problem, run.records.results.makespan()
    if problem is None or not problem.tests or makespan is None or makespan < _LEAST or run.records.results.not_run:
        return
    known = [test.seconds for test in problem.tests if test.seconds is not None]
    unknown = len(problem.tests) - len(known)
    if unknown > len(known) or sum(known) < _SHORT * len(known):
        return
    # The sizes of the pool's devices make little difference.
    if (ahead := look_ahead(replace(problem, deadline=None))) is not None:
        yield against_reality(ahead.makespan, makespan, unknown=unknown)
