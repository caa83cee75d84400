"""Xdist's session in the controller, and its workers as it knows them. Seen in pytest-xdist 3.7.0 and 3.8.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from xdist.scheduler import EachScheduling
from xdist.workermanage import Marker, WorkerController, parse_tx_spec_config

from . import execnet_names, xdist_protocol

END: Any = Marker.END
"""What is heard of a worker when its channel has ended."""

Hear = Callable[[Any], None]


class XdistSession:
    """``xdist.dsession.DSession``: the loop that hears the workers' events one by one, and what it knows."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @property
    def is_shutting_down(self) -> bool:
        """Whether its workers were told to end."""
        return bool(self._plugin.shuttingdown)

    @property
    def stops(self) -> bool:
        """Whether nothing more is to start, as with -x after a failure."""
        return bool(self._plugin.shouldstop)

    def spec_of_one_more(self) -> Any:
        """Return the specification of one more worker; its ``id`` will be the worker's."""
        manager = self._plugin.nodemanager
        return execnet_names.another_like(manager.specs[0], manager.group)

    def start(self, spec: Any) -> None:
        """Start a worker, as xdist does it for one that crashed; it calls ``pytest_configure_node`` meanwhile."""
        plugin = self._plugin
        plugin._active_nodes.add(plugin.nodemanager.setup_node(spec, plugin.queue.put))

    def hear_later(self, something: object) -> None:
        """Have the scheduler hear this, from no worker, once the present event is over. For any thread."""
        self._plugin.queue.put((xdist_protocol.UNSCHEDULED, {"node": None, "indices": [something]}))

    def count_failure(self, report: pytest.TestReport) -> None:
        """Count a test's failure, which may be the last that --maxfail allows."""
        self._plugin._handlefailures(report)

    @property
    def _plugin(self) -> Any:
        # Asked for each time: it is registered after us.
        return self._config.pluginmanager.getplugin("dsession")


def wished_workers(config: pytest.Config) -> list[str]:
    """Return execnet's specification of each worker that the user asks for, by -n or --tx."""
    specs: list[str] = parse_tx_spec_config(config)
    return specs


def is_down(node: WorkerController) -> bool:
    """Return whether a worker has said its last word, or has died."""
    return bool(node._down)


def intercept(node: WorkerController, through: Callable[[Hear], Hear]) -> None:
    """Before a worker starts: have what it says go ``through`` this, which is given what xdist does with it."""
    node.process_from_remote = through(node.process_from_remote)


def dead_with_tests(scheduling: EachScheduling) -> set[WorkerController]:
    """Return the workers of ``--dist each`` whose tests wait for one in their place."""
    return set(scheduling._removed2pending)
