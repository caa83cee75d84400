"""Xdist's session in the controller, and its workers as it knows them. Seen in pytest-xdist 3.7.0 and 3.8.0."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import xdist.plugin
from xdist.scheduler import EachScheduling
from xdist.workermanage import Marker, WorkerController, parse_tx_spec_config

from . import execnet_names, xdist_protocol
from .pytest_reports import Reports

OURS = "gpupool-distribution"
"""The name of our plugin that hears xdist's hooks."""

END: Any = Marker.END
"""What is heard of a worker when its channel has ended."""

Hear = Callable[[Any], None]


class XdistSession:
    """``xdist.dsession.DSession``: the loop that hears the workers' events one by one, and what it knows."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._being_started = ""

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

    def has_collected(self, node: WorkerController, ids: Sequence[str]) -> None:
        """Go on with a worker that has collected, as at xdist's own event. Call it from the loop."""
        self._plugin.worker_collectionfinish(node=node, ids=ids)

    def count_collected(self, number: int) -> None:
        """So many tests were collected, though xdist has counted the last worker's. None at all is no success."""
        self._plugin._session.testscollected = number

    def mark_starts(self, name: str, mark: Callable[[str], str]) -> None:
        """Have each worker be started with ``mark(its name)`` as that variable. Called before the first is."""
        group = self._plugin.nodemanager.group
        make = group.makegateway

        def marked(spec: Any) -> Any:
            self._being_started = spec.id
            before = os.environ.get(name)
            os.environ[name] = mark(spec.id)
            try:
                return execnet_names.described(make(spec))
            finally:
                if before is None:
                    del os.environ[name]
                else:
                    os.environ[name] = before

        group.makegateway = marked

    def start_by(self, start: Callable[[str], execnet_names.Process | None]) -> None:
        """Have workers' processes be started by this, where it returns one of a worker's name. Called before the first.

        Needs :meth:`mark_starts` before.
        """
        execnet_names.start_by(self._plugin.nodemanager.group, lambda: start(self._being_started))

    def forget_workers(self) -> None:
        """All have ended: nothing is to hold this run from now on, since the process may go on, and start others."""
        execnet_names.forget_ended(self._plugin.nodemanager.group)

    def lose(self, node: WorkerController, error: str | None) -> None:
        """A worker is gone that is not replaced. Other plugins hear of ``error`` as of a crash, without one of nothing.

        Its output is not there, which they would look for in that of a worker that has ended well.
        """
        plugins, ours = self._config.pluginmanager, self._config.pluginmanager.getplugin(OURS)
        others = [] if error else [plugin for plugin in plugins.get_plugins() if plugin is not ours]
        plugins.subset_hook_caller("pytest_testnodedown", others)(node=node, error=error)
        if node in self._plugin.sched.nodes:
            self._plugin.sched.remove_node(node)
        self._plugin._active_nodes.discard(node)

    def hear_later(self, something: object) -> None:
        """Have the scheduler hear this, from no worker, once the present event is over. For any thread."""
        self._plugin.queue.put((xdist_protocol.UNSCHEDULED, {"node": None, "indices": [something]}))

    def count_failure(self, report: pytest.TestReport) -> None:
        """Count a test's failure, which may be the last that --maxfail allows."""
        self._plugin._handlefailures(report)

    def forgive_crash(self) -> None:
        """A worker's crash is about to be counted, and is not to be."""
        self._plugin._failed_nodes_count -= 1

    @property
    def replaces_nobody(self) -> bool:
        """Whether xdist starts no worker in the place of one that died, by --max-worker-restart=0."""
        return bool(self._plugin._max_worker_restart == 0)

    def spare_others(self) -> None:
        """A worker's crash is about to be counted, and is one too many: have the others not told to end for it."""
        plugin = self._plugin

        def not_now() -> None:
            del plugin.triggershutdown

        plugin.triggershutdown = not_now

    @property
    def _plugin(self) -> Any:
        # Asked for each time: it is registered after us.
        return self._config.pluginmanager.getplugin(xdist_protocol.SESSION)


def asked_of_others(config: pytest.Config, own: object) -> int | None:
    """Return how many workers ``-n auto`` is by a conftest.py or plugin, None where none of them says.

    ``own`` is the plugin that asks, which is left out, as is xdist itself.
    """
    others = config.pluginmanager.subset_hook_caller("pytest_xdist_auto_num_workers", [own, xdist.plugin])
    asked: int | None = others(config=config)
    return asked


def wished_workers(config: pytest.Config) -> list[str]:
    """Return execnet's specification of each worker that the user asks for, by -n or --tx; none where there is none."""
    specs: list[str] = parse_tx_spec_config(config) if config.option.tx else []
    return specs


def search_path() -> list[str]:
    """Return the search path that workers are given: this one's, as it was when xdist was loaded."""
    return list(xdist.plugin._sys_path)


def is_down(node: WorkerController) -> bool:
    """Return whether a worker has said its last word, or has died."""
    return bool(node._down)


def be_down(node: WorkerController) -> None:
    """Have a worker be one that has said its last word."""
    node._down = True


def intercept(node: WorkerController, through: Callable[[Hear], Hear]) -> None:
    """Before a worker starts: have what it says go ``through`` this, which is given what xdist does with it."""
    hear, reports = node.process_from_remote, Reports(node.config)

    def quickly(event: Any) -> None:
        if event is not END and event[0] == xdist_protocol.TESTREPORT:
            report = reports.from_wire(event[1]["data"])
            if report is not None:
                node.notify_inproc(xdist_protocol.TESTREPORT, node=node, rep=report)
                return
        hear(event)

    node.process_from_remote = through(quickly)


def before_commands(node: WorkerController, tell: Callable[[str], None]) -> None:
    """Before a worker starts: have each command's name be told just before the command is sent, whoever sends it."""
    send = node.sendcommand

    def told(name: str, **values: object) -> None:
        tell(name)
        send(name, **values)

    node.sendcommand = told


def dead_with_tests(scheduling: EachScheduling, node: WorkerController) -> WorkerController | None:
    """Return the worker of ``--dist each`` whose tests xdist will give to this one, None where there is none."""
    dead: list[WorkerController] = [*scheduling._removed2pending] if scheduling.collection_is_completed else []
    return next((other for other in dead if other.gateway.spec == node.gateway.spec), None)


def begins_nothing(scheduling: EachScheduling, node: WorkerController) -> None:
    """Let a worker of ``--dist each`` end that has nothing to do. xdist would have it run all tests."""
    scheduling._started.append(node)
    node.shutdown()
