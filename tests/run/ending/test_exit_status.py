"""No run is a success that is incomplete, or keeps a failure of an earlier one."""

from __future__ import annotations

import pytest

from pytest_gpupool.records.folding.result import TestResult
from pytest_gpupool.run.ending.exit_status import judged, kept_failures

OK, FAILED, INTERRUPTED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED
INTERNAL, NONE = pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED

PASSED = TestResult(nodeid="passed", outcome="passed")
FELL = TestResult(nodeid="failed", outcome="failed")
JUDGED = TestResult(nodeid="judged", outcome="failed", is_judged=True)
NOT_RUN = TestResult(nodeid="not run")
KEPT = TestResult(nodeid="kept", outcome="passed", run="earlier")
KEPT_FAILURE = TestResult(nodeid="kept failure", outcome="failed", run="earlier")
KEPT_ERROR = TestResult(nodeid="kept error", outcome="error", run="earlier")

TABLE = {
    "all well": (OK, [PASSED, KEPT], False, OK),
    "nothing was collected": (NONE, [], False, NONE),
    "a verdict that pytest has not heard of": (OK, [PASSED, JUDGED], False, FAILED),
    "all is kept": (NONE, [KEPT], False, OK),
    "all is kept, and some of it failed": (NONE, [KEPT, KEPT_FAILURE], False, FAILED),
    "a kept failure": (OK, [PASSED, KEPT_FAILURE], False, FAILED),
    "a kept error": (OK, [PASSED, KEPT_ERROR], False, FAILED),
    "a test without a result": (OK, [PASSED, NOT_RUN], False, FAILED),
    "an error that is no test's": (OK, [PASSED], True, INTERNAL),
    "such an error where tests failed anyway": (FAILED, [FELL], True, FAILED),
    "incomplete, and such an error": (OK, [NOT_RUN], True, FAILED),
    "interrupted": (INTERRUPTED, [NOT_RUN], False, INTERRUPTED),
    "a status of ours": (77, [NOT_RUN, KEPT_FAILURE], True, 77),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_exit_status(case: str) -> None:
    status, tests, broken, expected = TABLE[case]
    assert judged(status, tests, broken=broken) == expected


def test_failures_of_this_run_are_none_that_were_kept() -> None:
    assert kept_failures([PASSED, FELL, KEPT, KEPT_FAILURE, NOT_RUN, KEPT_ERROR]) == ["kept failure", "kept error"]
