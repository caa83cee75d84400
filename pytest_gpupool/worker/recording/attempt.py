"""Attempt: one attempt at a test, from the moment that it begins until the report of its tear-down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from .judged_metrics import JudgedMetrics
from .phases import Phases
from .verdict_failure import BY_VERDICT


@dataclass(slots=True, kw_only=True)
class Attempt:
    """What is known of it so far.

    ``devices`` are the ids of those that it may use. ``by_assertion`` says whether its call failed by an assertion,
    which judges what was tested, or by another exception, which may be the machine's; None where it did not fail.
    ``verdict_lines`` are on bad verdicts of a test that has failed anyway.
    """

    devices: Sequence[str] = ()
    metrics: JudgedMetrics = field(default_factory=JudgedMetrics)
    phases: Phases = field(default_factory=Phases)
    by_assertion: bool | None = None
    verdict_lines: str = ""
    took_too_long: bool = False

    def see_call(self, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        """Know how the call failed, and have its report say what the verdicts are. Called for each phase's report."""
        if call.when != "call" or call.excinfo is None:  # by now also that of a unittest.TestCase
            return
        self.by_assertion = call.excinfo.errisinstance((AssertionError, pytest.fail.Exception))
        if self.verdict_lines:
            report.sections.append(("Verdicts", self.verdict_lines))

    def to_record(self, *, ended: str, last_words: str, torch_peak: int | None) -> dict[str, Any]:
        """Return the record of its end, but for its kind and its test; ``last_words`` close its message."""
        seconds = self.phases.seconds()
        by_verdict = not self.took_too_long and self.phases.failed_by(BY_VERDICT)
        return {
            "outcome": "timeout" if self.took_too_long else self.phases.outcome(),
            "phases": seconds,
            "duration_s": sum(value for value in seconds.values() if value is not None),
            "ended": ended,
            "message": self.phases.message("\n".join(filter(None, [self.verdict_lines, last_words]))),
            **({} if torch_peak is None else {"torch_peak": torch_peak}),
            **self.metrics.to_record(),
            **({"is_judged": True} if by_verdict else {}),
            **({"output": output} if (output := self.phases.output()) else {}),
            **({"is_final": False} if self.by_assertion is False else {}),
        }
