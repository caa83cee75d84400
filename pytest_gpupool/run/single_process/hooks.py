"""The single process's hooks: it holds a lease, a larger one once it is known what the tests ask for."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from ...isolation import hooks as isolation
from ...options import role_end
from ...planning.problem import Problem
from ...processes.own import clock
from ...records import estimates
from ...values.errors import GpupoolError, MarkerProblem, UsageProblem
from ...values.messages import HeldUp, LeftRunning, Message
from ...values.orders import Orders
from ...values.texts import iso
from ...worker import fixtures, plugins
from ...worker.fixtures import lease_key
from ...worker.items.confirming import Confirming
from ...worker.items.markers import requirement_of
from ...worker.leased.equipment import Equipment
from ...worker.recording.recorder import Recorder
from ...worker.recording.writer import SINGLE_PROCESS
from ...worker.trespass import hooks as trespass
from ...worker.trespass.loads import LoadWatch
from ...worker.trespass.own_devices import OwnDevices
from .. import environment
from ..controller import Controller
from ..ending.confirmation import Confirmation
from ..planned.suite import Workforce, problem_of
from . import size
from .budget import Budget
from .lease import OwnLease, keeps_its_devices
from .leftovers import OwnLeftovers
from .time_limit import TimeLimit


def begin(config: pytest.Config, controller: Controller) -> None:
    """Take the lease, and register what runs tests here. Called before any conftest.py, which may import torch.

    Raises:
        GpupoolError: see :func:`program.lease`; NoLease at the end of ``--gpupool-wait``.
    """
    lease, orders = OwnLease(config, controller), controller.orders.at((0,))
    environ = lease.take(orders)
    role_end.at_end(config, lease.let_go)
    own, leftovers = _own_devices(config, orders), OwnLeftovers(config, controller)
    recorder, loads = Recorder.of(SINGLE_PROCESS, config.stash[lease_key], orders, own), LoadWatch(own)
    environment.set_until_end(config, environ)
    role_end.at_end(config, leftovers.mark())
    role_end.at_end(config, leftovers.end)
    fixtures.record(config, recorder)
    plugins.see_processes(config, recorder)
    plugins.aggregates(config, recorder)
    config.pluginmanager.register(loads, "gpupool-loads")
    trespass.watch(config, recorder, loads)
    plugins.choose(config, orders)
    plugins.seed(config, orders)
    isolation.register(config, orders)
    config.pluginmanager.register(TimeLimit(controller.options, recorder), "gpupool-time-limit")
    config.pluginmanager.register(leftovers, "gpupool-leftovers")
    if controller.deadline is not None:
        config.pluginmanager.register(Budget(controller, controller.deadline), "gpupool-budget")
    confirming = Confirming(lambda: recorder.confirms, lambda item: None)
    config.pluginmanager.register(confirming, "gpupool-confirming")
    single = SingleProcess(config, controller, lease, recorder, leftovers)
    config.pluginmanager.register(single, "gpupool-single-process")


def refuse_to_change(config: pytest.Config) -> None:
    """Say so where this process is to run no test after all, and has used a device already: it cannot give that back.

    Raises:
        UsageProblem: it has.
    """
    held = config.stash[lease_key]
    if keeps_its_devices(held):
        names = " and ".join(device.label for device in held.devices)
        raise UsageProblem(
            f"a plugin or conftest.py has used {names} in this process, and then something has added workers (-n), or "
            "paths that gpupool_paths does not have: give those on the command line or in the ini value addopts, or "
            "use devices inside tests and fixtures only"
        )


class SingleProcess:
    """The plugin that sees to it that the lease is large enough for the tests."""

    def __init__(
        self,
        config: pytest.Config,
        controller: Controller,
        lease: OwnLease,
        recorder: Recorder,
        leftovers: OwnLeftovers,
    ) -> None:
        self._config = config
        self._controller = controller
        self._lease = lease
        self._recorder = recorder
        self._leftovers = leftovers
        recorder.tells(controller.console.warn)
        self._listen()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Hold what the tests ask for, and say how long."""
        if self._controller.called_off:
            return
        self._hold_enough(session)
        self._controller.problem = problem = self._problem(session)
        if any(device.is_gpu for device in self._config.stash[lease_key].devices):
            seconds = [test.seconds for test in problem.tests]
            if (remaining := estimates.duration_of_all(seconds, 1)) is not None and self._recorder.gate is not None:
                self._recorder.gate.expect_end(iso(clock.now() + remaining))

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self) -> None:
        """Warnings are shown now; other plugins' hooks for a session's end have been called."""
        self._recorder.session_ends()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Have a test run once more, next, of which a metric is suspect."""
        result = yield
        session = item.session
        if not (session.shouldfail or session.shouldstop):
            attempts = Confirmation.of(self._config).attempts_so_far(item.nodeid, SINGLE_PROCESS)
            if attempts is not None and item in session.items:
                self._recorder.begins_anew(item.nodeid, attempts, confirms=True)
                session.items.insert(session.items.index(item) + 1, item)
        return result

    def _problem(self, session: pytest.Session) -> Problem:
        controller = self._controller
        workforce = Workforce(
            asked=None,
            mode="no",
            devices=controller.devices.pool.devices,
            places=controller.devices.places(),
            slots=controller.options.slots,
        )
        return problem_of(
            session.items,
            self._config,
            workforce,
            controller.history.learned(),
            timeout=controller.options.timeout,
            longest_first=False,
        )

    def _hold_enough(self, session: pytest.Session) -> None:
        """Hold devices as many and as large as tests ask for, as long as nothing here has used those that there are."""
        gpus, memory = size.wanted(map(_asked, session.items), self._controller.devices.pool.devices)
        held = self._config.stash[lease_key]
        if size.is_enough(held.devices, gpus, memory) or keeps_its_devices(held):
            return  # tests that ask for more say so
        held.release()
        orders = self._controller.orders.at(tuple(range(gpus)), gpus=gpus, memory=memory)
        try:
            environ = self._lease.take(orders)
        except GpupoolError as error:
            self._controller.console.stop(str(error), error.exit_status)
        os.environ.update(environ)
        own = _own_devices(self._config, orders)
        self._recorder.equip(Equipment.of(orders, self._config.stash[lease_key], own))
        self._config.stash[trespass.loads_key].own = own
        self._listen()

    def _listen(self) -> None:
        assert self._recorder.gate is not None
        self._recorder.gate.tell = self._tell

    def _tell(self, message: Message) -> None:
        if isinstance(message, LeftRunning):
            self._leftovers.hear(message)
        elif isinstance(message, HeldUp):
            self._controller.console.tell(f"waiting for memory for {message.test}")
            for line in message.blockers:
                self._controller.console.tell(f"  {line}", label=False)


def _own_devices(config: pytest.Config, orders: Orders) -> OwnDevices:
    return OwnDevices.of(config.stash[lease_key].devices, orders, "this process")


def _asked(item: pytest.Item) -> tuple[int, int]:
    """Return how many devices, of how many bytes each, a test asks for; a share of a device is known only there."""
    try:
        asked = requirement_of(item)
    except MarkerProblem:
        return 0, 0  # said when the test is set up
    return asked.gpus, 0 if asked.memory is None or asked.memory.relative else int(asked.memory.amount)
