"""Sticky error: an error after which a process can use its GPU no more, so that it can run no more tests."""

from __future__ import annotations

import pytest

from ...foreign.pytest_names import failure_text
from .writer import SINGLE_PROCESS


class StickyError:
    """Whether this process has met such an error."""

    def __init__(self) -> None:
        self.why: str | None = None
        """The error, None while this process can run tests."""
        self._told = False

    def look_at(self, report: pytest.TestReport) -> None:
        """See whether a report tells of the first such error. An expected failure is among the skipped."""
        if report.outcome != "passed" and self.why is None:
            from ...devices import vendors  # there already where the pool is on

            self.why = vendors.sticky_error(failure_text(report))

    @property
    def clause(self) -> str | None:
        """Why this process can run no more tests, as a clause; None while it can."""
        return None if self.why is None else f"its process can use its GPU no more: {self.why}"

    def last_words(self, session: pytest.Session, worker: str) -> str:
        """Return what the message of the test that met it says of that; empty for other tests.

        Where there is no worker to be replaced, pytest is told to end.
        """
        if self.why is None or self._told:
            return ""
        self._told = True
        text = f"gpupool: after an error of this kind ({self.why}) a process can use its GPU no more"
        if worker != SINGLE_PROCESS:
            return f"{text}; {worker} ran no more tests"
        session.shouldfail = f"{text}; with -n the worker is replaced and the run goes on"
        return text
