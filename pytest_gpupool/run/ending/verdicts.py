"""Verdicts at the end: once all is measured the run is decided, and pytest's own reports say the same as ours.

pytest has heard by then that a test passed: its summary, its exit status, its JUnit file and its memory of what failed
last are told anew.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest

from ...foreign import pytest_names
from ...options import scope
from ...records.folding.result import TestResult
from ...worker.items.confirming import CONFIRMS
from ...worker.recording import junit_properties
from ...worker.recording.verdict_failure import Verdict
from ...worker.recording.writer import SINGLE_PROCESS
from ..controller import Controller
from . import junit_file

Case = tuple[str, str | None]
"""The id of a test, and the worker that ran it."""


class Verdicts:
    """Decides, and tells pytest. Until then it keeps what pytest's JUnit file has begun of each test."""

    def __init__(self, controller: Controller) -> None:
        self._run = controller
        self._testcases: dict[Case, Any] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the testcase of a test: pytest forgets whose it is once it is whole."""
        if not self._run.baseline.decides or report.when != "teardown" or hasattr(report, CONFIRMS):
            return
        if (log := pytest_names.junit_log(self._run.config)) is not None:
            self._testcases[report.nodeid, _worker_of(report)] = pytest_names.testcase_of(log, report)

    def decide(self, session: pytest.Session) -> None:
        """Judge all metrics of the run together. Called once, when nothing more comes."""
        forgiven = False
        paths = scope.paths(session.config)
        for test, record in list(self._run.baseline.decided(self._run.records.results, paths)):
            if not isinstance(test, TestResult):
                self._run.records.write("aggregated", **record)
                continue
            before = test.outcome
            self._run.records.write("decided", **record)
            now = self._run.records.results.as_it_is(test)
            if now.reported and now.run is None:
                self._tell(session, now, before)
                forgiven |= (before, now.outcome) == ("failed", "xfailed")
        # pytest fails a test that was expected to fail, strictly, and did: it has failed by its verdict now.
        is_clear = session.exitstatus == pytest.ExitCode.TESTS_FAILED and not session.testsfailed
        if forgiven and is_clear and not session.shouldfail:
            session.exitstatus = pytest.ExitCode.OK

    def tell_groups(self, session: pytest.Session, groups: Iterable[TestResult]) -> None:
        """Count the failures of aggregates with those of tests, and show them."""
        reporter: Any = self._run.config.pluginmanager.getplugin("terminalreporter")
        for group in groups:
            if group.outcome == "failed":
                session.testsfailed += 1
                report = next(iter(junit_file.reports(group)))
                report.longrepr = _representation(group.message or "")
                if reporter is not None:
                    pytest_names.add_to_summary(reporter, "failed", [report])

    def _tell(self, session: pytest.Session, test: TestResult, before: str) -> None:
        changed = self._changed_report(test, before) if test.outcome != before else None
        if changed is not None:
            session.testsfailed += (test.outcome == "failed") - (before == "failed")
            pytest_names.will_run_first(session.config, changed)
        log, case = pytest_names.junit_log(session.config), self._testcases.get((test.nodeid, _told_by(test)))
        if log is None or case is None:
            return
        told = [metric for metric in test.metrics.values() if metric.get("baseline") is not None]
        pairs = [junit_properties.verdict(metric["name"], metric["verdict"]) for metric in told]
        properties = [(name, pytest_names.junit_text(str(value))) for name, value in pairs]
        result = None
        if test.outcome != before:
            text = pytest_names.junit_text(test.message or "")
            tag = "failure" if test.outcome == "failed" else "skipped"
            result = (tag, f"Verdict: {text}" if tag == "failure" else text, text)
        pytest_names.change_testcase(log, case, properties, result)

    def _changed_report(self, test: TestResult, before: str) -> pytest.TestReport | None:
        """Put a report of what has become of the test in place of the one that pytest's summary counts; return it."""
        reporter: Any = self._run.config.pluginmanager.getplugin("terminalreporter")
        stats: dict[str, list[Any]] = {} if reporter is None else reporter.stats
        of_kind = stats.get(before, [])
        old = next((one for one in of_kind if _is_of(one, test)), None)
        if old is None:
            return None
        of_kind.remove(old)
        new: pytest.TestReport = copy.copy(old)
        new.outcome = "failed" if test.outcome == "failed" else "skipped"
        new.when = "call"  # else pytest calls a test that was skipped in its set-up, and has failed since, an error
        new.longrepr = _representation(test.message or "")
        if test.outcome == "xfailed" and not hasattr(new, "wasxfail"):
            new.wasxfail = ""
        if not of_kind:
            stats.pop(before, None)
        pytest_names.add_to_summary(reporter, test.outcome, [new])
        return new


def _is_of(report: Any, test: TestResult) -> bool:
    return getattr(report, "nodeid", None) == test.nodeid and _worker_of(report) == _told_by(test)


def _told_by(test: TestResult) -> str | None:
    """Return whose report pytest has of a test: what its repeats make no worker has told."""
    return SINGLE_PROCESS if test.repeats else test.worker


def _worker_of(report: Any) -> str:
    node = getattr(report, "node", None)
    return SINGLE_PROCESS if node is None else str(node.gateway.id)


def _representation(message: str) -> Any:
    """Return what pytest makes of a failure that has a message and no traceback."""
    try:
        raise Verdict(message, pytrace=False)
    except Verdict as verdict:
        return pytest.ExceptionInfo.from_exception(verdict).getrepr(style="value")
