"""What failed, as GitHub and GitLab take it: the worst first, at its line, nothing in it that is syntax."""

from __future__ import annotations

import json

from made_reports import a_metric, a_report, a_test

from pytest_gpupool.forges.annotations import MOST, failures, github, gitlab


def test_what_failed_has_its_line() -> None:
    """Tests before metrics; what is as it should be has none."""
    report = a_report(
        a_test("evals/test_a.py::test_fine", path="evals/test_a.py", line=3),
        a_test(
            "evals/test_a.py::test_worse[7-x]",
            path="evals/test_a.py",
            line=9,
            metrics=[a_metric("accuracy", 0.7, higher_is_better=True, baseline=0.9, change=-0.2, verdict="regressed")],
        ),
        a_test(
            "evals/test_b.py::test_broken",
            path="evals/test_b.py",
            line=12,
            outcome="failed",
            message="def test_broken():\n>   assert 1 == 2\nE   assert 1 == 2, 50%\n",
        ),
    )
    found = [*failures(report, "suite/")]
    assert [*github(found)] == [
        "::error file=suite/evals/test_b.py,line=12,title=test_broken%3A failed::assert 1 == 2, 50%25",
        "::error file=suite/evals/test_a.py,line=9,title=test_worse[7-x]%3A accuracy regressed"
        f"::{found[1].text.replace('%', '%25')}",
    ]
    assert found[1].text.startswith("accuracy 0.7 regressed: baseline 0.9")


def test_no_more_than_github_shows() -> None:
    """It drops others without a word."""
    tests = [a_test(f"test_a.py::test_{number}", outcome="failed", message="E   no") for number in range(MOST + 3)]
    lines = [*github([*failures(a_report(*tests))])]
    assert len(lines) == MOST + 1
    assert lines[-1] == "::notice title=gpupool::3 failures more: GitHub shows 10 of a step; the reports have all"


def test_names_are_no_commands() -> None:
    """A line's end would begin another command, a colon or a comma another property."""
    nodeid = "test_a.py::test_a[\r\n::error::x,y]"
    (line,) = github([*failures(a_report(a_test(nodeid, outcome="failed", message="E  a\x1b[31m::set-output")))])
    command, _, text = line.removeprefix("::").partition("::")
    assert command.count("::") == 0
    assert command == "error file=test_a.py,title=test_a[\\n%3A%3Aerror%3A%3Ax%2Cy]%3A failed"
    assert "\x1b" not in text


def test_gitlab_tells_them_apart() -> None:
    """By a fingerprint that is the same in the next run; it wants a line of each."""
    tests = [a_test(f"test_a.py::test_{number}", outcome="crashed", message="E   no") for number in range(3)]
    first, second = (gitlab([*failures(a_report(*tests))]) for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    assert len({one["fingerprint"] for one in first}) == 3
    assert first[0]["location"] == {"path": "test_a.py", "lines": {"begin": 1}}
    assert {one["severity"] for one in first} == {"major"}
