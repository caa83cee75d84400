"""The scheduler: speaks xdist's scheduling protocol and carries out what ``planning`` decides.

xdist calls these methods from its loop in the controller; what the methods mean to it is in
``xdist.scheduler.protocol.Scheduling``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import pytest
from xdist.report import report_collection_diff
from xdist.scheduler import EachScheduling
from xdist.workermanage import WorkerController

from .planning import Assign, Decision, Planner, Retire, Steal, Test, group_of

Message = dict[str, Any]


class Nodes(Protocol):
    """What the scheduler asks of the run's workers; ``distribution`` has it."""

    def live(self) -> list[WorkerController]:
        """Every worker that was started and has not ended, with or without a lease."""

    def heard(self, node: WorkerController, message: Message) -> None:
        """A worker said something that is not about scheduling."""

    def collected(self, node: WorkerController, tests: Sequence[str]) -> None:
        """A worker's collection is what the run will run."""

    def crashed(self, node: WorkerController, queue: Sequence[str]) -> tuple[str | None, list[str]]:
        """A worker died; say which test of its queue it was running, and blame that one, and which had ended."""

    def left_out(self, node: WorkerController, difference: str) -> None:
        """A worker's collection differs from the run's."""

    def quit(self, node: WorkerController, queue: Sequence[str]) -> None:
        """A worker ended with these tests still in its queue."""

    def replaces(self, node: WorkerController, dead: WorkerController) -> None:
        """With ``--dist each`` a worker goes on with a dead one's tests."""


class LateScheduling:
    """One test a worker, the next one chosen when it is needed."""

    def __init__(self, config: pytest.Config, nodes: Nodes, failed: Callable[[WorkerController], bool]) -> None:
        self.config = config  # public: pytest-rerunfailures reads it, as every scheduler of xdist has it
        self._nodes = nodes
        self._failed = failed
        self._planner: Planner | None = None
        self._ids: list[str] = []
        self._first: WorkerController | None = None
        self._items: dict[str, Message] = {}
        self._ready: list[WorkerController] = []
        self._joined: dict[str, WorkerController] = {}

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
            self._carry_out(self._plan.joined(node.gateway.id))

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has ended a test."""
        self._carry_out(self._plan.ended(node.gateway.id, item_index, duration))

    def mark_test_pending(self, item: str) -> None:
        """Another plugin (pytest-rerunfailures) wants a crashed test to run again."""
        self._carry_out(self._plan.again(self._ids.index(item)))

    def call_has_ended(self, node: WorkerController) -> None:
        """A worker reported a test's call: only the tear-down is left, so it will soon ask."""
        if node.gateway.id in self._joined:
            self._carry_out(self._plan.asks(node.gateway.id))

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[Any]) -> None:
        """Hear a worker's messages, which travel as this event."""
        for message in indices:
            self._hear(node, message)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended or died; return the test that it was running."""
        name = node.gateway.id
        if self._joined.pop(name, None) is None:
            return None
        blamed, over = None, []
        if not self._failed(node) and (queue := self._plan.queue(name)):
            self._nodes.quit(node, [self._ids[index] for index in queue])
        if self._failed(node):
            numbers = {self._ids[index]: index for index in self._plan.queue(name)}
            crashed, ended = self._nodes.crashed(node, list(numbers))
            blamed = None if crashed is None else numbers[crashed]
            over = [numbers[nodeid] for nodeid in ended]
        self._carry_out(self._plan.lost(name, blamed, over))
        return None if blamed is None else self._ids[blamed]

    @property
    def _plan(self) -> Planner:
        assert self._planner is not None, "no worker has collected yet"
        return self._planner

    def _begin(self, node: WorkerController, ids: list[str]) -> None:
        about = _about(self._items.get(node.gateway.id))
        mode = self.config.getvalue("dist")
        marked = {ids[index]: name for index, name in about["groups"].items()}
        tests = [
            Test(
                index=index,
                family=nodeid.split("[", 1)[0],
                group=group_of(nodeid, mode, marked),
                priority=about["priorities"].get(index, 0),
            )
            for index, nodeid in enumerate(ids)
        ]
        self._first, self._ids = node, ids
        self._planner = Planner(tests, largest_group_first=self.config.getoption("loadscopereorder", True))
        self._nodes.collected(node, ids)

    def _difference(self, node: WorkerController, collection: Sequence[str]) -> str | None:
        assert self._first is not None
        if list(collection) == self._ids:
            return None
        difference: str | None = report_collection_diff(self._ids, collection, self._first.gateway.id, node.gateway.id)
        return difference

    def _hear(self, node: WorkerController, message: Message) -> None:
        name = node.gateway.id
        match message["kind"]:
            case "items":
                self._items[name] = message
            case "ask" if name in self._joined:
                self._carry_out(self._plan.asks(name))
            case "stolen":
                self._carry_out(self._plan.stolen(name, message["tests"]))
            case _:
                self._nodes.heard(node, message)

    def _carry_out(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            node = self._joined[decision.worker]
            # A worker that has just died cannot be told anything; xdist reports its death next.
            with contextlib.suppress(OSError):
                _tell(node, decision)


class EachLeasedScheduling(EachScheduling):
    """xdist's ``--dist each``, which hears the messages of our workers."""

    def __init__(self, config: pytest.Config, nodes: Nodes, log: Any) -> None:
        super().__init__(config, log)
        self._nodes = nodes

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Every worker's collection is part of the run, but that of one which goes on for a dead one."""
        waiting = set(self._removed2pending)
        super().add_node_collection(node, collection)
        for dead in waiting - set(self._removed2pending):
            self._nodes.replaces(node, dead)
            return
        self._nodes.collected(node, list(collection))

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[Any]) -> None:
        """Hear a worker's messages; a question needs no answer here, since every test was sent at the start."""
        for message in indices:
            if message["kind"] not in ("ask", "items"):
                self._nodes.heard(node, message)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended or died; return the test that it was running."""
        crashed: str | None = super().remove_node(node)
        if crashed is not None:
            self._nodes.crashed(node, [crashed])
        return crashed


def _about(message: Message | None) -> dict[str, dict[int, Any]]:
    """Return what a worker said of its tests beside their ids: priorities and groups by number."""
    about = {"priorities": {}, "groups": {}} | json.loads(message["text"] if message else "{}")
    # JSON's keys are texts.
    return {key: {int(index): value for index, value in values.items()} for key, values in about.items()}


def _tell(node: WorkerController, decision: Decision) -> None:
    match decision:
        case Retire():
            node.shutdown()
        case Assign(tests=tests):
            node.send_runtest_some(list(tests))
        case Steal(tests=tests):
            node.send_steal(list(tests))
