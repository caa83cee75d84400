"""The Markdown summary: what a CI job's page shows, whatever tests are called, and however many there are."""

from __future__ import annotations

import os
import re
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_reports import UUIDS, a_metric, a_report, a_test, any_text

from pytest_gpupool.reports.markdown import append, render, room
from pytest_gpupool.reports.words import headline
from pytest_gpupool.values.outcomes import OUTCOMES
from pytest_gpupool.values.texts import visible

COLUMNS = {6, 7}
"""Of the tables of tests and of metrics."""

HEADS = ("| Outcome |", "| Verdict |", "| --- |")
"""How the first two lines of a table begin."""


class Tags(HTMLParser):
    """The tags of a text, in order, and the text within each outermost <pre>."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.messages: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag if not attrs else f"{tag} {attrs}")
        if tag == "pre":
            self.messages.append("")

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1] == "pre":
            self.messages[-1] += data

    def handle_comment(self, data: str) -> None:
        self.found.append("a comment")

    def handle_decl(self, decl: str) -> None:
        self.found.append("a declaration")


def table(text: str, title: str) -> list[list[str]]:
    """The cells of a table's rows, as a reader sees them, those that are folded last."""
    lines = text.partition(f"### {title}\n")[2].split("\n### ")[0].splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith(HEADS)]
    return [[seen(cell) for cell in line.strip("|").split("|")] for line in rows]


def seen(cell: str) -> str:
    return unescape(re.sub("<.*?>", "", cell)).strip()


def names(text: str) -> list[str]:
    """Of the table of tests."""
    return [row[1] for row in table(text, "Tests")]


