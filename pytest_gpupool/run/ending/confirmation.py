"""Confirmation: a test that has ended, of which a metric seems to be worse, is measured again before that is decided.

Whoever gives out tests asks when one has ended. Pytest, which has counted the test by then, hears nothing of what only
measures it again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from ...foreign.pytest_names import junit_log, leave_out
from ...records.folding.result import TestResult
from ...values.outcomes import GOOD
from ...values.repeats import REPEAT, test_of
from ...values.texts import duration_text
from ...worker.items.confirming import CONFIRMS
from ..controller import Controller

_key: pytest.StashKey[Confirmation] = pytest.StashKey()


class Confirmation:
    """A plugin of the controller."""

    def __init__(self, controller: Controller) -> None:
        self._run = controller
        self._told: set[tuple[str, str]] = set()

    def register(self) -> None:
        """Be pytest's plugin, and be found by :meth:`of`."""
        self._run.config.stash[_key] = self
        self._run.config.pluginmanager.register(self, "gpupool-confirmation")

    @staticmethod
    def of(config: pytest.Config) -> Confirmation:
        """Return the run's."""
        return config.stash[_key]

    def attempts_so_far(self, nodeid: str, worker: str) -> int | None:
        """A test has ended: return how many attempts at it there were, None where it is not to be measured again."""
        test = self._run.records.results.get(nodeid, worker)
        if test is None or not test.metrics or not self._may_be_asked(test):
            return None
        suspects = self._suspects(test)
        if suspects or test.suspects:
            self._run.records.write("suspect", worker=worker, test=nodeid, metrics=suspects)
        for name in suspects:
            if (nodeid, name) not in self._told:
                self._told.add((nodeid, name))
                self._run.console.tell(f"{name} of {nodeid} is suspect: it is measured again")
        return max(1, test.attempt) + len(test.again) if suspects else None

    def lines(self) -> Iterator[str]:
        """Yield what the summary says of it: what was measured again, how long that took, and what came of it."""
        tests = [test for test in self._run.records.results.tests if test.again]
        if not tests:
            return
        times = sum(len(test.again) for test in tests)
        seconds = sum(one.duration or 0.0 for test in tests for one in test.again)
        metrics = [
            metric for test in tests for metric in test.metrics.values() if (test.nodeid, metric["name"]) in self._told
        ]
        bad = sum(metric["verdict"] == "regressed" for metric in metrics)
        yield (
            f"{_count(len(metrics), 'suspect metric')} of {_count(len(tests), 'test')} measured again, "
            f"{_count(times, 'time')}, {duration_text(seconds)} in all: {bad} regressed"
        )

    def _may_be_asked(self, test: TestResult) -> bool:
        results = self._run.records.results
        # The repeats of a test are measurements enough; of a test that has failed, one is.
        return (
            self._run.options.confirm > 0
            and self._run.baseline.decides
            and not results.each
            and test_of(test.nodeid) is None
            and test.outcome in GOOD
            and test.run is None
        )

    def _suspects(self, test: TestResult) -> list[str]:
        if len(test.again) >= self._run.options.confirm or any(one.outcome not in GOOD for one in test.again):
            return []
        return self._run.baseline.suspects(test)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        """Hide the report of what only measures again from all who count."""
        if not hasattr(report, CONFIRMS):
            return (yield)
        if hasattr(report, "node"):  # else pytest, in this process, goes by the set-up's
            report.outcome = REPEAT  # type: ignore[assignment]
        log = junit_log(self._run.config)
        if log is not None:
            leave_out(log, report, is_last=False)
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show nothing of it, but in a list of all tests."""
        if not hasattr(report, CONFIRMS):
            return None
        return ("", "", "MEASURED AGAIN" if report.when == "call" else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
