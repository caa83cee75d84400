"""Each: xdist's ``--dist each``, where every worker runs every test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import EachScheduling
from xdist.workermanage import WorkerController

from ..foreign.xdist_session import dead_with_tests
from ..values.messages import Ask, Heard, Items
from .nodes import Nodes


class EachLeasedScheduling(EachScheduling):
    """xdist's ``--dist each``, which hears the messages of our workers and keeps the time of their tests."""

    def __init__(self, config: pytest.Config, nodes: Nodes, log: Any) -> None:
        super().__init__(config, log)
        self._nodes = nodes
        self._items: dict[str, Items] = {}
        self._limits: dict[str, list[float | None]] = {}

    def queue(self, node: WorkerController) -> list[str]:
        """Return the tests that a worker has still to end."""
        return [self.node2collection[node][index] for index in self.node2pending.get(node, ())]

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """Every worker's collection is part of the run, but that of one which goes on for a dead one."""
        waiting = dead_with_tests(self)
        super().add_node_collection(node, collection)
        items = self._items.pop(node.gateway.id, None)
        asks = {} if items is None else items.told()["asks"]
        default = self._nodes.timeout
        self._limits[node.gateway.id] = [
            asks.get(index, {}).get("timeout", default) for index in range(len(collection))
        ]
        for dead in waiting - dead_with_tests(self):
            # xdist leaves that out, and fails where this one dies as well.
            self.node2collection[node] = list(collection)
            self._nodes.replaces(node, dead)
            return
        self._nodes.collected(node, list(collection), None)

    def schedule(self) -> None:
        """Give every worker its tests."""
        super().schedule()
        for node in self.node2pending:
            self._time(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """A worker has ended a test."""
        super().mark_test_complete(node, item_index, duration)
        self._time(node)

    def remove_pending_tests_from_node(self, node: WorkerController | None, indices: Sequence[Heard]) -> None:
        """Hear messages; a question needs no answer here, since every test was sent at the start."""
        for message in indices:
            if isinstance(message, Items) and node is not None:
                self._items[node.gateway.id] = message
            elif not isinstance(message, Ask):
                self._nodes.heard(node, message)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended or died; return the test that it was running."""
        crashed: str | None = super().remove_node(node)
        if crashed is not None:
            self._nodes.crashed(node, [crashed])
        return crashed

    def _time(self, node: WorkerController) -> None:
        pending = self.node2pending.get(node)
        limits = self._limits.get(node.gateway.id)
        if limits and any(limits):
            test = self.node2collection[node][pending[0]] if pending else None
            self._nodes.runs(node, test, limits[pending[0]] if pending else None)
