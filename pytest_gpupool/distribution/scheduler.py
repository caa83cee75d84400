"""The scheduler: speaks xdist's scheduling protocol and carries out what ``planning`` decides.

xdist calls these methods from its loop in the controller; what the methods mean to it is in
``xdist.scheduler.protocol.Scheduling``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

import pytest
from xdist.report import report_collection_diff
from xdist.workermanage import WorkerController

from ..planning.decisions import Assign, Decision, Rest, Retire, Start, Steal
from ..planning.planner import Planner
from ..planning.tests import Possible
from ..processes import garbage
from ..values import messages
from ..values.messages import Ask, Attempts, Command, Heard, Items, Poisoned, Settled, Stolen
from .nodes import Nodes


class LateScheduling:
    """One test a worker, the next one chosen when it is needed."""

    def __init__(self, config: pytest.Config, nodes: Nodes) -> None:
        self.config = config  # public: pytest-rerunfailures reads it, as every scheduler of xdist has it
        self._nodes = nodes
        self._planner: Planner | None = None
        self._ids: list[str] = []
        self._first: WorkerController | None = None
        self._items: dict[str, Items] = {}
        self._ready: list[WorkerController] = []
        self._joined: dict[str, WorkerController] = {}
        self._limits: dict[int, float] = {}
        self._running: dict[str, int | None] = {}
        self._attempts: dict[int, int] = {}  # of tests that run again
        self._avoid: dict[int, tuple[str, ...]] = {}  # devices on which tests crashed

    @property
    def nodes(self) -> list[WorkerController]:
        """Workers that must be shut down at the end: those that still wait for a lease too."""
        return self._nodes.live()

    @property
    def collection_is_completed(self) -> bool:
        """True with the first worker: tests start while others still wait or collect."""
        return self._planner is not None

    @property
    def tests_finished(self) -> bool:
        """Whether every test has ended."""
        return self._planner is not None and self._planner.finished

    @property
    def has_pending(self) -> bool:
        """Whether the run is under way, or tests wait for a worker."""
        return bool(self._joined) or (self._planner is not None and self._planner.has_pending)

    def add_node(self, node: WorkerController) -> None:
        """A worker is ready to collect; ``distribution`` knows it already."""

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected; the first collection is the run's, and every other must equal it."""
        if self._first is None:
            with garbage.ignored():
                self._begin(node, list(collection))
        elif (difference := self._difference(node, collection)) is not None:
            self._nodes.left_out(node, difference)
            node.shutdown()
            return
        self._items.pop(node.gateway.id, None)
        self._ready.append(node)

    def schedule(self) -> None:
        """Give tests to workers that have just collected."""
        ready, self._ready = self._ready, []
        for node in ready:
            self._joined[node.gateway.id] = node
            self._carry_out(self._plan.joined(node.gateway.id, *self._nodes.devices(node)))

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has ended a test."""
        self._carry_out(self._plan.ended(node.gateway.id, item_index, duration))
        self._time(node.gateway.id)

    def mark_test_pending(self, item: str) -> None:
        """Another plugin (pytest-rerunfailures) wants a crashed test to run again."""
        index = self._ids.index(item)
        self._attempts[index] = self._nodes.attempts(item)
        self._carry_out(self._plan.again(index, self._avoid.get(index, ())))

    def queue(self, node: WorkerController) -> list[str]:
        """Return the tests that a worker has: the running one, then what is queued behind it."""
        name = node.gateway.id
        known = self._planner is not None and self._planner.has(name)
        return [self._ids[index] for index in self._plan.queue(name)] if known else []

    def settled(self, item: str) -> None:
        """It is known by now whether a test that ended with its worker runs again."""
        self._carry_out(self._plan.settled(self._ids.index(item)))

    def started(self, node: WorkerController, gpus: int, memory: int) -> None:
        """A worker was started after the first had collected."""
        if self._planner is not None:
            self._planner.started(node.gateway.id, gpus, memory)

    def shrunk(self, capacity: int, possible: Possible, lost: Iterable[str]) -> None:
        """The pool has lost devices."""
        if self._planner is not None:
            self._carry_out(self._planner.shrunk(capacity, possible, lost))

    def call_has_ended(self, node: WorkerController) -> None:
        """A worker reported a test's call: only the tear-down is left, so it will soon ask."""
        if node.gateway.id in self._joined:
            self._carry_out(self._plan.asks(node.gateway.id))

    def remove_pending_tests_from_node(self, node: WorkerController | None, indices: Sequence[Heard]) -> None:
        """Hear messages, which travel as this event."""
        for message in indices:
            self._hear(node, message)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended or died; return the test that it was running."""
        name = node.gateway.id
        self._running.pop(name, None)
        if self._planner is None or not self._planner.has(name):
            return None
        self._joined.pop(name, None)
        blamed, over = self._blame(node, self._planner.queue(name))
        if blamed is not None:
            self._avoid[blamed] = self._nodes.devices(node)[0]
            if self._nodes.has_failed(node):
                # By then xdist has asked other plugins whether it runs again.
                self._nodes.soon(Settled(blamed))
        # xdist replaces those that died by themselves.
        replaced = self._nodes.has_failed(node) and not self._nodes.was_ended(node)
        self._carry_out(self._planner.lost(name, blamed, over, replaced=replaced))
        return None if blamed is None else self._ids[blamed]

    def _blame(self, node: WorkerController, queue: Sequence[int]) -> tuple[int | None, list[int]]:
        """Return the test that a worker took with it, and those that had ended though we have not heard it."""
        numbers = {self._ids[index]: index for index in queue}
        if self._nodes.has_failed(node) or self._nodes.was_ended(node):
            crashed, ended = self._nodes.crashed(node, list(numbers))
            return (None if crashed is None else numbers[crashed]), [numbers[nodeid] for nodeid in ended]
        if numbers:
            self._nodes.quit(node, list(numbers))
        return None, []

    @property
    def _plan(self) -> Planner:
        assert self._planner is not None, "no worker has collected yet"
        return self._planner

    def _begin(self, node: WorkerController, ids: list[str]) -> None:
        items = self._items.get(node.gateway.id)
        tests = self._nodes.plan(ids, {} if items is None else items.told())
        self._first, self._ids = node, ids
        self._limits = {test.index: test.timeout for test in tests if test.timeout is not None}
        self._planner = Planner(
            tests,
            capacity=self._nodes.room(max((test.gpus for test in tests), default=1)),
            asked=self._nodes.asked,
            longest_first=self._nodes.longest_first,
            largest_group_first=self.config.getoption("loadscopereorder", True),
        )
        for other, gpus, memory in self._nodes.sizes():
            self._planner.started(other.gateway.id, gpus, memory)
        self._nodes.collected(node, ids, None if items is None else items.finished_before)

    def _difference(self, node: WorkerController, collection: Sequence[str]) -> str | None:
        assert self._first is not None
        if list(collection) == self._ids:
            return None
        difference: str | None = report_collection_diff(self._ids, collection, self._first.gateway.id, node.gateway.id)
        return difference

    def _hear(self, node: WorkerController | None, message: Heard) -> None:
        name = "" if node is None else node.gateway.id
        match message:
            case Items():
                self._items[name] = message
            case Ask() if name in self._joined:
                self._carry_out(self._plan.asks(name))
            case Stolen(tests):
                self._carry_out(self._plan.stolen(name, tests))
            case Poisoned(tests=tests) if name in self._joined:
                self._nodes.heard(node, message)
                self._carry_out(self._plan.poisoned(name, tests))
            case Settled(test):
                self._carry_out(self._plan.settled(test))
            case _:
                self._nodes.heard(node, message)

    def _carry_out(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, Start):
                avoid = {device for devices in self._avoid.values() for device in devices}
                self._nodes.start(decision.gpus, decision.memory, sorted(avoid))
                continue
            node = self._joined.get(decision.worker) or self._starting(decision.worker)
            if node is None:
                continue  # it has died, which is heard next
            # A worker that has just died cannot be told anything; xdist reports its death next.
            with contextlib.suppress(OSError):
                self._tell(node, decision)
            self._time(decision.worker)

    def _starting(self, name: str) -> WorkerController | None:
        return next((node for node in self._nodes.live() if node.gateway.id == name), None)

    def _tell(self, node: WorkerController, decision: Decision) -> None:
        match decision:
            case Retire():
                self._nodes.retire(node)
            case Rest():
                _command(node, messages.Rest())
            case Assign(tests=tests):
                if tried := {index: self._attempts[index] for index in tests if index in self._attempts}:
                    _command(node, Attempts(tried))
                node.send_runtest_some(list(tests))
            case Steal(tests=tests):
                node.send_steal(list(tests))

    def _time(self, name: str) -> None:
        """Let the clock run for the test that a worker runs now."""
        if not self._limits or name not in self._joined:
            return
        queue = self._plan.queue(name)
        running = queue[0] if queue else None
        if running != self._running.get(name):
            self._running[name] = running
            limit = None if running is None else self._limits.get(running)
            self._nodes.runs(self._joined[name], None if running is None else self._ids[running], limit)


def _command(node: WorkerController, command: Command) -> None:
    name, values = messages.to_command(command)
    node.sendcommand(name, **values)
