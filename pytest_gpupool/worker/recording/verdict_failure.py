"""Verdict failure: how the verdict on a metric fails a test, and how such a failure is known later."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ...foreign.pytest_names import Failed
from .attempts.judged_metrics import JudgedMetrics

BY_VERDICT = "gpupool_by_verdict"
"""What marks a report of a failure that is none but for a verdict."""


class Verdict(Failed):
    """A test fails by the verdict on a metric."""

    __module__ = "builtins"  # as pytest's own: its summary shows the bare name before the message


def sentences(metrics: JudgedMetrics, fail_on: frozenset[str]) -> list[str]:
    """Return a sentence for each metric whose verdict fails the test, once for each."""
    from ...verdicts.verdict import sentence  # most tests record nothing that is wrong by itself

    return [sentence(metric) for metric in metrics.failing(fail_on)]


def fail_by(bad: Sequence[str]) -> None:
    """Fail the running test where there is a bad verdict; ``bad`` are their :func:`sentences`."""
    if bad:
        raise Verdict("\n".join(bad), pytrace=False)


def unmark(report: pytest.TestReport) -> None:
    """Take the mark of :func:`mark` from a report of a phase that failed for another reason as well."""
    if hasattr(report, BY_VERDICT):
        delattr(report, BY_VERDICT)


def mark(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Mark the report of a phase that failed by :func:`fail_by`."""
    if call.excinfo is not None and call.excinfo.errisinstance(Verdict):
        setattr(report, BY_VERDICT, True)


def fail_phase(report: pytest.TestReport, item: pytest.Item, text: str) -> None:
    """Make it the report of a failure, or add to the failure that it is."""
    unmark(report)
    if report.failed:
        add = getattr(report.longrepr, "addsection", None)
        if add is not None:
            add("gpupool", text)
        else:
            report.longrepr = f"{report.longrepr}\n{text}"
        return

    def fail() -> None:
        pytest.fail(text, pytrace=False)

    when = report.when
    assert when in ("setup", "call", "teardown")
    made = pytest.TestReport.from_item_and_call(item, pytest.CallInfo.from_call(fail, when))
    report.outcome, report.longrepr = "failed", made.longrepr
    if hasattr(report, "wasxfail"):
        del report.wasxfail
