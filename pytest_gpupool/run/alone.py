"""Alone: the one process that is both controller and worker, where pytest-xdist starts no workers."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

from ..leases import lease as leases
from ..planning.demands import possible
from ..processes import stacks
from ..processes.time_limits import TimeLimits
from ..records.journal import dump
from ..values.errors import GpupoolError, MarkerProblem, NoLease
from ..values.messages import HeldUp, Message
from ..values.texts import shortened
from ..worker import program
from ..worker.equipment import journal_of
from ..worker.fixtures import lease_key
from ..worker.items import requirement_of
from ..worker.recorder import ALONE, Recorder
from .controller import Controller

_ALARM = signal.SIGRTMIN + 6  # SIGALRM is pytest-timeout's

_KEPT: list[leases.Lease] = []  # a lease that nobody refers to would be released


class Alone:
    """Holds the lease, and keeps the time as well as a process can that keeps its own."""

    def __init__(self, config: pytest.Config, controller: Controller) -> None:
        """Take the lease. Raises what :func:`worker.lease` raises, and NoLease."""
        self._config = config
        self._controller = controller
        self.orders = controller.orders((0,))
        self.environ: dict[str, str] = {}
        lease = self._take()
        config.stash[lease_key] = lease
        config.add_cleanup(self._let_go)
        self.recorder = Recorder.of(ALONE, lease, self.orders)
        self._listen()
        self._watch: TimeLimits | None = None
        self._running: tuple[str, float] | None = None  # the test whose time is kept, and its limit

    def _take(self) -> leases.Lease:
        waiting = _Waiting(self._config, self._controller)
        held, waited = program.lease(self.orders, ALONE, refused=waiting.refused, pause=waiting.pause)
        assert held is not None
        self.environ = program.environ(held, self.orders, os.environ)
        journal, record = journal_of(self.orders, ALONE), program.began(held, ALONE, waited)
        journal.append(dump(record))
        journal.close()
        self._controller.results.add(record)
        return held

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Hold devices as many and as large as tests ask for, as long as CUDA has not seen those that there are."""
        gpus, memory = self._wanted(session)
        held = self._config.stash[lease_key]
        enough = gpus <= len(held.devices) and all((d.memory_total or memory) >= memory for d in held.devices)
        if enough or (held.devices[0].is_gpu and _cuda_is_initialised()):
            return  # tests that ask for more say so
        held.release()
        self.orders = self._controller.orders(tuple(range(gpus)), gpus=gpus, memory=memory)
        try:
            lease = self._config.stash[lease_key] = self._take()
        except GpupoolError as error:
            self._controller.stop(str(error), error.exit_status)
        os.environ.update(self.environ)
        self.recorder.hold(lease, self.orders)
        self._listen()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Keep the time of a test that may take only so long."""
        limit = self._limit(item)
        if limit is None or threading.current_thread() is not threading.main_thread():
            return (yield)
        before = signal.signal(_ALARM, lambda *_: self._too_long(item, limit))
        if self._watch is None:
            self._watch = TimeLimits(lambda *_: signal.pthread_kill(threading.main_thread().ident or 0, _ALARM))
        self._running = (item.nodeid, limit)
        try:
            return (yield)
        finally:
            self._running = None
            self._watch.end(ALONE)
            signal.signal(_ALARM, before)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Each attempt has the whole time."""
        if self._watch is not None and self._running is not None and self._running[0] == nodeid:
            self._watch.begin(ALONE, *self._running)

    def pytest_unconfigure(self) -> None:
        """Stop the watch."""
        if self._watch is not None:
            self._watch.close()

    def _too_long(self, item: pytest.Item, limit: float) -> None:
        self.recorder.overdue = item.nodeid
        frames = stacks.own_stacks()
        pytest.fail(shortened(f"this test took longer than {limit:g} s; its stacks then:\n{frames}"), pytrace=False)

    def _limit(self, item: pytest.Item) -> float | None:
        try:
            return requirement_of(item).timeout or self._controller.options.timeout
        except MarkerProblem:
            return None  # said when the test is set up

    def _listen(self) -> None:
        assert self.recorder.gate is not None
        self.recorder.gate.tell = self._tell

    def _tell(self, message: Message) -> None:
        if isinstance(message, HeldUp):
            self._controller.tell(f"waiting for memory for {message.test}")
            for line in message.blockers:
                self._controller.tell(f"  {line}", label=False)

    def _wanted(self, session: pytest.Session) -> tuple[int, int]:
        """Return how many devices, of how many bytes each, the tests ask for, as far as the pool has them."""
        devices = self._controller.pool.devices
        # One that asks for more than there is says so, and needs none of them for that.
        wanted = [possible(*self._asks(item), devices) for item in session.items]
        gpus = max((gpus for gpus, _ in wanted), default=0)
        floors = sorted({memory for _, memory in wanted}, reverse=True)
        large = (memory for memory in floors if sum((d.memory_total or memory) >= memory for d in devices) >= gpus)
        return max(1, gpus), next(large, 0)

    def _asks(self, item: pytest.Item) -> tuple[int, int]:
        try:
            asked = requirement_of(item)
        except MarkerProblem:
            return 0, 0
        return asked.gpus, 0 if asked.memory is None or asked.memory.relative else int(asked.memory.amount)

    def _let_go(self) -> None:
        # Where CUDA was used this process has its context, and so the device, until it ends; a program that called
        # pytest.main goes on.
        held = self._config.stash[lease_key]
        if held.devices[0].is_gpu and _cuda_is_initialised():
            _KEPT.append(held)
        else:
            held.release()


def _cuda_is_initialised() -> bool:
    from ..devices import cuda

    return cuda.is_initialised()


class _Waiting:
    """Waiting for a lease without workers: tell the user, give up in time."""

    def __init__(self, config: pytest.Config, controller: Controller) -> None:
        self._config: Any = config
        self._controller = controller
        self._told: set[int | None] | None = None

    def refused(self, blockers: tuple[leases.Blocker, ...], waited: float) -> None:
        """Say what is waited for, when that changes. Raises NoLease at the end of ``--gpupool-wait``."""
        lines = [str(blocker) for blocker in blockers]
        if waited >= self._controller.options.wait or all(blocker.for_good for blocker in blockers):
            raise NoLease(self._controller.no_lease_text(lines))
        now = {blocker.pid for blocker in blockers}
        if waited >= 1.0 and now != self._told:
            self._told = now
            if self._config.known_args_namespace.verbose >= 0:
                print("\n  ".join(["gpupool: waiting for a device", *lines]), file=sys.stderr, flush=True)

    def pause(self, seconds: float) -> bool:
        """Wait; nobody cancels but Ctrl-C."""
        time.sleep(seconds)
        return True
