"""Each: xdist's ``--dist each``, where every worker runs every test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import EachScheduling
from xdist.workermanage import WorkerController

from ..foreign.xdist_session import begins_nothing, dead_with_tests
from ..values.messages import Ask, Fewer, Heard, Overdue
from ..values.requirement import Requirement
from . import blame
from .collecting.run_tests import RunTests
from .inbox import Inbox
from .parts import Parts


class EachLeasedScheduling(EachScheduling):
    """xdist's ``--dist each``, which hears the messages of our workers and keeps the time of their tests."""

    def __init__(self, config: pytest.Config, parts: Parts, log: Any) -> None:
        super().__init__(config, log)
        self._parts = parts
        self._inbox = Inbox(parts)
        self._limits: dict[str, list[float | None]] = {}

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Every worker's collection is part of the run, but that of one which goes on for a dead one."""
        dead = dead_with_tests(self, node)
        super().add_node_collection(node, collection if dead is None else self.node2collection[dead])
        needs = self._parts.collected.items_of(self._parts.roster.of(node)).told()["requirements"]
        options = self._parts.controller.options
        self._limits[node.gateway.id] = [
            Requirement.from_wire(needs.get(index, {})).limit_of_worker(options.timeout, isolates=options.isolate)
            for index in range(len(collection))
        ]
        if dead is None:
            self._parts.collected.add(self._parts.roster.of(node), list(collection))
        else:
            self._goes_on(node, dead, list(collection))
            self._parts.controller.records.write("replaces", worker=node.gateway.id, dead=dead.gateway.id)

    def schedule(self) -> None:
        """Give every worker its tests; those that have not collected yet, where several go on for dead ones, later."""
        late = [node for node in self.node2pending if node not in self.node2collection]
        held = {node: self.node2pending.pop(node) for node in late}  # xdist takes it that there are none
        super().schedule()
        self.node2pending |= held
        for node in self.node2pending:
            self._keep_time(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has ended a test."""
        super().mark_test_complete(node, item_index, duration)
        self._keep_time(node)

    def remove_pending_tests_from_node(self, node: WorkerController | None, indices: Sequence[Heard]) -> None:
        """Hear messages; a question needs no answer here, since every test was sent at the start."""
        for heard in indices:
            match heard:
                case Ask():
                    pass
                case Overdue(worker, test):
                    member = self._parts.roster.named(worker)
                    if test == self._running(member.node):  # else it has ended by now
                        self._parts.limits.cut_off(member, test)
                case Fewer() if self.tests_finished:
                    pass
                case _:
                    self._inbox.heard(node, heard)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended or died; return the test that it was running."""
        crashed: str | None = super().remove_node(node)
        member = self._parts.roster.of(node)
        if crashed is None:
            return None
        if member.died or member.interrupted or member.overdue is not None:
            blame.crashed(self._parts.controller, member, [crashed])
            return crashed
        if not self._parts.session.stops:
            blame.has_quit(self._parts.controller, member, [crashed])
        return None

    def _goes_on(self, node: WorkerController, dead: WorkerController, collection: list[str]) -> None:
        """A worker has been given a dead one's tests, by that one's numbers: it has some of them, by its own."""
        known = RunTests()
        known.take_in(self.node2collection[dead])
        numbering = known.take_in(collection, lambda _, __: [])
        # xdist leaves that out, and fails where this one dies as well.
        self.node2collection[node] = collection
        pending = self.node2pending[node]
        pending[:] = [numbering.to_worker(number) for number in pending if number not in numbering.lacks]
        if not pending:
            begins_nothing(self, node)

    def _running(self, node: WorkerController) -> str | None:
        pending = self.node2pending.get(node)
        return self.node2collection[node][pending[0]] if pending else None

    def _keep_time(self, node: WorkerController) -> None:
        limits = self._limits.get(node.gateway.id)
        if limits and any(limits):
            pending = self.node2pending.get(node)
            self._parts.limits.runs(
                self._parts.roster.of(node), self._running(node), limits[pending[0]] if pending else None
            )
