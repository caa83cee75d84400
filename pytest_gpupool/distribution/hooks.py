"""Hooks: xdist's hooks in the controller, kept thin: what they are about lies in the other rooms."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import execnet
import pytest
from xdist.workermanage import WorkerController

from ..devices.health import Health
from ..foreign import xdist_protocol, xdist_session
from ..leases.occupancy import Occupancy
from ..options import companions, worker_count
from ..processes.own import clock
from ..run.controller import Controller
from ..run.ending.confirmation import Confirmation
from ..run.ending.repeats import OF_REPEATS
from ..values.device import Device
from ..values.messages import DeviceFailed, Fewer, Share
from ..values.outcomes import MACHINE, OUT_OF_MEMORY, RERUN
from ..values.repeats import REPEAT, test_of
from ..values.texts import iso
from ..worker import remote
from . import blame
from .each import EachLeasedScheduling
from .events import Passage
from .giving_way import GivingWay
from .parts import Parts
from .scheduler import LateScheduling
from .workers import engine_process, process_ends
from .workers.engine_process import EngineWorkerProcess
from .workers.member import Member
from .workers.process_ends import LocalProcess


class Distribution:
    """xdist's hooks in the controller."""

    parts: Parts
    """Made when it is known how many workers the user asks for, before the first starts."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self._scheduler: LateScheduling | EachLeasedScheduling | None = None
        devices = controller.devices
        # Of devices on other hosts nobody here can tell.
        here = devices.pool.devices if devices.engine is None else ()
        self._health = Health(here, devices.memory_after_death(), self._device_failed)
        self._giving_way: GivingWay | None = None
        if controller.options.yields and devices.lock_dir is not None:
            ids = tuple(device.id for device in devices.pool.devices)
            self._giving_way = GivingWay(
                ids,
                controller.records.run_id,
                devices.lock_dir,
                lambda most: self.parts.session.hear_later(Share(most)),
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_auto_num_workers(self, config: pytest.Config) -> int:
        """``-n auto``: as many workers as the user says, else one per free slot of the pool, at least one."""
        return worker_count.of_auto(config, self, self.controller.devices.workers_of_auto)

    @pytest.hookimpl
    def pytest_configure(self, config: pytest.Config) -> None:
        """Start no more workers than there are slots. xdist reads these options in its own pytest_configure."""
        specs = xdist_session.wished_workers(config)
        if not specs or not config.pluginmanager.is_registered(self):
            return  # there are to be no workers, as is known by now, or will be said when the session starts
        if companions.has_proxies(config):
            raise pytest.UsageError(
                "gpupool: --px: a worker behind a proxy is not started here, and cannot lease this host's devices; "
                "use -n, or switch the pool off with -p no:gpupool"
            )
        for spec in specs:
            if not execnet.XSpec(spec).popen:
                raise pytest.UsageError(
                    f"gpupool: --tx {spec}: a worker on another host cannot lease this host's devices; "
                    "use -n, or switch the pool off with -p no:gpupool"
                )
        config.option.tx = specs[: self.controller.devices.places() or len(specs)]
        self.parts = Parts.of(self.controller, workers_asked=len(specs), confirmation=Confirmation.of(config))
        self.parts.starts.prepare()
        config.pluginmanager.register(self.parts.retries, "gpupool-retries")
        self.controller.workers_planned(asked=len(specs), started=len(config.option.tx))

    @pytest.hookimpl
    def pytest_xdist_setupnodes(self) -> None:
        """The first worker is about to be started."""
        self.parts.starts.begin()

    @pytest.hookimpl
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Give a worker its orders before it starts, and hear before xdist what it says."""
        parts = self.parts
        member = parts.starts.enlist(node)
        if isinstance(self._scheduler, LateScheduling):
            self._scheduler.started(member)
        each = self.controller.records.results.each
        xdist_session.intercept(node, lambda hear: Passage(hear, member, parts, each=each))
        xdist_session.before_commands(node, lambda command: self._is_told(member, command))

    @pytest.hookimpl
    def pytest_xdist_getremotemodule(self) -> Any:
        """Have our own program run in the worker, so that the lease comes before pytest."""
        return remote

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> LateScheduling | EachLeasedScheduling:
        """Our workers speak our scheduler's language only."""
        each = companions.runs_each(config)
        self._scheduler = EachLeasedScheduling(config, self.parts, log) if each else LateScheduling(config, self.parts)
        if not self.controller.devices.pool.is_cpu and self.controller.devices.engine is None:
            self._health.start()
        self.parts.placements.begin()
        if self._giving_way is not None and not each:
            self._giving_way.start()
        return self._scheduler

    @pytest.hookimpl
    def pytest_xdist_node_collection_finished(self, node: WorkerController) -> None:
        """A worker has collected: from now on it hears commands."""
        self.parts.roster.of(node).collected = True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_handlecrashitem(
        self, crashitem: str, report: pytest.TestReport
    ) -> Generator[None, list[object], list[object]]:
        """A worker has ended with a test: xdist says only that. What is known of it goes into each report."""
        member, session = self.parts.roster.of(report.node), self.parts.session
        told = blame.told_of(self.controller, member, crashitem)
        report.longrepr = told if member.overdue is not None else f"{report.longrepr}: {told}"
        result = yield
        if report.outcome != RERUN and isinstance(self._scheduler, LateScheduling):
            self._retry(member, crashitem, report, self._scheduler)
        if (
            test_of(crashitem) is None
            and report.when == xdist_protocol.UNKNOWN_PHASE
            and not self._counts_by_itself(member)
        ):
            session.count_failure(report)  # unless another plugin has it run again; xdist does not count it
            # Without a word of the user's those alone count that no test is to blame for: they would go on for ever.
            if not companions.limits_restarts(self.controller.config):
                session.forgive_crash()
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The end of a test's call is the moment to choose the next test."""
        # Neither a subtest's report nor that of an attempt which will be repeated is the end of the call.
        ended = type(report) is pytest.TestReport and report.outcome in ("passed", "failed", "skipped", REPEAT)
        node = getattr(report, "node", None)
        if report.outcome == RERUN:
            self.parts.retries.is_not_last(report)
        if report.failed and hasattr(report, OF_REPEATS):
            self.parts.session.count_failure(report)  # which is no worker's
        if ended and report.when == "call" and node is not None and isinstance(self._scheduler, LateScheduling):
            self._scheduler.call_has_ended(node)

    @pytest.hookimpl
    def pytest_internalerror(self, excrepr: object) -> None:
        """An error that is no test's is shown: here, or in a worker, as xdist passes it on."""
        text = str(excrepr)
        for member in self.parts.roster.everyone() if hasattr(self, "parts") else ():
            if member.internal_error is not None and member.internal_error in text:
                member.internal_error = None

    @pytest.hookimpl(trylast=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """A worker has ended, or is about to: its device is free when its process has."""
        member = self.parts.roster.find(node)
        if member is None or member.gone:
            return  # that was said before
        member.interrupted = not error and blame.is_interrupted(member)
        self._is_gone(member, died=bool(error) and (not member.is_cut_off or self.controller.records.results.each))
        node.gateway.exit()
        self.parts.ends.is_let_go(member)
        # xdist does it for those only that died, or were interrupted.
        if not (member.died or member.interrupted) and isinstance(self._scheduler, LateScheduling):
            test = self._scheduler.remove_node(node)
            if test is not None:
                self._report_timeout(member, test, self._scheduler)
        self.controller.records.write(
            "worker-end",
            worker=member.name,
            ended=iso(clock.now()),
            exit=blame.how_it_ended(member),
            **self._times_of(member),
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, object, object]:
        """Leave no worker behind: end at once those that still run a test, wait for those that were let go.

        xdist waits ten seconds for the first, and not at all for the others.
        """
        parts = self.parts
        not_tried = parts.retries.not_tried()
        if (parts.collected.are_missed or not_tried) and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for test in not_tried:
            self.controller.console.warn(f"{test} was to be tried again, but the run ended before")
        parts.limits.close()
        parts.collected.close()
        if self._giving_way is not None:
            self._giving_way.close()
        self._look_once_more()
        hurried = exitstatus == pytest.ExitCode.INTERRUPTED
        parts.placements.close()
        processes = [member.process for member in parts.roster.everyone() if hurried or not member.gone]
        process_ends.interrupt(process for process in processes if isinstance(process, LocalProcess))
        engine_process.interrupt(process for process in processes if isinstance(process, EngineWorkerProcess))
        parts.limits.wait_for_ends()
        parts.ends.wait()  # before the summary, which names what they left behind
        parts.ends.close()
        self._say_internal_errors()
        try:
            return (yield)
        finally:
            parts.session.forget_workers()

    def _is_told(self, member: Member, command: str) -> None:
        self.parts.limits.is_told(member.name, command)
        if isinstance(member.process, EngineWorkerProcess):
            member.process.is_told(command)

    def _times_of(self, member: Member) -> dict[str, Any]:
        """Return when a worker was ready for its first test, and how long it had none, as far as that is known."""
        idle = self._scheduler.idle_times(member) if isinstance(self._scheduler, LateScheduling) else {}
        return {
            **({} if member.ready is None else {"ready": member.ready}),
            **({"idle": {reason: round(seconds, 3) for reason, seconds in idle.items()}} if idle else {}),
        }

    def _say_internal_errors(self) -> None:
        """Nobody hears events any more: show what workers have said of errors that no test is to blame for."""
        for member in self.parts.roster.everyone():
            if member.internal_error is not None:
                self.controller.broken = True
                self.controller.console.show(f"{member.name} had an internal error:\n{member.internal_error}")
                member.internal_error = None

    def _is_gone(self, member: Member, *, died: bool) -> None:
        parts = self.parts
        member.gone, member.died = True, died
        parts.limits.ends(member.name)
        if died and member.overdue is None:
            member.cause = self._cause_of_death(member)
        if died or member.interrupted:
            self._is_lost(member)
        parts.collected.has_ended(member)
        if member.leased and (died or member.is_cut_off) and isinstance(member.process, LocalProcess):
            worker = member.process.worker
            self._health.after_death(member.devices, worker, lambda device: self._is_held_by_another(device, member))
        if not died:  # else xdist starts another one
            parts.session.hear_later(Fewer())

    def _is_lost(self, member: Member) -> None:
        """xdist starts another one in its place; where it never does the others do what is left."""
        parts = self.parts
        others_go_on = any(not other.retired for other in parts.roster.present())
        if parts.session.replaces_nobody and others_go_on and not self.controller.records.results.each:
            member.is_replaced = False
            parts.capacity.lose(member.shape)
            parts.session.spare_others()
        else:
            parts.starts.will_be_replaced(member)

    def _is_held_by_another(self, device: str, dead: Member) -> bool:
        lock_dir = self.controller.devices.lock_dir
        if lock_dir is None:
            return False
        # The dead one's own lock may outlive it in a process that it has forked.
        holds = Occupancy(lock_dir).holds(device)
        return any(hold.holder is not None and hold.holder.process != dead.identity for hold in holds)

    def _counts_by_itself(self, member: Member) -> bool:
        return member.overdue is not None and not self.controller.records.results.each

    def _retry(self, member: Member, test: str, report: pytest.TestReport, scheduler: LateScheduling) -> None:
        """See whether a test that died with its worker is tried again: not where that was the test's own doing."""
        if member.cause is None or self.parts.session.stops or companions.swallows(self.controller.config, test):
            return
        why = self.parts.retries.refuses(test, member.cause, member.devices)
        if why is None:
            self.parts.retries.may_be_last(report)
            report.outcome = RERUN  # type: ignore[assignment]
            scheduler.tries_again(test, member)
        else:
            report.longrepr = f"{report.longrepr}\n{why}"
            self.parts.retries.is_refused(test, member, why)

    def _cause_of_death(self, member: Member) -> str | None:
        """Return what a worker has died of that is no test's doing alone; its device is asked, if it had one."""
        if member.process.was_ended_for_memory():
            return OUT_OF_MEMORY
        if isinstance(member.process, EngineWorkerProcess):
            for device, reason in member.process.lost.items():
                self._device_is_lost(device, reason)
            return MACHINE if member.process.lost else None
        return MACHINE if member.leased and self._health.have_failed(member.devices) else None

    def _report_timeout(self, member: Member, test: str, scheduler: LateScheduling) -> None:
        """Tell pytest and its plugins of a test that took too long, as xdist tells them of a crash."""
        report, hook = blame.timeout_report(self.controller, member, test), self.controller.config.hook
        hook.pytest_handlecrashitem(crashitem=test, report=report, sched=scheduler)
        hook.pytest_runtest_logreport(report=report)
        self.parts.session.count_failure(report)
        if not self.parts.session.stops:  # with -x nothing more is to start
            scheduler.settled(test)

    def _device_failed(self, device: Device, reason: str) -> None:
        self._device_is_lost(device.id, reason)

    def _device_is_lost(self, device: str, reason: str) -> None:
        self.parts.session.hear_later(DeviceFailed(device, reason))

    def _look_once_more(self) -> None:
        """No more tests are given out: see how the devices are, if they answer."""
        if self._health.close() and self._scheduler is not None:
            for device, reason in self._health.look():
                self.controller.devices.quarantine(device.id, reason)
