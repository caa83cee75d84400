"""Forecast: a run before it begins: workers that do what the planner says, by a clock that knows how long tests take.

Pure: standard library only, no clock of this world, no files. A worker is there at once, asks for its next test just
before the present one ends, and frees its devices as it ends; only tests, and setting up what they share, take time.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from ...values.wide_fixture import WideFixture
from ..decisions import Assign, Decision, Retire, Start, Steal
from ..problem import Problem
from ..tests import Test
from ..workers import set_up_after

AT_ONCE = 1e-9
"""How long before the end of its test a worker asks for the next one, in seconds."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A test that a worker has begun, ``at`` so many seconds, and what it ``built`` for it of wide fixtures."""

    at: float
    worker: str
    test: Test
    built: Sequence[WideFixture]


@dataclass(slots=True)
class _Worker:
    gpus: int
    memory: int
    devices: list[float] = field(default_factory=list)  # the bytes of each
    since: float | None = None
    tests: deque[int] = field(default_factory=deque)
    running: Begun | None = None
    set_up: frozenset[WideFixture] = frozenset()
    retired: bool = False


class Forecast:
    """The run of a problem, in which tests take ``seconds`` each, by number, and wide fixtures ``costs``, by key.

    Where these are not given they are what the problem says is known, nothing where that is nothing. ``devices`` are
    the bytes of each device, or slot of one; without them all are as large as it takes. Unless it ``tells`` the
    planner does not hear what it took to set something up.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seconds: Sequence[float] | None = None,
        costs: Mapping[str, float] | None = None,
        devices: Sequence[float] | None = None,
        tells: bool = True,
    ) -> None:
        self.begun: list[Begun] = []
        """Every test, as they began."""
        self.end = 0.0
        """When the last test ended, in seconds since the first began: the makespan."""
        self.held = 0.0
        """For how many seconds devices were leased, the sum over them."""
        self._problem = problem
        self._tests = {test.index: test for test in problem.tests}
        self._seconds = [test.seconds or 0.0 for test in problem.tests] if seconds is None else seconds
        self._costs = {key: known or 0.0 for key, known in problem.costs.items()} if costs is None else costs
        self._free = sorted(devices if devices is not None else [math.inf] * problem.capacity)
        self._tells = tells
        self._planner = problem.planner()
        self._workers: dict[str, _Worker] = {}
        self._starting: deque[str] = deque()  # wait for devices, in turn
        self._events: list[tuple[float, int, str, bool]] = []  # when, whose, and whether its test ends
        self._numbers, self._names = count(), count()
        self._now = 0.0

    def run(self) -> Forecast:
        """Let all tests run, but for those that would not end before the problem's deadline, from a start at 0."""
        for _ in range(min(self._problem.asked, self._problem.capacity)):
            self._start(Start(1))
        self._lease()
        while self._events:
            self._now, _, name, ends = heapq.heappop(self._events)
            self._planner.at(self._now)
            worker = self._workers[name]
            if ends:
                self._ends(name, worker)
            elif not worker.tests and not worker.retired:
                self._carry_out(self._planner.asks(name))
        assert self._planner.finished, "tests are left over"
        self.held += sum(self._held_by(worker) for worker in self._workers.values())
        return self

    @property
    def builds(self) -> list[tuple[str, str]]:
        """What was set up, by whom, in order: the worker, and the fixture's key."""
        return [(one.worker, fixture.key) for one in self.begun for fixture in one.built]

    def order(self, name: str) -> list[int]:
        """Return the tests that a worker ran."""
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
                    self._leave_if_done(name)
                case Start():
                    self._start(decision)
                    self._lease()

    def _start(self, decision: Start) -> None:
        name = f"gw{next(self._names)}"
        self._workers[name] = _Worker(decision.gpus, decision.memory)
        self._planner.started(name, decision.gpus, decision.memory, is_alone=decision.is_alone)
        self._starting.append(name)

    def _lease(self) -> None:
        """Give devices to those that wait for them, the smallest that will do; who needs more than are free waits."""
        for name in list(self._starting):
            if name not in self._starting:
                continue  # it was told to end as another one began
            worker = self._workers[name]
            fitting = [memory for memory in self._free if memory >= worker.memory][: worker.gpus]
            if len(fitting) < worker.gpus:
                continue
            self._starting.remove(name)
            for memory in fitting:
                self._free.remove(memory)
            worker.devices, worker.since = fitting, self._now
            self._planner.leased(name)
            self._carry_out(self._planner.joined(name, (), min(fitting, default=math.inf)))

    def _begin(self, name: str) -> None:
        worker = self._workers[name]
        if worker.running is not None or not worker.tests:
            return
        test = self._tests[worker.tests.popleft()]
        built = [fixture for fixture in test.set_ups if fixture not in worker.set_up]
        worker.set_up = set_up_after(worker.set_up, test)
        worker.running = Begun(self._now, name, test, built)
        self.begun.append(worker.running)
        took = self._seconds[test.index] + sum(self._costs.get(fixture.key, 0.0) for fixture in built)
        self._after(max(0.0, took - AT_ONCE), name, ends=False)
        self._after(took, name, ends=True)

    def _ends(self, name: str, worker: _Worker) -> None:
        ended, worker.running = worker.running, None
        assert ended is not None
        self.end = self._now
        index = ended.test.index
        built = {fixture.key: self._costs.get(fixture.key, 0.0) for fixture in ended.built}
        self._begin(name)
        self._carry_out(self._planner.ended(name, index, self._seconds[index], built if self._tells else None))
        self._leave_if_done(name)

    def _leave_if_done(self, name: str) -> None:
        worker = self._workers.get(name)
        if worker is None or not worker.retired or worker.running is not None or worker.tests:
            return
        if name in self._starting:
            self._starting.remove(name)
        self.held += self._held_by(self._workers.pop(name))
        self._free = sorted([*self._free, *worker.devices])
        self._carry_out(self._planner.lost(name, None))
        self._lease()

    def _held_by(self, worker: _Worker) -> float:
        return 0.0 if worker.since is None else (self._now - worker.since) * worker.gpus

    def _after(self, seconds: float, name: str, *, ends: bool) -> None:
        heapq.heappush(self._events, (self._now + seconds, next(self._numbers), name, ends))
