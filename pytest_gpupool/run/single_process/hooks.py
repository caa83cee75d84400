"""The single process's hooks: it holds a lease, a larger one once it is known what the tests ask for."""

from __future__ import annotations

import os

import pytest

from ...values.errors import GpupoolError, MarkerProblem
from ...values.messages import HeldUp, Message
from ...worker import plugins
from ...worker.equipment import Equipment
from ...worker.fixtures import lease_key
from ...worker.items import requirement_of
from ...worker.recording.recorder import Recorder
from ...worker.recording.writer import SINGLE_PROCESS
from .. import environment
from ..controller import Controller
from . import size
from .lease import OwnLease, cuda_is_initialised
from .time_limit import TimeLimit


def begin(config: pytest.Config, controller: Controller) -> None:
    """Take the lease, and register what runs tests here. Called before any conftest.py, which may import torch.

    Raises:
        GpupoolError: see :func:`program.lease`; NoLease at the end of ``--gpupool-wait``.
    """
    lease, orders = OwnLease(config, controller), controller.orders.at((0,))
    environ = lease.take(orders)
    config.add_cleanup(lease.let_go)
    recorder = Recorder.of(SINGLE_PROCESS, config.stash[lease_key], orders)
    environment.set_until_end(config, environ)
    plugins.record(config, recorder)
    plugins.resume(config, orders)
    config.pluginmanager.register(TimeLimit(controller.options.timeout, recorder), "gpupool-time-limit")
    config.pluginmanager.register(SingleProcess(config, controller, lease, recorder), "gpupool-single-process")


class SingleProcess:
    """The plugin that sees to it that the lease is large enough for the tests."""

    def __init__(self, config: pytest.Config, controller: Controller, lease: OwnLease, recorder: Recorder) -> None:
        self._config = config
        self._controller = controller
        self._lease = lease
        self._recorder = recorder
        self._listen()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Hold devices as many and as large as tests ask for, as long as CUDA has not seen those that there are."""
        gpus, memory = size.wanted(map(_asked, session.items), self._controller.devices.pool.devices)
        held = self._config.stash[lease_key]
        if size.is_enough(held.devices, gpus, memory) or (held.devices[0].is_gpu and cuda_is_initialised()):
            return  # tests that ask for more say so
        held.release()
        orders = self._controller.orders.at(tuple(range(gpus)), gpus=gpus, memory=memory)
        try:
            environ = self._lease.take(orders)
        except GpupoolError as error:
            self._controller.console.stop(str(error), error.exit_status)
        os.environ.update(environ)
        self._recorder.equip(Equipment.of(orders, self._config.stash[lease_key]))
        self._listen()

    def _listen(self) -> None:
        assert self._recorder.gate is not None
        self._recorder.gate.tell = self._tell

    def _tell(self, message: Message) -> None:
        if isinstance(message, HeldUp):
            self._controller.console.tell(f"waiting for memory for {message.test}")
            for line in message.blockers:
                self._controller.console.tell(f"  {line}", label=False)


def _asked(item: pytest.Item) -> tuple[int, int]:
    """Return how many devices, of how many bytes each, a test asks for; a share of a device is known only there."""
    try:
        asked = requirement_of(item)
    except MarkerProblem:
        return 0, 0  # said when the test is set up
    return asked.gpus, 0 if asked.memory is None or asked.memory.relative else int(asked.memory.amount)
