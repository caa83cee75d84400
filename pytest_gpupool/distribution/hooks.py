"""Distribution: xdist's hooks in the controller, kept thin; what they are about is the crew's and the scheduler's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from typing import Any

import execnet
import pytest
import xdist.workermanage
from xdist.workermanage import Marker, WorkerController

from ..devices.pool import cpu_count
from ..leases.lease import free_slots
from ..records import wire
from ..run.controller import Controller
from ..values.texts import iso
from ..worker import remote
from ..worker.interactor import PARCEL
from ..worker.program import CANCELLED
from . import process_ends
from .each import EachLeasedScheduling
from .member import Member
from .roster import Crew
from .scheduler import LateScheduling

_ENDING_SECONDS = 10.0  # what xdist gives its workers to end, too


class Distribution:
    """xdist's hooks in the controller."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.crew = Crew(controller)
        self._ending: list[WorkerController] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_auto_num_workers(self) -> int | None:
        """``-n auto``: one worker per free slot of the pool, at least one, which then waits."""
        if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
            return None  # the user has said how many; xdist reads it
        controller = self.controller
        if controller.devices.pool.is_cpu:
            return cpu_count()
        assert controller.devices.lock_dir is not None
        return max(
            1, free_slots(controller.devices.pool.devices, controller.devices.lock_dir, controller.options.slots)
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Start no more workers than there are slots. xdist reads these options in its own pytest_configure."""
        specs = xdist.workermanage.parse_tx_spec_config(config)
        for spec in specs:
            if not execnet.XSpec(spec).popen:
                raise pytest.UsageError(
                    f"gpupool: --tx {spec}: a worker on another host cannot lease this host's devices; "
                    "use -n, or switch the pool off with -p no:gpupool"
                )
        config.option.tx = specs[: self.controller.devices.places() or len(specs)]
        self.crew.asked = len(specs)
        self.controller.workers_planned(asked=len(specs), started=len(config.option.tx))

    @pytest.hookimpl
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Give a worker its orders before it starts."""
        self.crew.enlist(node)
        node.process_from_remote = self._hearing(node, node.process_from_remote)

    @pytest.hookimpl
    def pytest_xdist_getremotemodule(self) -> Any:
        """Have our own program run in the worker, so that the lease comes before pytest."""
        return remote

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> LateScheduling | EachLeasedScheduling:
        """Our workers speak our scheduler's language only."""
        each = config.getvalue("dist") == "each"
        self.crew.scheduler = (
            EachLeasedScheduling(config, self.crew, log) if each else LateScheduling(config, self.crew)
        )
        if not self.controller.devices.pool.is_cpu:
            self.crew.health.start()
        return self.crew.scheduler

    @pytest.hookimpl
    def pytest_xdist_node_collection_finished(self, node: WorkerController) -> None:
        """A worker has collected."""
        self.crew.has_collected(node)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The end of a test's call is the moment to choose the next test."""
        # Neither a subtest's report nor that of an attempt which will be repeated is the end of the call.
        ended = type(report) is pytest.TestReport and report.outcome in ("passed", "failed", "skipped")
        node, scheduler = getattr(report, "node", None), self.crew.scheduler
        if ended and report.when == "call" and node is not None and isinstance(scheduler, LateScheduling):
            scheduler.call_has_ended(node)

    @pytest.hookimpl(trylast=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """A worker has ended: end its process too, since its device is only free then."""
        member = self.crew.dismiss(node, error)
        if member is None:
            return
        node.gateway.exit()
        self._ending.append(node)
        if error:
            process_ends.clear(node, self.controller.records.run_id)
        scheduler = self.crew.scheduler
        if not error and isinstance(scheduler, LateScheduling):  # xdist does it for those only that died
            test = scheduler.remove_node(node)
            if test is not None:
                self._report_timeout(member, test, scheduler)
        self.controller.records.write(
            "worker-end", worker=node.gateway.id, ended=iso(time.time()), exit=_how_it_ended(member, error)
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, object, object]:
        """Leave no worker behind: end at once those that still run a test, wait for those that were let go.

        xdist waits ten seconds for the first, and not at all for the others.
        """
        self.crew.close()
        hurried = self._ending if exitstatus == pytest.ExitCode.INTERRUPTED else []
        process_ends.interrupt([*self.crew.live(), *hurried], self.controller.records.run_id)
        self.crew.time.wait_for_ends()
        result = yield
        deadline = time.monotonic() + _ENDING_SECONDS
        for node in self._ending:
            if process_ends.exit_code(node, max(0.0, deadline - time.monotonic())) is None:
                process_ends.end(node, self.controller.records.run_id)
        return result

    def _report_timeout(self, member: Member, test: str, scheduler: LateScheduling) -> None:
        """Tell pytest and its plugins of a test that took too long, as xdist tells them of a crash."""
        config = self.controller.config
        path, _, name = test.partition("::")
        report = pytest.TestReport(
            nodeid=test,
            location=(path, None, name.replace("::", ".")),
            keywords={},
            outcome="failed",
            longrepr=self.controller.records.results.message_of(test),
            when="???",  # type: ignore[arg-type] # as xdist has it: it is not known in which phase
        )
        report.node = member.node  # type: ignore[attr-defined]
        config.hook.pytest_handlecrashitem(crashitem=test, report=report, sched=scheduler)
        config.hook.pytest_runtest_logreport(report=report)
        session = config.pluginmanager.getplugin("dsession")
        session._handlefailures(report)
        if not session.shouldstop:  # with -x nothing more is to start
            scheduler.settled(test)

    def _hearing(self, node: WorkerController, process: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return what xdist calls with each event of a worker, from the thread that hears it, for parcels of them."""

        def hear(event: Any) -> None:
            name, values = event if isinstance(event, tuple) else (None, {})
            if name == PARCEL:
                for inner in wire.loads(values):
                    hear(inner)
                return
            if name == "logstart":
                self.crew.time.restart(node.gateway.id, values["nodeid"])
            elif name == "runtest_protocol_complete":
                self.crew.time.ends(node.gateway.id)
            if self.crew.was_ended(node):
                if event is not Marker.END:
                    return  # it comes too late: the signals may have waked the test
                if not node._down and isinstance(self.crew.scheduler, LateScheduling):
                    # To xdist it has finished: that it died is no crash, and does not count as one.
                    event = ("workerfinished", {"workeroutput": _NOTHING_TO_SAY})
            process(event)

        return hear


_NOTHING_TO_SAY = {"exitstatus": 0, "shouldfail": False, "shouldstop": False}


def _how_it_ended(member: Member, error: object) -> str:
    if error:
        return process_ends.how_it_ended(member.node)
    if member.overdue is not None:
        return "killed"
    return "cancelled" if CANCELLED in getattr(member.node, "workeroutput", {}) else "finished"
