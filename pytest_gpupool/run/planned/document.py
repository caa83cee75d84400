"""The document: a plan as a dictionary that can be written as JSON, and that words are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...planning.outlook.expectation import Expectation, longest_pole, look_ahead
from ...planning.outlook.places import places_for, shards_for
from ...planning.problem import Problem
from ...records.estimates import Learned
from ...values.device import Device
from .suite import Workforce

FORMAT = "gpupool-plan"
VERSION = "1.0.0"
_HOUR = 3600.0

Divide = Callable[[int], Sequence[Sequence[int]]]


def plan(
    problem: Problem,
    nodeids: Sequence[str],
    workforce: Workforce,
    learned: Learned,
    *,
    pool: str,
    target: float | None,
    kept: Mapping[str, Any] | None,
    impossible: Sequence[tuple[str, str]],
    divide: Divide,
) -> dict[str, Any]:
    """Return the plan of a run. ``pool`` says what it would run on; ``kept`` is about the run that it would resume.

    ``divide`` returns the numbers of the tests of each of so many shards.
    """
    places = [_memory(device) for device in workforce.devices for _ in range(workforce.slots)]
    ahead = look_ahead(problem, places or None)
    known = sum(nodeid in learned.tests for nodeid in nodeids)
    alike = sum(test.seconds is not None for test in problem.tests) - known
    return {
        "plan_format": FORMAT,
        "spec_version": VERSION,
        "pool": pool,
        "workers": problem.capacity if workforce.asked else 1,
        "tests": len(nodeids),
        "known": known,
        "alike": alike,
        "unknown": len(nodeids) - known - alike,
        "not_started": 0 if ahead is None else ahead.given_up,
        "makespan_s": None if ahead is None else ahead.makespan,
        **_hours(ahead, workforce),
        "fixtures": _fixtures(ahead, problem),
        "longest": _longest(problem, nodeids),
        "kept": kept,
        "impossible": [{"nodeid": nodeid, "reason": reason} for nodeid, reason in impossible],
        "target": None if target is None else _target(problem, workforce, target, divide, known=ahead is not None),
    }


def _memory(device: Device) -> float:
    return math.inf if device.memory_total is None else float(device.memory_total)


def _hours(ahead: Expectation | None, workforce: Workforce) -> dict[str, float | None]:
    """Return the GPU-hours, none where there is no GPU."""
    if ahead is None or not workforce.devices:
        return {"gpu_hours": None, "busy_gpu_hours": None}
    return {
        "gpu_hours": ahead.held / workforce.slots / _HOUR,
        "busy_gpu_hours": ahead.busy / workforce.slots / _HOUR,
    }


def _fixtures(ahead: Expectation | None, problem: Problem) -> list[dict[str, Any]]:
    if ahead is None:
        return []
    costs = problem.costs
    return [
        {"fixture": key, "built": times, "setup_s": None if costs.get(key) is None else times * (costs[key] or 0.0)}
        for key, times in sorted(ahead.built.items())
    ]


def _longest(problem: Problem, nodeids: Sequence[str]) -> dict[str, Any] | None:
    pole = longest_pole(problem)
    if pole is None:
        return None
    return {"nodeid": nodeids[pole.test.index], "duration_s": pole.seconds, "setup_s": pole.set_up}


def _target(problem: Problem, workforce: Workforce, target: float, divide: Divide, *, known: bool) -> dict[str, Any]:
    """Return how many devices the run takes to end within that many seconds, and how many shards of this size."""
    places = places_for(problem, target) if known else None
    if places is None:
        return {"target_s": target, "devices": None, "shards": None, "matrix": []}
    shards = shards_for(problem, target, divide, math.ceil(places / problem.capacity))
    return {
        "target_s": target,
        "devices": math.ceil(places / workforce.slots),
        "shards": shards,
        "matrix": list(range(1, (shards or 0) + 1)),
    }
