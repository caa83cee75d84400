"""Attempt: one attempt at a test, from the moment that it begins until the report of its tear-down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ....processes.own import clock
from ..present import RunningTest
from ..verdict_failure import BY_VERDICT
from .judged_metrics import JudgedMetrics
from .phases import Phases

if TYPE_CHECKING:
    from .attempt_items import AttemptItems

_ATTRIBUTE = "gpupool_attempt"
"""Where a report carries what is known of its phase: pytest-forked has a child make it, whose parent logs it."""


WORTH_A_WORD = 0.001
"""The shortest wait, in seconds, that is on record."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """What is known of it so far.

    ``serial`` tells it from all others of this process, and is 0 before the first has begun. ``devices`` are the ids of
    those that it may use. ``by_assertion`` says whether its call failed by an assertion, which judges what was tested,
    or by another exception, which may be the machine's; None where it did not fail. ``cause`` is what that came of, see
    :data:`CAUSES`; where it is ``is_retried``, another worker tries the test again. ``number`` counts the attempts at
    the test here. ``waited`` is how many seconds it waited for the controller, ``shared`` how many went to what it
    shares with others: both are in none of its phases. ``verdict_lines`` are on bad verdicts of a test that has failed
    anyway. Once it ``is_over`` nothing is added. One that ``is_isolated`` has its phases in another process, whose
    ``torch_peak`` is the most bytes that torch has held there.
    """

    test: RunningTest | None = None
    serial: int = 0
    devices: Sequence[str] = ()
    metrics: JudgedMetrics = field(default_factory=JudgedMetrics)
    phases: Phases = field(default_factory=Phases)
    by_assertion: bool | None = None
    cause: str | None = None
    is_retried: bool = False
    number: int = 1
    verdict_lines: str = ""
    took_too_long: bool = False
    waited: float = 0.0
    shared: float = 0.0
    is_over: bool = False
    is_isolated: bool = False
    torch_peak: int | None = None
    tries: int = 1
    """How many attempts there have been with this one, those elsewhere included."""
    facts: dict[str, str] = field(default_factory=dict)
    """What it has said of itself."""
    folder: str | None = None
    """Where its files are, in the run's directory; None where it has none."""
    attachments: list[dict[str, Any]] = field(default_factory=list)
    """What it has attached so far."""
    items: AttemptItems | None = None
    """What it has said of single items, None where that is nothing."""
    problems: list[str] = field(default_factory=list)
    """What was wrong with metrics of its children, until the test has failed by it."""
    began: float = field(default_factory=clock.monotonic)
    _entered: dict[str, float] = field(default_factory=dict, init=False)
    _shared_before: float = field(default=0.0, init=False)
    _made: list[pytest.TestReport] = field(default_factory=list, init=False)

    def next(self, test: RunningTest, devices: Sequence[str]) -> Attempt:
        """Return the attempt that follows this one; of the same test, it may do without a set-up of its own."""
        following = Attempt(test=test, serial=self.serial + 1, devices=devices)
        if self.test is test:
            following.number = self.number + 1
            following.phases = self.phases.of_setup()
        return following

    @property
    def has_begun(self) -> bool:
        """Whether there is a record of its beginning."""
        return bool(self.serial) and self.test is not None

    def had(self, *phases: str) -> bool:
        """Say whether one of these has begun."""
        return any(phase in self._entered for phase in phases)

    def has_left(self, phase: str) -> bool:
        """Say whether this one is over: a report of it that is made earlier is of a part of the test."""
        return phase in self.phases.took

    def enters(self, phase: str) -> None:
        """A phase begins."""
        self._entered[phase] = clock.monotonic()
        self._shared_before = self.shared

    def leaves(self, phase: str) -> None:
        """A phase is over."""
        shared = self.shared - self._shared_before
        self.phases.took[phase] = max(0.0, clock.monotonic() - self._entered[phase] - shared)

    def shares(self, seconds: float) -> None:
        """Of the present phase so many seconds went to what others use as well."""
        if not self.is_over:
            self.shared += seconds

    def has_waited(self, seconds: float) -> None:
        """Its tear-down, which is over, waited so long for the controller."""
        self.waited += seconds
        if "teardown" in self.phases.took:
            self.phases.took["teardown"] = max(0.0, self.phases.took["teardown"] - seconds)

    def makes(self, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        """Have the report of a phase carry how that went, and say what the verdicts are. Called for each phase."""
        told: dict[str, Any] = {"serial": self.serial, "seconds": self.phases.took.get(report.when or "")}
        # By now call has that of a unittest.TestCase, too; of a call that was repeated (pytest-retry) it is the first.
        if call.when == "call" and call.excinfo is not None and report.outcome != "passed":
            told["by_assertion"] = call.excinfo.errisinstance((AssertionError, pytest.fail.Exception))
            if self.verdict_lines:
                report.sections.append(("Verdicts", self.verdict_lines))
        if report.failed and call.excinfo is not None and self.cause is None:
            told["cause"] = _cause_of(call.excinfo.value)
        self.cause = told.get("cause", self.cause)
        setattr(report, _ATTRIBUTE, told)
        self._made.append(report)

    def logs(self, report: pytest.TestReport) -> bool:
        """Take a report that goes to pytest's plugins; return whether it is this attempt's, and closes it.

        When it is over, wider fixtures may be torn down yet, and what goes wrong there is its error.
        """
        told = vars(report).pop(_ATTRIBUTE, {})
        is_late = self.is_over and not (told and report.when == "teardown" and report.failed)
        if is_late or told.get("serial", self.serial) != self.serial:
            return False
        self._take(report, told)
        return report.when not in ("setup", "call")

    def closes(self) -> bool:
        """Nothing more comes: do with the reports that were made where none was logged. Return whether any is there."""
        if not self.phases.are_logged:
            for report in self._made:
                self._take(report, vars(report).get(_ATTRIBUTE, {}))
        return self.phases.are_logged

    def _take(self, report: pytest.TestReport, told: Mapping[str, Any]) -> None:
        self.phases.add(report)
        if told.get("seconds") is not None and report.when is not None:
            self.phases.took[report.when] = told["seconds"]
        self.by_assertion = told.get("by_assertion", self.by_assertion)
        self.cause = told.get("cause", self.cause)

    def to_record(self, *, ended: str, last_words: str, torch_peak: int | None) -> dict[str, Any]:
        """Return the record of its end, but for its kind and its test; ``last_words`` close its message."""
        seconds = self.phases.seconds()
        by_verdict = not self.took_too_long and self.phases.failed_by(BY_VERDICT)
        took = sum(value for value in seconds.values() if value is not None)
        outcome = "timeout" if self.took_too_long else self.phases.outcome()
        is_whole = seconds["setup_s"] is not None and outcome != "crashed"  # nobody has timed what it crashed in
        return {
            "outcome": outcome,
            "phases": seconds,
            "duration_s": took if is_whole else clock.monotonic() - self.began - self.shared,
            "ended": ended,
            **({"waited_s": self.waited} if self.waited >= WORTH_A_WORD else {}),
            "message": self.phases.message("\n".join(filter(None, [self.verdict_lines, last_words]))),
            **({} if torch_peak is None else {"torch_peak": torch_peak}),
            **self.metrics.to_record(),
            **({"is_judged": True} if by_verdict else {}),
            **({"output": output} if (output := self.phases.output()) else {}),
            **({"is_final": False} if self.by_assertion is False else {}),
            **({} if self.cause is None else {"cause": self.cause}),
        }


def _cause_of(error: BaseException) -> str | None:
    from ....devices import failures  # there is none in most runs

    return failures.cause_of(error, (AssertionError, pytest.fail.Exception))
