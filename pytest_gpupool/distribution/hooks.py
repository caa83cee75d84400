"""Hooks: xdist's hooks in the controller, kept thin: what they are about lies in the other rooms."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from typing import Any

import execnet
import pytest
from xdist.workermanage import WorkerController

from ..devices.health import Health
from ..devices.pool import cpu_count
from ..foreign import xdist_session
from ..leases.occupancy import free_slots
from ..options import companions
from ..run.controller import Controller
from ..values.device import Device
from ..values.messages import DeviceFailed, Fewer
from ..values.texts import iso
from ..worker import remote
from . import blame
from .each import EachLeasedScheduling
from .events import passed_on
from .parts import Parts
from .scheduler import LateScheduling
from .workers import process_ends
from .workers.member import Member

_ENDING_SECONDS = 10.0  # what xdist gives its workers to end, too


class Distribution:
    """xdist's hooks in the controller."""

    parts: Parts
    """Made when it is known how many workers the user asks for, before the first starts."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self._scheduler: LateScheduling | EachLeasedScheduling | None = None
        devices = controller.devices
        self._health = Health(devices.pool.devices, devices.memory_after_death(), self._device_failed)
        self._ending: list[WorkerController] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_auto_num_workers(self) -> int | None:
        """``-n auto``: one worker per free slot of the pool, at least one, which then waits."""
        if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
            return None  # the user has said how many; xdist reads it
        controller = self.controller
        devices = controller.devices
        if devices.pool.is_cpu:
            return cpu_count()
        assert devices.lock_dir is not None
        return max(1, free_slots(devices.pool.devices, devices.lock_dir, controller.options.slots))

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Start no more workers than there are slots. xdist reads these options in its own pytest_configure."""
        specs = xdist_session.wished_workers(config)
        for spec in specs:
            if not execnet.XSpec(spec).popen:
                raise pytest.UsageError(
                    f"gpupool: --tx {spec}: a worker on another host cannot lease this host's devices; "
                    "use -n, or switch the pool off with -p no:gpupool"
                )
        config.option.tx = specs[: self.controller.devices.places() or len(specs)]
        self.parts = Parts.of(self.controller, workers_asked=len(specs))
        self.controller.workers_planned(asked=len(specs), started=len(config.option.tx))

    @pytest.hookimpl
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Give a worker its orders before it starts, and hear before xdist what it says."""
        parts = self.parts
        member = parts.starts.enlist(node)
        if isinstance(self._scheduler, LateScheduling):
            self._scheduler.started(member)
        each = self.controller.records.results.each
        xdist_session.intercept(node, lambda hear: passed_on(hear, member, parts.limits, each=each))

    @pytest.hookimpl
    def pytest_xdist_getremotemodule(self) -> Any:
        """Have our own program run in the worker, so that the lease comes before pytest."""
        return remote

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> LateScheduling | EachLeasedScheduling:
        """Our workers speak our scheduler's language only."""
        each = companions.runs_each(config)
        self._scheduler = EachLeasedScheduling(config, self.parts, log) if each else LateScheduling(config, self.parts)
        if not self.controller.devices.pool.is_cpu:
            self._health.start()
        return self._scheduler

    @pytest.hookimpl
    def pytest_xdist_node_collection_finished(self, node: WorkerController) -> None:
        """A worker has collected: from now on it hears commands."""
        self.parts.roster.of(node).collected = True

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The end of a test's call is the moment to choose the next test."""
        # Neither a subtest's report nor that of an attempt which will be repeated is the end of the call.
        ended = type(report) is pytest.TestReport and report.outcome in ("passed", "failed", "skipped")
        node = getattr(report, "node", None)
        if ended and report.when == "call" and node is not None and isinstance(self._scheduler, LateScheduling):
            self._scheduler.call_has_ended(node)

    @pytest.hookimpl(trylast=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """A worker has ended: end its process too, since its device is only free then."""
        member = self.parts.roster.find(node)
        if member is None or member.gone:
            return  # that was said before
        self._is_gone(member, died=bool(error))
        node.gateway.exit()
        self._ending.append(node)
        if error:
            process_ends.clear(node, self.controller.records.run_id)
        if not error and isinstance(self._scheduler, LateScheduling):  # xdist does it for those only that died
            test = self._scheduler.remove_node(node)
            if test is not None:
                self._report_timeout(member, test, self._scheduler)
        self.controller.records.write(
            "worker-end", worker=member.name, ended=iso(time.time()), exit=blame.how_it_ended(member)
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, object, object]:
        """Leave no worker behind: end at once those that still run a test, wait for those that were let go.

        xdist waits ten seconds for the first, and not at all for the others.
        """
        parts = self.parts
        parts.limits.close()
        self._look_once_more()
        hurried = self._ending if exitstatus == pytest.ExitCode.INTERRUPTED else []
        process_ends.interrupt([*parts.roster.nodes(), *hurried], self.controller.records.run_id)
        parts.limits.wait_for_ends()
        result = yield
        deadline = time.monotonic() + _ENDING_SECONDS
        for node in self._ending:
            if process_ends.exit_code(node, max(0.0, deadline - time.monotonic())) is None:
                process_ends.end(node, self.controller.records.run_id)
        return result

    def _is_gone(self, member: Member, *, died: bool) -> None:
        parts = self.parts
        member.gone, member.died = True, died
        parts.limits.ends(member.name)
        if died:
            parts.starts.will_be_replaced(member)
        parts.collected.has_ended(member)
        if member.leased and (died or member.overdue):
            self._health.after_death(member.devices)
        if not died:  # else xdist starts another one
            parts.session.hear_later(Fewer())

    def _report_timeout(self, member: Member, test: str, scheduler: LateScheduling) -> None:
        """Tell pytest and its plugins of a test that took too long, as xdist tells them of a crash."""
        report, hook = blame.timeout_report(self.controller, member, test), self.controller.config.hook
        hook.pytest_handlecrashitem(crashitem=test, report=report, sched=scheduler)
        hook.pytest_runtest_logreport(report=report)
        self.parts.session.count_failure(report)
        if not self.parts.session.stops:  # with -x nothing more is to start
            scheduler.settled(test)

    def _device_failed(self, device: Device, reason: str) -> None:
        self.parts.session.hear_later(DeviceFailed(device.id, reason))

    def _look_once_more(self) -> None:
        """No more tests are given out: see how the devices are, if NVML answers."""
        if self._health.close() and self._scheduler is not None:
            for device, reason in self._health.look():
                self.controller.devices.quarantine(device.id, reason)
