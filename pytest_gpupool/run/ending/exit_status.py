"""The exit status: no run is a success that is incomplete, or that keeps a failure of an earlier one. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ...records.folding.result import TestResult

_FAILED = frozenset({"failed", "error"})


def kept_failures(tests: Iterable[TestResult]) -> list[str]:
    """Return the ids of the tests whose results of an earlier run are kept, and are failures."""
    return [test.nodeid for test in tests if test.run is not None and test.outcome in _FAILED]


def judged(status: int, tests: Iterable[TestResult], *, broken: bool, is_empty_shard: bool = False) -> int:
    """Return the exit status of a run that pytest ends with ``status``, by the results of all that was collected.

    ``broken``: there was an error in some process that is no test's; ``is_empty_shard``: all tests are other shards'.
    """
    tests = list(tests)
    # All that there was had been deselected.
    all_kept = status == pytest.ExitCode.NO_TESTS_COLLECTED and (bool(tests) or is_empty_shard)
    if status == pytest.ExitCode.OK or all_kept:
        is_bad = bool(kept_failures(tests)) or any(not test.finished or _fails_by_verdict(test) for test in tests)
        status = pytest.ExitCode.TESTS_FAILED if is_bad else pytest.ExitCode.OK
    if status == pytest.ExitCode.OK and broken:
        return pytest.ExitCode.INTERNAL_ERROR
    return status


def _fails_by_verdict(test: TestResult) -> bool:
    return test.is_judged and test.outcome in _FAILED