class TestSummary:
    """What stands where."""

    def test_the_title_counts(self) -> None:
        """By outcome, the worst first, and whether the run is complete."""
        tests = [a_test(outcome=outcome) for outcome in ("passed", "skipped", "passed", "crashed", "failed", "xfailed")]
        first, second = render(a_report(*tests)).split("\n\n")[:2]
        assert first == "## gpupool: 1 failed, 1 crashed, 2 passed, 1 skipped, 1 xfailed, complete"
        assert second.startswith("Complete: 6 collected tests, each with a result. Exit status 1, 12.25 s. ")

    def test_an_incomplete_run_says_so_first(self) -> None:
        """In capitals, with the number of tests without a result."""
        first, second = render(a_report(a_test(), a_test(outcome="not-run"))).split("\n\n")[:2]
        assert first == "## gpupool: 1 not-run, 1 passed, INCOMPLETE"
        assert second.startswith("INCOMPLETE: 1 of 2 collected tests without a result. ")

    def test_a_run_without_tests(self) -> None:
        """It has no table."""
        text = render(a_report(exit_status=5))
        assert text.startswith("## gpupool: no tests\n\nNo tests were collected. Exit status 5,")
        assert "|" not in text

    def test_a_run_that_was_killed(self) -> None:
        """It has no exit status."""
        text = render(a_report(a_test()) | {"run": a_report(a_test())["run"] | {"exit_status": None}})
        assert "Exit status unknown (the run was killed, or goes on), 12.25 s." in text

    def test_how_well_the_devices_were_used(self) -> None:
        """Makespan, speedup and efficiency, where they are known."""
        report = a_report(a_test())
        assert "Makespan" not in render(report)
        report["summary"] |= {"makespan_s": 600.0, "speedup": 1.5, "efficiency": 0.75}
        assert "Makespan 10 min, speedup 1.50, efficiency 75%." in render(report)

    def test_the_worst_come_first(self) -> None:
        """By outcome, then those with metrics that are wrong, otherwise as they were collected."""
        outcomes = ("passed", "not-run", "timeout", "skipped", "crashed", "error", "failed", "passed")
        tests = [a_test(f"a.py::{n}-{outcome}", outcome) for n, outcome in enumerate(outcomes)]
        tests.append(a_test("a.py::8-worse", metrics=[a_metric(baseline=0.75, change=-0.25, verdict="regressed")]))
        order = ["6-failed", "5-error", "4-crashed", "2-timeout", "1-not-run", "8-worse", "0-passed", "3-skipped"]
        assert names(render(a_report(*tests))) == [f"a.py::{name}" for name in [*order, "7-passed"]]

    def test_a_row_of_a_test(self) -> None:
        """Outcome, id, worker, devices as people call them, duration, and what is to be said of it."""
        tests = [
            a_test(outcome="error", message="line 1\nE   Error: a|b\n", attempt=2, devices=[*UUIDS, "GPU-of-old"]),
            a_test("b.py::b", run="run-1", devices=[], duration_s=300.0),
            a_test("c.py::c", "not-run"),
        ]
        assert table(render(a_report(*tests)), "Tests") == [
            ["error", "tests/test_a.py::test_a", "gw0", "GPU 0, GPU 1, GPU-of-old", "1.50 s", "attempt 2; Error: a|b"],
            ["not-run", "c.py::c", "", "", "–", ""],
            ["passed", "b.py::b", "gw0", "", "5 min", "kept from run run-1"],
        ]  # fmt: skip

    def test_results_of_earlier_runs_are_counted(self) -> None:
        """With the runs that they are of."""
        text = render(a_report(a_test(run="run-1"), a_test(), a_test(run="run-0"), a_test(run="run-1")))
        assert "3 results kept from earlier runs: run-0, run-1." in text
        assert "kept from earlier runs" not in render(a_report(a_test()))

    def test_metrics(self) -> None:
        """The wrong ones first, then those of tests that failed; with baseline, change and verdict."""
        tests = [
            a_test("a.py::a", metrics=[a_metric("fine", 1, unit="tokens/s")]),
            a_test("b.py::b", "failed", metrics=[a_metric("before", 2)]),
            a_test("c.py::c", metrics=[a_metric("worse", 0.881, baseline=0.913, change=-0.035, verdict="regressed")]),
            a_test("d.py::d", metrics=[a_metric("loss", None)]),
        ]
        text = render(a_report(*tests))
        assert table(text, "Metrics") == [
            ["**invalid**", "d.py::d", "loss", "nan", "", "", ""],
            ["**regressed**", "c.py::c", "worse", "0.881", "0.913", "-3.5%", ""],
            ["", "b.py::b", "before", "2", "", "", ""],
            ["", "a.py::a", "fine", "1 tokens/s", "", "", ""],
        ]
        assert "### Metrics" not in render(a_report(a_test()))

    def test_numbers_can_be_told_apart_and_are_short(self) -> None:
        """In as many digits as that takes, whatever a metric's size; a note stands beside the change."""
        metrics = [
            a_metric("near", 0.9137, baseline=0.91370001, change=-1.09e-8, verdict="regressed"),
            a_metric("few", 0.0, n=2, baseline=0.5, change=-1.0, verdict="ok", note="n=2 can show no drop"),
            a_metric("huge", 10**400, baseline=1e-300, unit="x" * 300),
        ]
        found = [row[2:] for row in table(render(a_report(a_test(metrics=metrics))), "Metrics")]
        assert found[:2] == [
            ["near", "0.9137", "0.91370001", "-1.1e-06%", ""],
            ["few", "0", "0.5", "-100.0%", "n 2; n=2 can show no drop"],
        ]
        assert found[2][1:4] == [f"{number} {'x' * 300}"[:199] + "…" for number in ("1e+400", "1e-300", "+1e+400")]

    def test_what_needs_no_look_is_folded(self) -> None:
        """Tests that are fine, and metrics that are ok or, beside those, have no verdict; not where all have none."""
        regressed = a_metric("m", 1, baseline=2, change=-0.5, verdict="regressed")
        tests = [
            a_test("a.py::a", metrics=[a_metric("m", 1, baseline=1, change=0.0, verdict="ok"), a_metric("size", 3)]),
            a_test("b.py::b", "failed", metrics=[regressed]),
        ]
        text = render(a_report(*tests))
        first, second = (text.partition(f"### {title}\n")[2].partition("<details>") for title in ("Tests", "Metrics"))
        assert ("b.py::b" in first[0], "a.py::a" in first[0]) == (True, False)
        assert first[2].startswith("<summary>1 test that needs no look</summary>\n\n| Outcome")
        assert ("b.py::b" in second[0], "a.py::a" in second[0]) == (True, False)
        assert second[2].startswith("<summary>2 metrics that need no look</summary>\n\n| Verdict")
        text = render(a_report(a_test("a.py::a", metrics=[a_metric("m", 1)])))
        assert "<details>" not in text.partition("### Metrics")[2]

    def test_what_failures_share_is_said_first(self) -> None:
        """The parameters that tell them from others, and the metric, where there are several."""
        tests = [
            a_test(
                f"a.py::a[{model}-{shots}]",
                params={"model": model, "shots": shots, "split": "test"},
                metrics=[
                    a_metric("accuracy", 0.5, baseline=0.6, verdict="regressed" if model == "medium" else "ok"),
                    a_metric("f1", 0.5, baseline=0.5, verdict="ok"),
                ],
            )
            for model in ("small", "medium")
            for shots in (0, 5)
        ]
        text = render(a_report(*tests))
        assert text.splitlines()[2] == "**2 of 8 metrics regressed, all of accuracy with model=medium.**"
        assert "regressed, all" not in render(a_report(*tests[:3]))

    def test_messages_can_be_unfolded(self) -> None:
        """Those of tests that failed, whole with their empty lines; a long one loses its middle."""
        message = "first\n\n    <b>second</b>\n\n\n- third | `x`\n"
        tests = [
            a_test("a.py::a", "failed", message=message),
            a_test("b.py::b", "skipped", message="Skipped: not today"),
            a_test("c.py::c", "crashed", message="x" * 9_000 + "end"),
        ]
        tags = Tags(text := render(a_report(*tests)))
        assert tags.messages[0] == f"\n{message}\n"
        assert "\n… (the whole is in the JSON report) …\nx" in tags.messages[1]
        assert tags.messages[1].endswith("xend\n")
        assert len(tags.messages[1]) < 4_100
        assert len(tags.messages) == 2
        assert "<details><summary>failed: <code>a.py::a</code></summary>\n\n<pre>\nfirst\n\n" in text
        assert text.count("\n</pre>\n\n</details>\n") == 2


