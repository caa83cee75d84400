"""Kept results: those of an earlier run in pytest's summary: counted in its last line, failures in the short one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from ...foreign.pytest_names import add_to_summary
from ...records.folding.result import TestResult
from .exit_status import kept_failures

_REPORTED: dict[str, Literal["passed", "skipped"]] = {
    "passed": "passed",
    "xpassed": "passed",
    "skipped": "skipped",
    "xfailed": "skipped",
}
"""What pytest's reports call outcomes; all others are failures."""


class KeptFailure(pytest.TestReport):
    """A test's report that is shown in the short summary, and not counted: it is one of those kept."""

    @property
    def count_towards_summary(self) -> bool:
        """By which pytest counts."""
        return False


def show(reporter: Any, tests: Sequence[TestResult]) -> None:
    """Add them, before pytest writes its short summary and its last line."""
    kept = {test.nodeid: test for test in tests if test.run is not None}
    if not kept:
        return
    # As reports, among which other plugins look for theirs.
    add_to_summary(reporter, "kept", [_report(test, pytest.TestReport) for test in kept.values()])
    if failed := [_report(kept[nodeid], KeptFailure) for nodeid in kept_failures(tests)]:
        add_to_summary(reporter, "failed", failed)
    # Without workers they were deselected in this process: they are counted once.
    if left := [item for item in reporter.stats.pop("deselected", ()) if item.nodeid not in kept]:
        reporter.stats["deselected"] = left


def _report(test: TestResult, kind: type[pytest.TestReport]) -> pytest.TestReport:
    path, _, name = test.nodeid.partition("::")
    return kind(
        nodeid=test.nodeid,
        location=(path, None, name.replace("::", ".")),
        keywords={},
        outcome=_REPORTED.get(test.outcome, "failed"),
        longrepr=f"kept from {test.run}: {test.message or test.outcome}",
        when="call",
    )
