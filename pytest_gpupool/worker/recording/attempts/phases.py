"""Phases: what pytest's reports say of one attempt at a test: set-up, call and tear-down."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ....foreign.pytest_names import failure_text
from ....values.outcomes import PHASES, outcome_of
from ....values.texts import MESSAGE_LIMIT, shortened

_MOST_SECONDS = 1e9  # some thirty years
_ALL = frozenset(PHASES)
_SOME = 500  # characters of its output that are kept of a test that passed


class Phases:
    """The reports of one attempt, as they come."""

    def __init__(self) -> None:
        self.took: dict[str, float] = {}
        """The seconds that a phase took, by our own clock."""
        self._by_phase: dict[str, list[pytest.TestReport]] = {}
        self._is_borrowed = False
        self._has_more_to_tell = False  # than that each phase has passed

    @property
    def are_logged(self) -> bool:
        """Whether there is a report of this attempt's own."""
        return bool(self._by_phase) and not self._is_borrowed

    def of_setup(self) -> Phases:
        """Return those of the set-up alone, for another try that may do without one."""
        found = Phases()
        if "setup" in self._by_phase:
            found._by_phase["setup"], found._is_borrowed = self._by_phase["setup"], True
            found.took = {phase: seconds for phase, seconds in self.took.items() if phase == "setup"}
        return found

    def add(self, report: pytest.TestReport) -> None:
        """Take one; there are several of a phase where there are subtests."""
        if self._is_borrowed and report.when == "setup":
            self._by_phase.clear()
        self._is_borrowed = False
        self._by_phase.setdefault(report.when or "", []).append(report)
        if report.outcome != "passed" or report.sections or hasattr(report, "wasxfail"):
            self._has_more_to_tell = True

    @property
    def _have_just_passed(self) -> bool:
        """Whether it is as short as can be: nothing is to be told of any phase, and none is missing."""
        return not self._has_more_to_tell and self._by_phase.keys() == _ALL

    def outcome(self) -> str:
        """Return what became of the attempt."""
        if self._have_just_passed:
            return "passed"
        worst = {phase: _worst(reports) for phase, reports in self._by_phase.items()}
        if "failed" in (outcome for phase, outcome in worst.items() if phase not in PHASES):
            return "crashed"  # as xdist and pytest-forked say that its process died
        return outcome_of(worst, xfail=any(hasattr(report, "wasxfail") for report in self._all()))

    def seconds(self) -> dict[str, float | None]:
        """Return how long each phase took, None for one that did not come."""
        return {f"{phase}_s": self._seconds(phase) if phase in self._by_phase else None for phase in PHASES}

    def _seconds(self, phase: str) -> float:
        # The last report of a phase is the whole phase's, others are of subtests. A test may replace pytest's clock.
        told = self.took.get(phase, self._by_phase[phase][-1].duration)
        return told if 0 <= told < _MOST_SECONDS else 0.0

    def message(self, more: str) -> str | None:
        """Return what is told of what went wrong, with ``more`` as its last line; None where nothing is."""
        if self._have_just_passed:
            return more or None
        texts = [text for text in map(_text, self._all()) if text]
        if "setup" not in self._by_phase and not texts:
            texts = ["its set-up was reported by nobody, so that nothing is known of it"]
        return "\n".join(filter(None, [shortened("\n".join(texts)), more])) or None

    def failed_by(self, mark: str) -> bool:
        """Say whether it failed, and each of its failures has that mark."""
        if self._have_just_passed:
            return False
        bad = [report for report in self._all() if report.outcome != "passed"]
        return bool(bad) and all(report.outcome == "failed" and hasattr(report, mark) for report in bad)

    def output(self) -> dict[str, str]:
        """Return what pytest captured: ``stdout``, ``stderr`` and ``log``, where there was any; the end of it."""
        if self._have_just_passed:
            return {}
        reports = self._all()
        last = reports[-1]  # which has that of the phases before, too
        if not last.sections:
            return {}
        most = _SOME if all(report.outcome == "passed" for report in reports) else MESSAGE_LIMIT
        texts = {"stdout": last.capstdout, "stderr": last.capstderr, "log": last.caplog}
        return {name: _end(text, most) for name, text in texts.items() if text}

    def _all(self) -> list[pytest.TestReport]:
        return [report for reports in self._by_phase.values() for report in reports]


def _worst(reports: Sequence[pytest.TestReport]) -> str:
    # pytest-rerunfailures calls a failure that it will try again "rerun".
    failed = any(report.outcome not in ("passed", "skipped") for report in reports)
    return "failed" if failed else reports[-1].outcome


def _text(report: pytest.TestReport) -> str:
    if report.outcome == "passed":
        return str(getattr(report, "wasxfail", ""))
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return str(getattr(report, "wasxfail", "")) or failure_text(report)


def _end(text: str, most: int) -> str:
    left_out = len(text) - most
    return shortened(text if left_out <= 0 else f"({left_out} characters left out) …{text[left_out:]}")
