"""Repeats: when the last one of a test has ended, the test has: one outcome, one value for each metric, one report.

Until then pytest hears of the repeats nothing that it would count or show.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pytest

from ...foreign import xdist_protocol
from ...foreign.pytest_names import junit_log, leave_out
from ...metrics.repeated import reduced
from ...records.folding.result import TestResult
from ...values.errors import MetricProblem
from ...values.outcomes import GOOD, RERUN
from ...values.repeats import REPEAT, Rule, number_of, test_of
from ...values.verdicts import INVALID, is_lost
from ..controller import Controller
from . import junit_file

OF_REPEATS = "gpupool_of_repeats"
"""What marks the reports of a test that were made of its repeats'."""


class Repeats:
    """A plugin of the controller."""

    def __init__(self, controller: Controller) -> None:
        self._run = controller
        self._tried_again: set[str] = set()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        """Hide a repeat's report from all who count, and conclude the test where it was the last one's."""
        nodeid = report.nodeid
        test = test_of(nodeid)
        if test is None:
            return (yield)
        is_rerun, has_died = report.outcome == RERUN, report.when == xdist_protocol.UNKNOWN_PHASE
        # What else comes from a worker, that one has hidden, once it had heard it.
        if has_died and not is_rerun and hasattr(report, "node"):
            report.outcome = REPEAT  # type: ignore[assignment]
        log = junit_log(self._run.config)
        if log is not None:
            leave_out(log, report, is_last=False)
        result = yield
        if log is not None and has_died:  # no tear-down of it comes, which would end what the file has begun
            leave_out(log, report, is_last=True)
        if is_rerun:
            self._tried_again.add(nodeid)
        elif report.when == "setup":
            self._tried_again.discard(nodeid)
        elif report.when == "teardown" or has_died:
            if nodeid not in self._tried_again or has_died:
                self._conclude_if_over(test)
            self._tried_again.discard(nodeid)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show nothing of a repeat."""
        return ("", "", "") if report.outcome == REPEAT else None

    def conclude_the_rest(self) -> None:
        """No test runs any more: conclude those of which all repeats were kept from an earlier run, or told late."""
        results = self._run.records.results
        for test in [one.nodeid for one in results.tests if one.repeats and not one.finished]:
            self._conclude_if_over(test)

    def _conclude_if_over(self, test: str) -> None:
        results = self._run.records.results
        repeats = results.repeats_of(test)
        if results.is_concluded(test) or not all(one.finished for one in repeats):
            return
        concluded = _concluded(repeats)
        self._run.records.write("repeated", test=test, **concluded)
        (found,) = [one for one in results.tests if one.nodeid == test]
        results.are_reported.add(test)
        if (session := self._run.config.pluginmanager.getplugin("session")) is not None:
            session.testscollected = results.collected  # by which pytest shows how far it is
        for report in junit_file.reports(found):
            setattr(report, OF_REPEATS, True)
            report.duration = (found.duration or 0.0) if report.when != "teardown" else 0.0
            self._run.config.hook.pytest_runtest_logreport(report=report)


def _concluded(repeats: Sequence[TestResult]) -> dict[str, Any]:
    """Return what becomes of a test whose repeats have all ended."""
    rule = _rule_of(repeats)
    outcome, message = _outcome(repeats, rule)
    try:
        metrics = list(_metrics(repeats, rule))
    except MetricProblem as problem:
        outcome, message, metrics = "failed", str(problem), []
    return {"outcome": outcome, "message": message, "metrics": metrics, "is_judged": False}


def _metrics(repeats: Sequence[TestResult], rule: Rule) -> Iterator[dict[str, Any]]:
    """Yield what a test has recorded by what its repeats have; it is judged with all of the run's."""
    for name in dict.fromkeys(name for one in repeats for name in one.metrics):
        found = [one.metrics[name] for one in repeats if name in one.metrics]
        record = reduced(name, found, rule.reduce)
        is_invalid = record["value"] is None or any(map(is_lost, found))
        yield record | {"verdict": INVALID if is_invalid else None}


def _rule_of(repeats: Sequence[TestResult]) -> Rule:
    """Return what this run says of them; an earlier one, some of whose results are kept, may have said otherwise."""
    known = sorted((one for one in repeats if one.repeat), key=lambda one: one.run is not None)
    return Rule.of(known[0].repeat) if known else Rule(len(repeats), len(repeats), "mean")


def _outcome(repeats: Sequence[TestResult], rule: Rule) -> tuple[str, str | None]:
    """Return the outcome of a test, and what is told of repeats that have not passed."""
    outcomes = [one.outcome for one in repeats]
    at_least = min(rule.at_least, len(repeats))
    if len(set(outcomes)) == 1 and outcomes[0] in ("skipped", "xfailed", "xpassed"):
        return outcomes[0], repeats[0].message
    passed = sum(outcome in GOOD or outcome == "xfailed" for outcome in outcomes)
    others = [one for one in repeats if one.outcome not in GOOD]
    if passed >= at_least:
        return "passed", None
    lines = [f"{passed} of {len(repeats)} repeats passed, {at_least} must"]
    lines += [f"#r{number_of(one.nodeid)} {one.outcome}: {one.message or one.outcome}" for one in others]
    bad = [outcome for outcome in ("failed", "crashed", "timeout", "error") if outcome in outcomes]
    return (bad or ["failed"])[0], "\n".join(lines)
