"""Retries: which failures of this process's tests are not their last ones, since another worker tries them again.

Such a report says "rerun" in place of "failed", as those of pytest-rerunfailures do: neither this process nor the
controller counts it, and no other plugin tries the test again.
"""

from __future__ import annotations

from collections.abc import Collection

import pytest

from ...values.outcomes import RERUN
from .attempts.attempt import Attempt

CAUSE = "gpupool_cause"
"""Where such a report says of what its test failed."""

_AFTER = {"out-of-memory": "ran out of memory there", "machine": "met a device there that has failed"}


class Retries:
    """What is tried again: tests that fail of one of these ``causes``, none where nobody else can run them."""

    def __init__(self, causes: Collection[str] = ()) -> None:
        self._causes = causes
        self._spent: dict[str, Collection[str]] = {}

    def are_spent(self, nodeid: str, causes: Collection[str]) -> None:
        """A test was tried again as often as it is to be for these causes."""
        self._spent[nodeid] = causes

    def look_at(self, report: pytest.TestReport, attempt: Attempt) -> str | None:
        """See whether the report of a failure is not the last one; return why this process is to end then, else None.

        What another plugin has begun to repeat here, that one sees to. Once the call has passed nothing is repeated.
        """
        if not report.failed:
            return None
        if attempt.is_retried:  # its tear-down suffers from the same
            report.outcome = RERUN  # type: ignore[assignment]
            return None
        if not self._may_retry(report, attempt):
            return None
        attempt.is_retried = True
        report.outcome = RERUN  # type: ignore[assignment]
        setattr(report, CAUSE, attempt.cause)
        return f"it {_AFTER[attempt.cause or '']}, and another one tries it again"

    def _may_retry(self, report: pytest.TestReport, attempt: Attempt) -> bool:
        if attempt.test is None or attempt.cause is None or attempt.cause not in self._causes:
            return False
        session = attempt.test.item.session
        return (
            report.when in ("setup", "call")
            and attempt.has_left(report.when)
            and attempt.number == 1
            and attempt.cause not in self._spent.get(attempt.test.nodeid, ())
            and not (session.shouldfail or session.shouldstop)
        )
