"""One attempt at a test, as the record of its end has it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.worker.recording.attempt import Attempt
from pytest_gpupool.worker.recording.verdict_failure import BY_VERDICT


def report(when: Any, outcome: Any = "passed", text: str | None = None) -> pytest.TestReport:
    """The report of a phase, which took a quarter of a second."""
    return pytest.TestReport("test_a.py::test_a", ("", None, ""), {}, outcome, text, when, duration=0.25)


def ended(attempt: Attempt, *, last_words: str = "") -> dict[str, Any]:
    """The record of its end."""
    return attempt.to_record(ended="2026-11-21T10:00:00Z", last_words=last_words, torch_peak=None)


def of(call: pytest.TestReport, **fields: Any) -> Attempt:
    """An attempt with that call, whose other phases passed."""
    attempt = Attempt(**fields)
    for one in (report("setup"), call, report("teardown")):
        attempt.phases.add(one)
    return attempt


def called(error: BaseException) -> Any:
    """How pytest tells of a call that ended with this error."""

    def fail() -> None:
        raise error

    return pytest.CallInfo.from_call(fail, "call")


def test_one_that_passed_has_no_more_than_its_times() -> None:
    phases = {"setup_s": 0.25, "call_s": 0.25, "teardown_s": 0.25}
    assert ended(of(report("call"))) == {
        "outcome": "passed",
        "phases": phases,
        "duration_s": 0.75,
        "ended": "2026-11-21T10:00:00Z",
        "message": None,
    }


def test_the_message_has_the_failure_then_the_verdicts_then_the_last_words() -> None:
    record = ended(of(report("call", "failed", "it broke"), verdict_lines="time 2 s"), last_words="no more tests")
    assert record["message"] == "it broke\ntime 2 s\nno more tests"


def test_one_that_took_too_long_is_a_timeout_whatever_else_it_is() -> None:
    call = report("call", "failed", "Verdict")
    setattr(call, BY_VERDICT, True)
    record = ended(of(call, took_too_long=True))
    assert record["outcome"] == "timeout"
    assert "is_judged" not in record


def test_a_failure_by_a_verdict_alone_is_marked() -> None:
    call = report("call", "failed", "Verdict")
    setattr(call, BY_VERDICT, True)
    assert ended(of(call))["is_judged"]
    assert "is_judged" not in ended(of(report("call", "failed", "AssertionError")))


@pytest.mark.parametrize(("error", "is_final"), [(AssertionError("a"), True), (OSError("no space"), False)])
def test_an_assertion_judges_the_test_another_error_may_be_the_machines(error: Exception, is_final: bool) -> None:
    call = report("call", "failed", str(error))
    attempt = of(call)
    attempt.see_call(call, called(error))
    assert ended(attempt).get("is_final", True) is is_final


def test_verdicts_on_a_test_that_failed_anyway_are_a_section_of_its_report() -> None:
    call = report("call", "failed", "AssertionError")
    Attempt(verdict_lines="time 2 s").see_call(call, called(AssertionError()))
    assert call.sections == [("Verdicts", "time 2 s")]
    setup = report("setup")
    Attempt(verdict_lines="time 2 s").see_call(setup, pytest.CallInfo.from_call(lambda: None, "setup"))
    assert not setup.sections
