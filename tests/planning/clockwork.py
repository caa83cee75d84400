"""A run by the clock: workers that do what the planner says, and take exactly as long as they should."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from pytest_gpupool.planning.decisions import Assign, Decision, Retire, Steal
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.planning.workers import set_up_after
from pytest_gpupool.values.wide_fixture import WideFixture

AT_ONCE = 1e-9
"""How long before the end of its test a worker asks for the next one."""


@dataclass(slots=True)
class Begun:
    """A test that a worker has begun, and what it set up for it."""

    at: float
    worker: str
    test: Test
    built: Sequence[WideFixture]


@dataclass(slots=True)
class _Worker:
    tests: deque[int] = field(default_factory=deque)
    running: int | None = None
    set_up: frozenset[WideFixture] = frozenset()
    retired: bool = False


class Clockwork:
    """So many workers run tests that take ``seconds`` each; a wide fixture takes what ``costs`` says, by its key.

    ``known`` is what earlier runs say of that, the same where nothing is given. Without ``tells`` the planner does not
    hear what it took.
    """

    def __init__(
        self,
        tests: Sequence[Test],
        workers: int,
        costs: Mapping[str, float],
        *,
        known: Mapping[str, float | None] | None = None,
        seconds: Sequence[float] | None = None,
        tells: bool = True,
    ) -> None:
        self._tells = tells
        self.begun: list[Begun] = []
        self.end = 0.0
        self._tests = {test.index: test for test in tests}
        self._seconds = seconds or [test.seconds or 0.0 for test in tests]
        self._costs = costs
        self._workers = {f"gw{number}": _Worker() for number in range(workers)}
        self._planner = Planner(tests, capacity=workers, asked=workers, costs=costs if known is None else known)
        self._events: list[tuple[float, int, str, str]] = []
        self._numbers = count()
        self._now = 0.0

    def run(self) -> Clockwork:
        """Let all tests run."""
        for name in self._workers:
            self._planner.started(name)
        for name in self._workers:
            self._carry_out(self._planner.joined(name))
        while self._events:
            self._now, _, name, what = heapq.heappop(self._events)
            self._planner.at(self._now)
            worker = self._workers[name]
            if what == "asks" and not worker.tests and not worker.retired:
                self._carry_out(self._planner.asks(name))
            elif what == "ends":
                self._ends(name, worker)
        assert self._planner.finished
        return self

    @property
    def builds(self) -> list[tuple[str, str]]:
        """What was set up, by whom, in order."""
        return [(one.worker, fixture.key) for one in self.begun for fixture in one.built]

    def order(self, name: str) -> list[int]:
        """The tests that a worker ran."""
        return [one.test.index for one in self.begun if one.worker == name]

    def _carry_out(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Assign(worker=name, tests=tests):
                    self._workers[name].tests.extend(tests)
                    self._begin(name)
                case Steal(worker=name, tests=tests):
                    worker = self._workers[name]
                    given = [index for index in tests if index in worker.tests]
                    worker.tests = deque(index for index in worker.tests if index not in given)
                    self._carry_out(self._planner.stolen(name, given))
                case Retire(worker=name):
                    self._workers[name].retired = True

    def _begin(self, name: str) -> None:
        worker = self._workers[name]
        if worker.running is not None or not worker.tests:
            return
        index = worker.running = worker.tests.popleft()
        test = self._tests[index]
        built = [fixture for fixture in test.set_ups if fixture not in worker.set_up]
        worker.set_up = set_up_after(worker.set_up, test)
        self.begun.append(Begun(self._now, name, test, built))
        took = self._seconds[index] + sum(self._costs[fixture.key] for fixture in built)
        self._after(max(0.0, took - AT_ONCE), name, "asks")
        self._after(took, name, "ends")

    def _ends(self, name: str, worker: _Worker) -> None:
        index, worker.running = worker.running, None
        assert index is not None
        self.end = self._now
        last = next(one for one in reversed(self.begun) if one.worker == name)
        built = {fixture.key: self._costs[fixture.key] for fixture in last.built}
        self._begin(name)
        self._carry_out(self._planner.ended(name, index, self._seconds[index], built if self._tells else None))

    def _after(self, seconds: float, name: str, what: str) -> None:
        heapq.heappush(self._events, (self._now + seconds, next(self._numbers), name, what))
