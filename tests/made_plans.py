"""Tests and planners, made for tests of the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_gpupool.planning.backlog.costs import Costs
from pytest_gpupool.planning.backlog.loads import Load
from pytest_gpupool.planning.backlog.queue import Queue
from pytest_gpupool.planning.decisions import Decision
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Possible, Test, WorkUnit, work_unit
from pytest_gpupool.values.wide_fixture import WideFixture

SHORT = 0.001
LONG = 100.0


def at_most(largest: int) -> Possible:
    """What a pool can give of which so many devices are left, with all the memory that a test may want."""
    return lambda gpus, memory: (gpus, memory) if gpus <= largest else (min(1, largest), 0)


def several(count: int, function: str = "f", first: int = 0, group: str | None = None, priority: int = 0) -> list[Test]:
    """Tests of one function."""
    return [
        Test(index=index, function=function, group=group, priority=priority) for index in range(first, first + count)
    ]


def sized(*gpus: int, seconds: float | None = LONG) -> list[Test]:
    """A test for each of these sizes."""
    return [Test(index=index, function=f"f{index}", gpus=each, seconds=seconds) for index, each in enumerate(gpus)]


def with_workers(tests: Sequence[Test], devices: int, *, longest_first: bool = True) -> Planner:
    """A planner with a worker for each device, gw0 to begin with, which has collected."""
    planner = Planner(tests, capacity=devices, asked=devices, longest_first=longest_first)
    for number in range(devices):
        planner.started(f"gw{number}", 1)
    return planner


def of_kind(decisions: Iterable[Decision], kind: type[Decision]) -> list[Decision]:
    return [decision for decision in decisions if isinstance(decision, kind)]


def order(planner: Planner) -> list[int]:
    """The order in which one worker runs every test, all long."""
    planner.joined("gw0")
    ran = []
    while queue := planner.assigned("gw0"):
        planner.asks("gw0")
        planner.ended("gw0", queue[0], LONG)
        ran.append(queue[0])
    return ran


def run_alone(planner: Planner, indices: Iterable[int], seconds: float, *, join: bool = True) -> None:
    """Have gw0 run these tests, which must come in this order."""
    if join:
        planner.joined("gw0")
    for index in indices:
        planner.asks("gw0")
        planner.ended("gw0", index, seconds)


def as_asked(gpus: int, memory: int) -> tuple[int, int]:
    """What a pool can give that has all that a test may want."""
    return gpus, memory


def unit(index: int, **keys: Any) -> WorkUnit:
    """A work unit of one test."""
    return work_unit([Test(index=index, function="f", **keys)], as_asked)


def load(*seconds: float | None) -> Load:
    """What waits of units that take so long."""
    made = Load()
    for each in seconds:
        made.add(each)
    return made


def numbered(*tests: Test) -> dict[int, Test]:
    """These tests by their numbers."""
    return {test.index: test for test in tests}


def model(name: str, node: str = "") -> WideFixture:
    """A model that tests share, as long as they are in that file."""
    return WideFixture("model", "", name, node)


def queue_of(*tests: Test, longest_first: bool = True, costs: Mapping[str, float] | None = None) -> Queue:
    """A queue in which these tests wait; ``costs`` are what models take to set up, by name."""
    known = {model(name).key: seconds for name, seconds in (costs or {}).items()}
    made = Queue(numbered(*tests), longest_first=longest_first, costs=Costs(known))
    made.add(test.index for test in tests)
    return made
