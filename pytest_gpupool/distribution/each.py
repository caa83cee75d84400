"""Each: xdist's ``--dist each``, where every worker runs every test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import EachScheduling
from xdist.workermanage import WorkerController

from ..foreign.xdist_session import dead_with_tests
from ..values.messages import Ask, Fewer, Heard, Items, Overdue
from ..values.requirement import Requirement
from . import blame
from .inbox import Inbox
from .parts import Parts


class EachLeasedScheduling(EachScheduling):
    """xdist's ``--dist each``, which hears the messages of our workers and keeps the time of their tests."""

    def __init__(self, config: pytest.Config, parts: Parts, log: Any) -> None:
        super().__init__(config, log)
        self._parts = parts
        self._inbox = Inbox(parts)
        self._items: dict[str, Items] = {}
        self._limits: dict[str, list[float | None]] = {}

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Every worker's collection is part of the run, but that of one which goes on for a dead one."""
        waiting = dead_with_tests(self)
        super().add_node_collection(node, collection)
        items = self._items.pop(node.gateway.id, None)
        needs = {} if items is None else items.told()["requirements"]
        default = self._parts.controller.options.timeout
        self._limits[node.gateway.id] = [
            Requirement.from_wire(needs.get(index, {})).timeout or default for index in range(len(collection))
        ]
        for dead in waiting - dead_with_tests(self):
            # xdist leaves that out, and fails where this one dies as well.
            self.node2collection[node] = list(collection)
            self._parts.controller.records.write("replaces", worker=node.gateway.id, dead=dead.gateway.id)
            return
        self._parts.collected.add(self._parts.roster.of(node), list(collection), None)

    def schedule(self) -> None:
        """Give every worker its tests."""
        super().schedule()
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
                case Items() if node is not None:
                    self._items[node.gateway.id] = heard
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
        if crashed is not None:
            blame.crashed(self._parts.controller, self._parts.roster.of(node), [crashed])
        return crashed

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
