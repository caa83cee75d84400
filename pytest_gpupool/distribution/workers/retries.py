"""Retries: which tests are tried again in this run, since it was not they alone that failed.

A worker that has met such a failure reports it as "rerun", and says that it ends; a test that died with its worker is
xdist's to report, and by then it is known what the worker died of. Here it is decided how often, and said where not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy

import pytest

from ...foreign import xdist_protocol
from ...foreign.pytest_names import junit_log, leave_out
from ...run.controller import Controller
from ...run.ending import junit_file
from ...values.outcomes import MACHINE, RERUN
from ...worker.recording.retries import CAUSE
from .member import Member
from .roster import Roster

_EXCHANGES = 2


class Retries:
    """A plugin: hears the reports before all others."""

    def __init__(self, controller: Controller, roster: Roster) -> None:
        self._controller = controller
        self._roster = roster
        self._used: Counter[tuple[str, str]] = Counter()
        self._granted: dict[str, str] = {}  # causes by test, of those whose attempt has not ended
        self._refused: dict[str, str] = {}  # why others of these are not tried again
        self._open: dict[str, int] = {}  # attempts so far, by test, of those that are to be tried again
        self._failures: dict[str, pytest.TestReport] = {}  # of these, where there may be nobody who tries it

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A worker takes a failure for one that is not the last: see whether that is so."""
        if report.outcome != RERUN:
            return
        cause, node = getattr(report, CAUSE, None), getattr(report, "node", None)
        if cause is None or node is None:
            return
        why = self.refuses(report.nodeid, cause, self._roster.of(node).devices)
        if why is None:
            self._granted[report.nodeid] = cause
            self.may_be_last(report)
        else:
            report.outcome = "failed"
            report.sections.append(("gpupool", why))
            self._refused[report.nodeid] = why

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Show what is tried again, as pytest-rerunfailures does."""
        return ("rerun", "R", ("RERUN", {"yellow": True})) if report.outcome == RERUN else None

    def refuses(self, nodeid: str, cause: str, devices: Sequence[str]) -> str | None:
        """A test has failed of a cause on these devices: return why it is not tried again, None where it is."""
        most = self._controller.options.retries[cause]
        if self._used[nodeid, cause] >= most:
            times = "once" if most == 1 else f"{most} times"
            return (
                f"gpupool: it was tried again {times} for this" if most else "gpupool: it is not tried again for this"
            )
        if cause == MACHINE and self._controller.devices.others_than(self.to_avoid(devices)) < len(devices):
            return "gpupool: no other device is left, on which it could be tried again"
        self._used[nodeid, cause] += 1
        return None

    def to_avoid(self, devices: Sequence[str]) -> list[str]:
        """Return the devices that may be broken where one of these is: with an instance of a GPU the others of it."""
        pool, host_of = self._controller.devices.reported.devices, self._controller.devices.host_of
        places = {(host_of(device.id), device.index) for device in pool if device.id in devices}
        return [device.id for device in pool if (host_of(device.id), device.index) in places]

    def is_granted(self, nodeid: str) -> bool:
        """Return whether the attempt at a test that goes on is known not to be the last one."""
        return nodeid in self._granted

    def spent(self, nodeid: str) -> list[str]:
        """Return the causes for which a test is not tried again any more."""
        return [cause for cause, most in self._controller.options.retries.items() if self._used[nodeid, cause] >= most]

    def has_ended(self, nodeid: str, member: Member) -> str | None:
        """A worker has ended a test; return the cause for which that is tried again, None where it is not."""
        if (why := self._refused.pop(nodeid, None)) is not None:
            self.is_refused(nodeid, member, why)
        cause = self._granted.pop(nodeid, None)
        if cause is not None:
            self.begins(nodeid, member)
        return cause

    def begins(self, nodeid: str, member: Member) -> None:
        """A test is tried again."""
        result = self._controller.records.results.get(nodeid, member.name)
        self._open[nodeid] = 0 if result is None else result.attempt

    @property
    def exchanges(self) -> int:
        """How many workers are exchanged, at most, for a test's sake that must not have the same device again.

        Here they know themselves which they are not to take; where an engine places them, that knows nothing of it.
        """
        return 0 if self._controller.devices.engine is None else _EXCHANGES

    def may_be_last(self, report: pytest.TestReport) -> None:
        """A test has failed, and is to be tried again; keep what is told of it where that may come to nothing."""
        if self.exchanges:
            kept = self._failures[report.nodeid] = copy(report)
            kept.outcome, kept.sections = "failed", [*report.sections]

    def is_in_vain(self, nodeid: str) -> pytest.TestReport | None:
        """No other device has come: a test's failure is its last attempt's. Tell that, and return what is told."""
        if (report := self._failures.pop(nodeid, None)) is None:
            return None
        member, engine = self._roster.of(report.node), self._controller.devices.engine
        assert engine is not None
        why = (
            f"gpupool: {engine.name} gave no other device, on which it could be tried again, though {_EXCHANGES} more "
            "workers were asked for"
        )
        report.sections.append(("gpupool", why))
        self._open.pop(nodeid, None)
        self.is_refused(nodeid, member, why)
        config = self._controller.config
        if (log := junit_log(config)) is not None:
            leave_out(log, report, is_last=True)
        config.hook.pytest_runtest_logreport(report=report)
        test = self._controller.records.results.get(nodeid, member.name)
        if test is not None and report.when != xdist_protocol.UNKNOWN_PHASE:  # else who hears of that does so
            config.hook.pytest_runtest_logreport(report=junit_file.last_report(report, test))
        return report

    def is_not_last(self, report: pytest.TestReport) -> None:
        """An attempt is not the last one: the JUnit file says nothing of it, since a test is one testcase there."""
        log, has_died = junit_log(self._controller.config), report.when == xdist_protocol.UNKNOWN_PHASE
        if log is not None and (has_died or report.nodeid in self._granted):
            leave_out(log, report, is_last=has_died)

    def is_refused(self, nodeid: str, member: Member, why: str) -> None:
        """Have it on record why a test is not tried again."""
        result = self._controller.records.results.get(nodeid, member.name)
        started = None if result is None else result.started
        self._controller.records.write("no-retry", worker=member.name, test=nodeid, started=started, text=why)

    def not_tried(self) -> list[str]:
        """Return the tests that were to be tried again, and were not: what they had before is their result.

        The JUnit file has nothing of that yet.
        """
        open_ = [test for test in self._controller.records.results.single if test.nodeid in self._open]
        left = [test for test in open_ if test.attempt <= self._open[test.nodeid]]
        for test in left:
            test.reported = False
        return [test.nodeid for test in left]