class TestEscapes:
    """No text is anything but text."""

    @pytest.mark.parametrize(
        "text",
        [
            "a|b", "a\\|b", "`a`", "``a", "*a* _b_ ~~c~~ __init__", "[a](https://example.org)", "![a](b)", "<!-- a",
            "<script>alert(1)</script>", "</code></details>", "$a$ and $b$", "@alice #12", "www.example.org", "&amp;",
            "--- | ---", "# no title", "> no quote", "{{ a }}", "é \U0001f600",
        ],
    )  # fmt: skip
    def test_a_name_stays_what_it_is(self, text: str) -> None:
        """In every cell, with nothing in it that Markdown, HTML or GitHub takes for its own."""
        test = a_test(
            f"a.py::{text}.", "failed", message=text, worker=text, run=text, metrics=[a_metric(text, unit=text)]
        )
        shown = render(a_report(test))
        assert table(shown, "Tests") == [
            ["failed", f"a.py::{text}.", text, "GPU 0", "1.50 s", f"kept from run {text}; {text}"]
        ]
        assert table(shown, "Metrics") == [["", f"a.py::{text}.", text, f"0.5 {text}", "", "", ""]]
        cells = re.sub("</?code>", "", "".join(line for line in shown.splitlines() if line.startswith("| failed")))
        assert not re.search(r"[<>`*_\[\]\\~$@!]|://|www\.|&(?!#\d+;)", cells)

    def test_what_cannot_be_seen_is_shown(self) -> None:
        """Control characters, lone surrogates and what changes the direction of writing, as Python writes them."""
        text = "a\nb\tc\x1b[1m\x00\x7f\ud800\u202e\u2028\ufeff\r\nd\re"
        assert names(render(a_report(a_test(f"a.py::{text}")))) == [
            r"a.py::a\nb\tc\x1b[1m\x00\x7f\ud800\u202e\u2028\ufeff\nd\re"
        ]
        assert visible("one\r\ntwo\n\tthree\r") == "one\ntwo\n\tthree\\r"

    def test_a_long_name_is_cut(self) -> None:
        """The row says so."""
        assert names(render(a_report(a_test(f"a.py::{'x' * 5_000}")))) == [f"a.py::{'x' * 193}…"]

    @given(ids=st.lists(any_text, max_size=12), text=any_text)
    @example(ids=["|", "\ud800\\"], text="</pre></details>\n\n# title\n\n<script>")
    def test_any_text(self, ids: list[str], text: str) -> None:
        """One row for each test and metric, in tables of six or seven columns; no tag that is not ours; it is UTF-8."""
        tests = [
            a_test(
                f"a.py::{each}", OUTCOMES[n % 9], message=text, worker=text, metrics=[a_metric(f"m{each}", unit=text)]
            )
            for n, each in enumerate(ids)
        ]
        shown = render(a_report(*tests))
        shown.encode()
        rows = [line for line in shown.split("\n") if line.startswith("|")]
        assert sum(not line.startswith(HEADS) for line in rows) == 2 * len(tests)
        assert {line.count("|") - 1 for line in rows} <= COLUMNS
        tags = Tags(shown).found
        assert set(tags) <= {f"{slash}{tag}" for tag in ("code", "details", "summary", "pre") for slash in ("", "/")}
        assert all(tags.count(tag) == tags.count(f"/{tag}") for tag in set(tags) if not tag.startswith("/"))


