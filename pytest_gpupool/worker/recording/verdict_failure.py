"""Verdict failure: how the verdict on a metric fails a test, and how such a failure is known later."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from _pytest.outcomes import Failed

BY_VERDICT = "gpupool_by_verdict"
"""What marks a report of a failure that is none but for a verdict."""


class Verdict(Failed):
    """A test fails by the verdict on a metric."""

    __module__ = "builtins"  # as pytest's own: its summary shows the bare name before the message


def fail_by(sentences: Sequence[str]) -> None:
    """Fail the running test where there is a bad verdict; each has its sentence."""
    if sentences:
        raise Verdict("\n".join(sentences), pytrace=False)


def mark(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Mark the report of a phase that failed by :func:`fail_by`."""
    if call.excinfo is not None and call.excinfo.errisinstance(Verdict):
        setattr(report, BY_VERDICT, True)
