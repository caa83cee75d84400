"""The JUnit report: pytest's own names and marks for every test, in a file that CI servers read."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from junit_files import addresses, cases, objects, properties
from made_reports import UUIDS, a_metric, a_report, a_test, any_text

from pytest_gpupool.reports.junit import render
from pytest_gpupool.values.outcomes import OUTCOMES


class TestTestcase:
    """One for each test of the report."""

    @pytest.mark.parametrize(
        ("outcome", "message", "tag", "told"),
        [
            ("failed", "def f():\n>   assert 0\nE   AssertionError: no\nE   assert 0", "failure", "AssertionError: no"),
            ("failed", None, "failure", "failed"),
            ("error", "E       ValueError: no set-up", "error", "error: ValueError: no set-up"),
            ("crashed", "worker gw0 died: signal 9", "error", "crashed: worker gw0 died: signal 9"),
            ("timeout", "\nthis test took longer than 4 s\nstacks", "error", "timeout: this test took longer than 4 s"),
            ("timeout", None, "error", "timeout"),
            ("not-run", None, "error", "not run: it has no result"),
            ("not-run", "no device was left", "error", "not run: no device was left"),
            ("skipped", "Skipped: not today", "skipped", "not today"),
            ("xfailed", "reason: known", "skipped", "known"),
            ("xfailed", "known", "skipped", "known"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_has_a_mark(self, outcome: str, message: str | None, tag: str, told: str) -> None:
        """Its message is the line that says most, after the outcome where JUnit has no word for it; its text is all."""
        (case,) = cases(render(a_report(a_test(outcome=outcome, message=message))))
        (mark,) = (child for child in case if child.tag != "properties")
        assert (mark.tag, mark.get("message"), mark.text) == (tag, told, message)

    @pytest.mark.parametrize("outcome", ["passed", "xpassed"])
    def test_what_is_fine_has_none(self, outcome: str) -> None:
        """No element but the properties."""
        (case,) = cases(render(a_report(a_test(outcome=outcome, message="reason: known"))))
        assert [child.tag for child in case] == ["properties"]
        assert case.get("time") == "1.500"

    def test_properties(self) -> None:
        """Device, worker and peak memory, each metric, and its verdict where there is a baseline."""
        metrics = [
            a_metric("accuracy", 0.5, baseline=0.75, verdict="regressed"),
            a_metric("steps", 1000),
            a_metric("loss", None),
        ]
        test = a_test(devices=list(UUIDS), metrics=metrics)
        test["resources"]["peak_memory_bytes"] = 4096
        (case,) = cases(render(a_report(test)))
        assert properties(case) == {
            "gpupool.device": ",".join(UUIDS),
            "gpupool.worker": "gw0",
            "gpupool.peak_memory_bytes": "4096",
            "gpupool.metric.accuracy": "0.5",
            "gpupool.verdict.accuracy": "regressed",
            "gpupool.metric.steps": "1000",
            "gpupool.metric.loss": "nan",
        }

    def test_what_is_not_known_is_left_out(self) -> None:
        """A test that never ran has no properties, and took no time."""
        (case,) = cases(render(a_report(a_test(outcome="not-run"))))
        assert [child.tag for child in case] == ["error"]
        assert case.get("time") == "0.000"

    def test_a_result_of_an_earlier_run_says_so(self) -> None:
        """By the id of that run; results of this one do not, nor do those of reports that do not tell."""
        untold = a_test()
        report = a_report(a_test(run="run-1"), a_test(), untold)
        del untold["run"]
        assert [properties(case).get("gpupool.run") for case in cases(render(report))] == ["run-1", None, None]

    def test_one_for_each_result(self) -> None:
        """With --dist each a test has a result, and a testcase, of each worker."""
        text = render(a_report(a_test(worker="gw0"), a_test(worker="gw1", outcome="failed")))
        assert addresses(text) == [("tests.test_a", "test_a")] * 2
        assert [properties(case)["gpupool.worker"] for case in cases(text)] == ["gw0", "gw1"]

    def test_no_tests(self) -> None:
        """The suite is empty."""
        assert cases(render(a_report())) == []

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("\x1b[1m]", "#x1B[1m]"),
            ("\x00", "#x00"),
            ("\x7f", "#x7F"),
            ("a\ud800b", "a#xD800b"),
            ("\ufffe\uffff", "#xFFFE#xFFFF"),
            ("tab\tline\n", "tab\tline\n"),
            ("é \U0001f600 \x85", "é \U0001f600 \x85"),
            ('<a b="c">&amp;]]>', '<a b="c">&amp;]]>'),
        ],
    )
    def test_what_xml_cannot_carry(self, text: str, shown: str) -> None:
        """It is written as pytest writes it, in names, messages, metrics and ids of runs; all else stays as it is."""
        test = a_test(f"a.py::{text}", "failed", message=text, worker=text, run=text, metrics=[a_metric(text)])
        (case,) = cases(render(a_report(test)))
        failure = case.find("failure")
        assert failure is not None
        assert (case.get("name"), failure.text) == (shown, shown)
        assert properties(case) == {
            "gpupool.device": UUIDS[0],
            "gpupool.worker": shown,
            "gpupool.run": shown,
            f"gpupool.metric.{shown}": "0.5",
        }

    @given(ids=st.lists(any_text), text=any_text)
    @example(ids=["", "\ud800", "x[\x00"], text="</testcase>")
    def test_any_text(self, ids: list[str], text: str) -> None:
        """Whatever tests are called and say, there is one testcase for each, and it can be written as UTF-8."""
        outcomes = [*OUTCOMES, "failed"]
        tests = [
            a_test(f"a.py::{each}", outcomes[n % len(outcomes)], message=text, metrics=[a_metric(f"m{text}")])
            for n, each in enumerate(ids)
        ]
        found = cases(render(a_report(*tests), most_message=200))
        assert len(found) == len(tests)
        assert all(len(each.text or "") <= 200 for case in found for each in case)


class TestLimits:
    """What GitLab, Jenkins and others do not read is left out, the least important first."""

    def test_a_long_message_loses_its_middle(self) -> None:
        """The rest has the given length, and says where the whole is."""
        message = "first line\n" + "x" * 20_000 + "\nlast line"
        (case,) = cases(render(a_report(a_test(outcome="failed", message=message))))
        text = str(case[-1].text)
        assert len(text) == pytest.approx(8_000, abs=1)
        assert text.startswith("first line\nxxx")
        assert text.endswith("xxx\nlast line")
        assert "\n… (cut to fit; see the JSON report, or the record of run run-2) …\n" in text

    def test_what_fits_is_whole(self) -> None:
        """Nothing is said of what was left out."""
        report = a_report(a_test(metrics=[a_metric()]), a_test(outcome="failed", message="x" * 8_000))
        whole = render(report)
        assert "cut to fit" not in whole
        assert "gpupool.dropped" not in whole
        assert render(report, most_objects=objects(whole), most_bytes=len(whole.encode())) == whole

    STEPS = (
        (0, "metrics of passed tests (20)"),
        (1, "metrics of passed tests (20), metrics (4)"),
        (2, "metrics of passed tests (20), metrics (4), properties (24)"),
        (3, "metrics of passed tests (20), metrics (4), properties (24), all but the names and outcomes of tests (12)"),
    )

    def test_too_many_objects(self) -> None:
        """Metrics of passed tests go first, then those of others, then all properties, then times and texts."""
        metrics = [a_metric("a"), a_metric("b")]
        tests = [a_test(f"a.py::t{n}", metrics=metrics) for n in range(10)]
        tests += [a_test(f"a.py::f{n}", "failed", metrics=metrics, message="x" * 3_000) for n in range(2)]
        report, most = a_report(*tests), 10_000
        for step, dropped in self.STEPS:
            text = render(report, most_objects=objects(render(report, most_objects=most)) - 1)
            most = objects(text)
            suite = ElementTree.fromstring(text)[0]
            assert properties(suite) == {"gpupool.dropped": dropped}
            assert [case.get("name") for case in cases(text)] == [f"t{n}" for n in range(10)] + ["f0", "f1"]
            assert [len(str(case[-1].text)) for case in cases(text)[10:]] == [3_000 if step < 3 else len("None")] * 2
        assert {tuple(case.attrib) for case in cases(text)} == {("classname", "name")}
        assert [[(each.tag, each.attrib) for each in case] for case in cases(text)[-2:]] == [
            [("failure", {"message": "x" * 100})]
        ] * 2

    @pytest.mark.parametrize(
        ("most", "dropped"),
        [
            (54_000, "metrics of passed tests (4)"),
            (20_000, "metrics of passed tests (4), the middle of long messages (6)"),
            (10_000, "metrics of passed tests (4), the middle of long messages (6)"),
        ],
    )
    def test_too_many_bytes(self, most: int, dropped: str) -> None:
        """Metrics of passed tests go first, then messages are cut to 2,000 characters, then to 500."""
        tests = [a_test(f"a.py::t{n}", metrics=[a_metric("m" * 300)]) for n in range(4)]
        tests += [a_test(f"a.py::f{n}", "failed", metrics=[a_metric()], message="x" * 7_900) for n in range(6)]
        text = render(a_report(*tests), most_bytes=most)
        assert len(text.encode()) <= most
        assert properties(ElementTree.fromstring(text)[0]) == {"gpupool.dropped": dropped}
        assert "gpupool.metric.accuracy" in text
        assert len(cases(text)) == 10

    def test_names_are_cut_last(self) -> None:
        """They stay different, and no test is left out, where even that is not enough."""
        tests = [a_test(f"a.py::t[{'x' * 5_000}{n}]") for n in range(20)]
        text = render(a_report(*tests), most_bytes=10_000)
        assert len(text.encode()) <= 10_000
        assert "the end of long names (20)" in text
        assert len({case.get("name") for case in cases(text)}) == 20
        assert len(cases(render(a_report(*tests), most_bytes=10, most_objects=1))) == 20

    @given(st.integers(1, 2_000), st.integers(1, 40_000))
    def test_every_test_is_there_under_any_limits(self, most_objects: int, most_bytes: int) -> None:
        """With its outcome; what is within the limits loses nothing."""
        tests = [a_test(f"a.py::{name}", name, message="x" * 900, metrics=[a_metric()]) for name in OUTCOMES * 3]
        text = render(a_report(*tests), most_objects=most_objects, most_bytes=most_bytes)
        marks = {None: ["passed", "xpassed"], "failure": ["failed"], "skipped": ["skipped", "xfailed"]}
        for case in cases(text):
            mark = next((each.tag for each in case if each.tag != "properties"), None)
            assert case.get("name") in marks.get(mark, ["error", "crashed", "timeout", "not-run"])
        assert len(cases(text)) == 27
        assert ("gpupool.dropped" not in text) <= (objects(text) <= most_objects and len(text.encode()) <= most_bytes)

    def test_a_large_run(self) -> None:
        """16,000 tests, a quarter of which failed with long messages, are within the limits of GitLab."""
        metrics = [a_metric(f"metric{n}") for n in range(5)]
        report = a_report(a_test(metrics=metrics))
        report["tests"] = [a_test(f"a.py::t[{n}]", metrics=metrics) for n in range(12_000)]
        report["tests"] += [a_test(f"a.py::f[{n}]", "failed", message="é" * 9_000) for n in range(4_000)]
        text = render(report)
        assert objects(text) <= 250_000
        assert len(text.encode()) < 30_000_000
        assert len(cases(text)) == 16_000
        assert properties(ElementTree.fromstring(text)[0])["gpupool.dropped"] == (
            "metrics of passed tests (60000), the middle of long messages (4000)"
        )
