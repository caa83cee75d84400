"""The scheduler: speaks xdist's scheduling protocol and asks ``planning`` what to do, which ``dispatch`` does.

xdist calls these methods from its loop in the controller; what the methods mean to it is in
``xdist.scheduler.protocol.Scheduling``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from xdist.report import report_collection_diff
from xdist.workermanage import WorkerController

from ..options import companions
from ..planning.decisions import Decision
from ..planning.planner import Planner
from ..processes import garbage
from ..values.messages import Ask, Fewer, Heard, Items, Overdue, Poisoned, Settled, Stolen
from . import blame
from .dispatch import Dispatch
from .inbox import Inbox
from .parts import Parts
from .workers.member import Member


class LateScheduling:
    """One test a worker, the next one chosen when it is needed."""

    def __init__(self, config: pytest.Config, parts: Parts) -> None:
        self.config = config  # public: pytest-rerunfailures reads it, as every scheduler of xdist has it
        self._parts = parts
        self._inbox = Inbox(parts)
        self._dispatch = Dispatch(parts)
        self._planner: Planner | None = None
        self._ids: list[str] = []
        self._first: Member | None = None
        self._largest = 1  # how many devices a test asks for at most
        self._items: dict[str, Items] = {}
        self._ready: list[Member] = []
        self._joined: dict[str, Member] = {}
        self._limits: dict[int, float] = {}
        self._running: dict[str, int | None] = {}

    # What xdist calls

    @property
    def nodes(self) -> list[WorkerController]:
        """Workers that must be shut down at the end: those that still wait for a lease too."""
        return self._parts.roster.nodes()

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
        """A worker is ready to collect; the roster has it already."""

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker has collected; the first collection is the run's, and every other must equal it."""
        member = self._parts.roster.of(node)
        items = self._items.pop(member.name, None)
        if self._first is None:
            with garbage.collection_paused():
                self._begin(member, list(collection), items)
        elif list(collection) != self._ids:
            difference = report_collection_diff(self._ids, collection, self._first.name, member.name)
            self._parts.collected.exclude(member, difference)
            node.shutdown()
            return
        self._ready.append(member)

    def schedule(self) -> None:
        """Give tests to workers that have just collected."""
        ready, self._ready = self._ready, []
        for member in ready:
            self._joined[member.name] = member
            memory = self._parts.capacity.memory_of(member.devices)
            self._carry_out(self._plan.joined(member.name, member.devices, memory))

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has ended a test."""
        self._carry_out(self._plan.ended(node.gateway.id, item_index, duration))
        self._keep_time(node.gateway.id)

    def mark_test_pending(self, item: str) -> None:
        """Another plugin (pytest-rerunfailures) wants a crashed test to run again."""
        index = self._ids.index(item)
        self._carry_out(self._plan.again(index, self._dispatch.runs_again(index, item)))

    def remove_pending_tests_from_node(self, node: WorkerController | None, indices: Sequence[Heard]) -> None:
        """Hear what travels as this event: messages of a worker, or notices of the controller, which are nobody's."""
        for heard in indices:
            self._hear(node, heard)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended or died; return the test that it was running."""
        member = self._parts.roster.of(node)
        self._running.pop(member.name, None)
        if self._planner is None or not self._planner.has(member.name):
            return None
        self._joined.pop(member.name, None)
        blamed, over = self._blame(member, self._planner.assigned(member.name))
        if blamed is not None:
            self._dispatch.has_crashed(blamed, member)
            if member.died:
                # By then xdist has asked other plugins whether it runs again.
                self._parts.session.hear_later(Settled(blamed))
        # xdist replaces those that died by themselves.
        replaced = member.died and member.overdue is None
        self._carry_out(self._planner.lost(member.name, blamed, over, replaced=replaced))
        return None if blamed is None else self._ids[blamed]

    # What our hooks call

    def started(self, member: Member) -> None:
        """A worker is about to be started; the planner has to know of those that come after the first collection."""
        if self._planner is not None:
            self._planner.started(member.name, member.shape.gpus, member.shape.memory)

    def call_has_ended(self, node: WorkerController) -> None:
        """A worker reported a test's call: only the tear-down is left, so it will soon ask."""
        if node.gateway.id in self._joined:
            self._carry_out(self._plan.asks(node.gateway.id))

    def settled(self, item: str) -> None:
        """It is known by now whether a test that ended with its worker runs again."""
        self._carry_out(self._plan.settled(self._ids.index(item)))

    @property
    def _plan(self) -> Planner:
        assert self._planner is not None, "no worker has collected yet"
        return self._planner

    def _begin(self, member: Member, ids: list[str], items: Items | None) -> None:
        """The first worker has collected: plan the run."""
        parts = self._parts
        tests = parts.capacity.planned(ids, {} if items is None else items.told())
        self._first, self._ids = member, ids
        self._limits = {test.index: test.timeout for test in tests if test.timeout is not None}
        self._largest = max((test.gpus for test in tests), default=1)
        self._planner = Planner(
            tests,
            capacity=parts.capacity.room(self._largest),
            asked=parts.capacity.workers_asked,
            longest_first=parts.controller.options.longest_first,
            largest_group_first=companions.largest_group_first(self.config),
        )
        for other in parts.roster.present():
            self.started(other)
        parts.collected.add(member, ids, None if items is None else items.whole_collection)

    def _hear(self, node: WorkerController | None, heard: Heard) -> None:
        name = "" if node is None else node.gateway.id
        match heard:
            case Items():
                self._items[name] = heard
            case Ask() if name in self._joined:
                self._carry_out(self._plan.asks(name))
            case Stolen(tests):
                self._carry_out(self._plan.stolen(name, tests))
            case Poisoned(tests=tests) if name in self._joined:
                self._inbox.heard(node, heard)
                self._carry_out(self._plan.poisoned(name, tests))
            case Settled(test):
                self._carry_out(self._plan.settled(test))
            case Overdue(worker, test):
                if self._runs(worker, test):  # else it has ended by now
                    self._parts.limits.cut_off(self._parts.roster.named(worker), test)
            case Fewer() if self.tests_finished:
                pass
            case _:
                if self._inbox.heard(node, heard):
                    self._shrink()

    def _shrink(self) -> None:
        """The run has fewer devices."""
        if self._planner is not None:
            room, fits = self._parts.capacity.remaining(self._largest)
            self._carry_out(self._planner.shrunk(room, fits, self._parts.controller.records.results.quarantined))

    def _blame(self, member: Member, queue: Sequence[int]) -> tuple[int | None, list[int]]:
        """Return the test that a worker took with it, and those that had ended though we have not heard it."""
        numbers = {self._ids[index]: index for index in queue}
        if member.died or member.overdue is not None:
            crashed, over = blame.crashed(self._parts.controller, member, list(numbers))
            return (None if crashed is None else numbers[crashed]), [numbers[nodeid] for nodeid in over]
        if numbers:
            blame.has_quit(self._parts.controller, member, list(numbers))
        return None, []

    def _carry_out(self, decisions: Iterable[Decision]) -> None:
        for name in self._dispatch.carry_out(decisions):
            self._keep_time(name)

    def _runs(self, name: str, nodeid: str) -> bool:
        assigned = self._plan.assigned(name) if self._plan.has(name) else ()
        return bool(assigned) and self._ids[assigned[0]] == nodeid

    def _keep_time(self, name: str) -> None:
        """Let the clock run for the test that a worker runs now."""
        if not self._limits or name not in self._joined:
            return
        assigned = self._plan.assigned(name)
        running = assigned[0] if assigned else None
        if running != self._running.get(name):
            self._running[name] = running
            limit = None if running is None else self._limits.get(running)
            self._parts.limits.runs(self._joined[name], None if running is None else self._ids[running], limit)
