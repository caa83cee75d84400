"""One attempt at a test, as the record of its end has it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.worker.recording.attempts.attempt import Attempt
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
    attempt = Attempt()
    attempt.makes(call, called(error))
    for one in (report("setup"), call, report("teardown")):
        attempt.logs(one)
    assert ended(attempt).get("is_final", True) is is_final


def test_verdicts_on_a_test_that_failed_anyway_are_a_section_of_its_report() -> None:
    call = report("call", "failed", "AssertionError")
    Attempt(verdict_lines="time 2 s").makes(call, called(AssertionError()))
    assert call.sections == [("Verdicts", "time 2 s")]
    setup = report("setup")
    Attempt(verdict_lines="time 2 s").makes(setup, pytest.CallInfo.from_call(lambda: None, "setup"))
    assert not setup.sections


def logged(*reports: pytest.TestReport) -> Attempt:
    """An attempt of which these were logged."""
    attempt = Attempt()
    for one in reports:
        attempt.logs(one)
    return attempt


class TestWithoutASetUp:
    """An attempt without a report of its set-up has not passed."""

    def test_a_process_that_died(self) -> None:
        """As pytest-forked and xdist tell of it: in a phase of its own."""
        record = ended(logged(report("???", "failed", "CRASHED with signal 11")))
        assert (record["outcome"], record["message"]) == ("crashed", "CRASHED with signal 11")
        assert record["phases"] == {"setup_s": None, "call_s": None, "teardown_s": None}
        assert record["duration_s"] >= 0

    def test_one_that_was_expected(self) -> None:
        """Which is no crash."""
        died = report("???", "skipped", "it crashes")
        died.wasxfail = "it crashes"
        assert ended(logged(died))["outcome"] == "xfailed"

    def test_other_phases_alone(self) -> None:
        """It is an error, unless it failed."""
        record = ended(logged(report("call"), report("teardown")))
        assert record["outcome"] == "error"
        assert "set-up was reported by nobody" in record["message"]
        assert ended(logged(report("call", "failed", "no"), report("teardown")))["outcome"] == "failed"


class TestTimes:
    """How long a phase took is known by our clock."""

    def test_what_pytest_says_does_not_count(self) -> None:
        """A test may have replaced its clock."""
        attempt, call = Attempt(), report("call")
        call.duration = -1577836800.0
        attempt.enters("call")
        attempt.leaves("call")
        attempt.makes(call, pytest.CallInfo.from_call(lambda: None, "call"))
        for one in (report("setup"), call, report("teardown")):
            attempt.logs(one)
        assert ended(attempt)["phases"]["call_s"] >= 0

    @pytest.mark.parametrize("seconds", [-1577836800.0, 1e12, float("nan"), float("inf")])
    def test_a_time_that_cannot_be_is_none(self, seconds: float) -> None:
        """Where nothing else is known of the phase: as of a report that another plugin made."""
        call = report("call")
        call.duration = seconds
        assert ended(of(call))["phases"]["call_s"] == 0.0


def test_another_attempts_reports_are_not_its_own() -> None:
    """They may be logged when the next one has begun; a set-up of its own it may do without."""
    first = Attempt(serial=1)
    setup, call = report("setup"), report("call", "failed", "no")
    first.makes(setup, pytest.CallInfo.from_call(lambda: None, "setup"))
    first.makes(call, pytest.CallInfo.from_call(lambda: None, "call"))
    second = first.next(first.test, ())  # type: ignore[arg-type]
    assert not second.logs(call)
    assert not second.phases.are_logged
    assert first.closes()
    assert ended(first)["outcome"] == "failed"
    third = first.next(first.test, ())  # type: ignore[arg-type]
    assert third.logs(report("call")) is False
    assert third.logs(report("teardown"))
    assert ended(third)["outcome"] == "passed"