class TestRoom:
    """GitHub shows nothing of a summary above 1 MiB."""

    def test_the_least_important_rows_are_left_out(self) -> None:
        """Metrics that are fine, tests that are fine, messages, wrong metrics, tests that failed; each is counted."""
        tests = [a_test(f"a.py::fine{n}", metrics=[a_metric(f"fine{n}")]) for n in range(20)]
        tests += [
            a_test(f"a.py::bad{n}", "failed", message="x" * 100, metrics=[a_metric("m", None)]) for n in range(20)
        ]
        report, left = a_report(*tests), []
        whole = render(report)
        assert "no room" not in whole
        for most in range(len(whole.encode()), 700, -50):
            text = render(report, most)
            assert len(text.encode()) <= most
            shown = (len(table(text, "Metrics")), len(names(text)), len(Tags(text).messages))
            assert shown == tuple(
                total - int(match[1]) if (match := re.search(rf"… and (\d+) more {what}s?, for which", text)) else total
                for total, what in ((40, "metric"), (40, "test"), (20, "message"))
            )
            left.append((shown[0] > 20, shown[1] > 20, shown[2] > 0, shown[0] > 0, shown[1] > 0))
        assert left == sorted(left, reverse=True)  # the first goes before the second does
        assert left[0] == (True,) * 5
        assert left[-1] == (False,) * 5
        assert all(later or not earlier for row in left for earlier, later in pairwise(row))

    def test_a_place_too_small(self) -> None:
        """For a title even: what fits of it."""
        report = a_report(a_test("a.py::é"))
        assert render(report, 10) == "## gpupool"[:10]
        assert render(report, 0) == render(report, -5) == ""

    def test_a_large_run(self) -> None:
        """4,000 tests with messages and metrics: all that fits below 1 MiB, and how many do not."""
        report = a_report(a_test())
        report["tests"] = [a_test(f"a.py::t[é{n}]", "failed", message="é|" * 200) for n in range(4_000)]
        text = render(report)
        assert 2**20 - 500 < len(text.encode()) < 2**20
        shown = len(names(text))
        assert f"… and {4_000 - shown} more tests, for which there is no room here" in text
        assert "… and 4000 more messages, for which" in text


class TestAppend:
    """A CI step's summary is one file, to which every command of the step appends."""

    def test_parents_are_made(self, tmp_path: Path) -> None:
        """The text is written as UTF-8, a lone surrogate as its escape."""
        path = tmp_path / "deep" / "down" / "summary.md"
        append(path, "été \ud800\n")
        assert path.read_bytes() == b"\xc3\xa9t\xc3\xa9 \\ud800\n"

    def test_what_is_there_stays(self, tmp_path: Path) -> None:
        """An empty line between keeps it from running into the title."""
        path = tmp_path / "summary.md"
        path.write_text("| no | newline |")
        append(path, "## a\n")
        append(path, "## b\n")
        assert path.read_text() == "| no | newline |\n\n## a\n\n\n## b\n"

    def test_what_cannot_be_written(self, tmp_path: Path) -> None:
        """The system's error."""
        with pytest.raises(IsADirectoryError):
            append(tmp_path, "text")

    def test_the_room_that_is_left(self, tmp_path: Path) -> None:
        """So that two runs in one step are below 1 MiB together."""
        path = tmp_path / "summary.md"
        assert room(path) == 2**20 - 1
        report = a_report(a_test())
        report["tests"] = [a_test(f"a.py::t[{n}]") for n in range(10_000)]
        append(path, render(report, 700_000))
        append(path, render(report, room(path)))
        assert path.read_text().count("for which there is no room here") == 2
        assert 2**20 - 500 < path.stat().st_size < 2**20
        os.truncate(path, 2**20)
        assert render(report, room(path)) == ""


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("", ""),
        ("\n \n", ""),
        ("\n  one\ntwo", "one"),
        ("def f():\n>   x\nE   ValueError: no\nE   more", "ValueError: no"),
        ("E\nE   \nE   second", "second"),
        ("Errors come\nin many forms", "Errors come"),
        ("x" * 200, "x" * 119 + "…"),
    ],
)
def test_the_line_that_says_most(message: str, line: str) -> None:
    """pytest marks it with an E; without one it is the first."""
    assert headline(message) == line
