"""The text of a pull request's comment: one fact first, nothing that is syntax, no more than a forge takes."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from made_reports import Report, a_metric, a_report, a_test, any_text

from pytest_gpupool.cli.main import main
from pytest_gpupool.forges import comment, safe
from pytest_gpupool.verdicts.compare import compare
from pytest_gpupool.verdicts.decide import Policy

POLICY = Policy(error=0.01, rtol=0.01)


def body(old: Report, new: Report, most: int = 65_536, **changes: Any) -> str:
    """The comment on two reports."""
    told = {"key": "gpupool", "title": "", "sides": "A beside B.", **changes}
    return comment.body(compare(old, new, POLICY), new, most=most, **told)


def suite(*changes: tuple[int, float], count: int = 24) -> Report:
    """A report of so many tests with an accuracy of 0.9 each; ``changes`` are of some tests, by number."""
    values = dict.fromkeys(range(count), 0.9) | dict(changes)
    models = ("small", "medium", "large")
    return a_report(
        *(
            a_test(
                f"evals/test_qa.py::test_qa[{number}-{models[number % 3]}]",
                params={"case": number, "model": models[number % 3]},
                metrics=[a_metric("accuracy", value, higher_is_better=True)],
            )
            for number, value in values.items()
        )
    )


def test_the_first_line_is_the_one_fact() -> None:
    """After the marker, which nobody sees: what the failures have in common."""
    text = body(suite(), suite(*((number, 0.7) for number in range(1, 24, 3))))
    lines = text.splitlines()
    assert lines[0] == "<!-- gpupool-comment gpupool -->"
    assert lines[2] == "**8 of 24 metrics regressed, all with model=medium.**"
    assert lines[4] == "24 metrics: 8 regressed, 16 ok; durations: 36.00 s → 36.00 s (0%)."
    assert lines[6] == "```text"
    assert lines[7].split() == ["VERDICT", "TEST", "METRIC", "A", "B", "CHANGE", "ALLOWED", "NOTE"]
    assert lines[8].startswith("REGRESSED  evals/test_qa.py::test_qa[1-medium]")


@pytest.mark.parametrize(
    ("old", "new", "fact"),
    [
        (suite(), suite(), "Nothing regressed: 24 metrics compared"),
        (suite(), suite((3, 0.95)), "Nothing regressed: 24 metrics compared, 1 improved"),
        (suite(), suite((3, 0.45)), "1 of 24 metrics regressed: `test_qa[3-small]` accuracy (-50.0%)"),
        (
            a_report(a_test()),
            a_report(a_test(outcome="failed", message="no")),
            "1 test no longer good: `test_a` is failed, was passed",
        ),
        (a_report(a_test()), a_report(a_test()), "Nothing to compare: no metric is in both"),
        (
            a_report(a_test(metrics=[a_metric()])),
            a_report(a_test()),
            "1 of 1 metric is gone: `test_a` accuracy",
        ),
        (
            a_report(a_test(metrics=[a_metric()])),
            a_report(a_test(metrics=[a_metric(value=None)])),
            "1 of 1 metric is invalid: `test_a` accuracy",
        ),
    ],
)
def test_there_is_always_a_fact(old: Report, new: Report, fact: str) -> None:
    """Also where nothing is shared, or nothing is wrong."""
    assert f"**{fact}.**" in body(old, new).splitlines()


def test_an_incomplete_run_is_said_to_be_one() -> None:
    """Before anything else but the fact."""
    new = a_report(a_test(), a_test("t.py::test_b", "not-run"))
    assert body(a_report(a_test()), new).splitlines()[4] == "INCOMPLETE: 1 of 2 collected tests without a result."


def test_what_fails_says_why() -> None:
    """The line of the message that says most, and what other suites there are."""
    message = "def test_a():\n>   assert 1 == 2\nE   assert 1 == 2"
    text = body(a_report(a_test()), a_report(a_test(outcome="failed", message=message)), title="nightly", key="nightly")
    assert "FAILED   tests/test_a.py::test_a  passed  assert 1 == 2" in text.splitlines()
    assert "**nightly: 1 test no longer good" in text


FENCE = re.compile(r"^(`{3,})text$")
PROSE = re.compile(r"[\w\s.,:;()+–→%=/-]*", re.ASCII)


def outside(text: str) -> str:
    """What a forge looks at: a comment without its fenced blocks and code, by the rules of CommonMark."""
    shown, fence = [], ""
    for line in text.split("\n"):
        if fence:
            fence = "" if re.fullmatch(f"{fence}`*", line.strip()) else fence
        elif match := FENCE.match(line):
            fence = match[1]
        else:
            shown.append(line)
    assert not fence
    return re.sub(r"(?<!`)(`+)(?!`)(?:.|\n)*?(?<!`)\1(?!`)", "CODE", "\n".join(shown))


OURS = ("<!-- gpupool-comment gpupool -->", "<details><summary>", "</summary>", "</details>", "**")


def assert_harmless(text: str) -> None:
    """There is nothing but our own syntax in a comment."""
    rest = outside(text)
    for own in OURS:
        rest = rest.replace(own, "")
    assert PROSE.fullmatch(rest), re.sub(PROSE, "", rest)
    assert not re.search(r"www\.|://|\bgh-\d", rest, re.IGNORECASE)
    assert not re.search(r"^\s*/", outside(text), re.MULTILINE)


@given(any_text, any_text, any_text)
def test_names_and_messages_are_only_text(name: str, metric: str, message: str) -> None:
    """Whatever they hold: no HTML, mention, link, quick action or end of a block is made of them."""
    clean = json.loads(json.dumps([name, metric, message]))
    old = [
        a_test("t.py::test_a"),
        a_test("t.py::test_b", metrics=[a_metric(clean[1] or "m")]),
        a_test(f"g[{clean[0]}]"),
    ]
    new = [
        a_test("t.py::test_a", "failed", message=f"E  {clean[2]}"),
        a_test("t.py::test_b", metrics=[a_metric(clean[1] or "m", 0.1)]),
        a_test(f"t.py::test_c[{clean[0]}]"),
    ]
    assert_harmless(body(a_report(*old), a_report(*new)))


@pytest.mark.parametrize(
    "word",
    [
        *("@everyone", "#1", "/close", "!1", "$1", "%1", "&1", "~bug", ":tada:", "GH-12", "http://x.example"),
        *("www.x.example", "<b>", "a@b.example", "`", "``x", "**x**", "_x_", "[x](y)", "&amp;", "user/repo#1"),
        *("\\", "|", "1%2", "<!--", "-->"),
    ],
)
def test_words_of_a_forge_are_code(word: str) -> None:
    """A sentence with such a word has it between backticks; everything else stays as it is."""
    text = safe.prose(f"Tests such as {word}, and more.")
    assert text.startswith("Tests such as `")
    assert text.endswith(" and more.")
    assert outside(text).replace("CODE", "").strip(",") != text
    assert_harmless(text)


def test_most_names_stay_readable() -> None:
    """Numbers, parameters, percentages and times are no code."""
    text = "8 of 24 metrics regressed (-11.1%), all of accuracy with model=medium, lr=1e-3; 3.20 s → 3.40 s (+6%)"
    assert safe.prose(text) == text


def test_it_is_as_long_as_a_forge_takes() -> None:
    """Rows are left out, and their number is told; characters beyond Unicode's first plane count twice."""
    old, new = suite(count=120), suite(*((number, 0.1) for number in range(120)), count=120)
    for number, test in enumerate(new["tests"]):
        old["tests"][number]["nodeid"] = test["nodeid"] = f"evals/test_{'🚀' * 60}.py::test_{number}"
    found = compare(old, new, POLICY)
    assert comment.length("🚀") == 2
    for most in (400, 1_000, 5_000, 65_536):
        text = comment.body(found, new, key="gpupool", title="", sides="A beside B.", most=most)
        assert comment.length(text) <= most
        assert text.startswith(comment.marker("gpupool"))
        if most >= 1000:
            left = re.search(r"^… and (\d+) more$|^(\d+) more, for", text, re.MULTILINE)
            assert left is not None
            assert int(left[1] or left[2]) + text.count("\nREGRESSED") == 120
            assert_harmless(text.replace("…", ""))


def test_the_program_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the metrics are, the exit status is 0; several suites have markers of their own."""
    old, new = tmp_path / "main.json", tmp_path / "new.json"
    old.write_text(json.dumps(suite()))
    new.write_text(json.dumps(suite((1, 0.1))))
    assert main(["comment", str(new), "--against", str(old), "--marker", "nightly-h200"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("<!-- gpupool-comment nightly-h200 -->\n\n**nightly-h200: 1 of 24 metrics regressed: ")
    last = "Run run-2 of 2026-11-21 11:46, commit 0123abcd (dirty) beside run run-2 of 2026-11-21 11:46"
    assert text.splitlines()[-1].startswith(last)
    assert main(["comment", str(new), "--against", str(old), "--marker", "x--><b>"]) == 4
    assert "give up to 64 letters, digits, dots and single dashes" in capsys.readouterr().err


def test_a_report_beside_itself() -> None:
    """Nothing has changed, and the comment is short."""
    report = suite()
    text = body(report, copy.deepcopy(report))
    assert "```" not in text
    assert len(text) < 400
