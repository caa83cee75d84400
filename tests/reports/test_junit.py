"""The JUnit report: pytest's own names and marks for every test, in a file that CI servers read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from made_reports import UUIDS, a_metric, a_report, a_test, any_text

from pytest_gpupool.reports.junit import fit, render
from pytest_gpupool.values.outcomes import OUTCOMES


def cases(text: str) -> list[Element]:
    """The testcases of a JUnit file."""
    return list(ElementTree.fromstring(text.encode()).iter("testcase"))


def properties(holder: Element) -> dict[str, str]:
    return {str(each.get("name")): str(each.get("value")) for each in holder.findall("properties/property")}


def objects(text: str) -> int:
    """Elements, attributes and texts."""
    return sum(1 + len(each.attrib) + (each.text is not None) for each in ElementTree.fromstring(text.encode()).iter())


def addresses(text: str) -> list[tuple[str | None, str | None]]:
    return [(case.get("classname"), case.get("name")) for case in cases(text)]


OWN_SUITE = """
    import pytest

    @pytest.mark.parametrize("text", ["a::b", "a/b.py", "x[1]", "", "[", "]", "a b", "é", "\\x1b", "\\n", "<&>", "a-b"])
    def test_ids(text): pass

    class TestOuter:
        class TestInner:
            @pytest.mark.parametrize("n", [1, 2])
            def test_deep(self, n, record_property):
                record_property("mine", n)
                print("o" * 20_000)

    def test_fails(record_property):
        record_property("mine", 3)
        print("p" * 20_000)
        raise ValueError("q" * 20_000)

    @pytest.fixture
    def broken(): raise ValueError("no set-up")
    def test_error(broken): pass
    def test_skipped(): pytest.skip("not today")
    @pytest.mark.xfail(reason="known")
    def test_xfailed(): assert False
"""

OWN_CONFTEST = """
    import json

    def pytest_collection_finish(session):
        session.config.rootpath.joinpath("ids.json").write_text(json.dumps([item.nodeid for item in session.items]))
"""


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which pytest, without the pool, has written junit.xml."""
    root = tmp_path_factory.mktemp("own")
    files = {"deep/down.d/test_own.py": OWN_SUITE, "test_top.py": "def test_top(): pass\n", "conftest.py": OWN_CONFTEST}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(re.sub("^    ", "", text, flags=re.MULTILINE))
    (root / "pytest.ini").write_text("[pytest]\njunit_logging = all\n")
    off = [f"-pno:{name}" for name in ("gpupool", "xdist", "randomly", "cacheprovider")]
    command = [sys.executable, "-m", "pytest", *off, "--junitxml=junit.xml"]
    done = subprocess.run(command, cwd=root, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return root


@pytest.fixture
def own_file(own_run: Path, tmp_path: Path) -> Path:
    """A copy of the file that pytest has written."""
    return Path(shutil.copy(own_run / "junit.xml", tmp_path / "junit.xml"))


class TestPytestsOwn:
    """What pytest's junitxml plugin makes of the same tests."""

    def test_names(self, own_run: Path) -> None:
        """Class names and names are pytest's, whatever the parameters hold."""
        ids = json.loads((own_run / "ids.json").read_text())
        assert len(ids) == 19
        assert addresses(render(a_report(*map(a_test, ids)))) == addresses((own_run / "junit.xml").read_text())

    def test_the_suite(self, own_run: Path) -> None:
        """It has the same attributes; there are as many errors, failures and skipped ones as pytest counts."""
        own = ElementTree.parse(own_run / "junit.xml").getroot()
        tests = [a_test(outcome=outcome) for outcome in ["failed", "error", "skipped", "xfailed", *["passed"] * 15]]
        ours = ElementTree.fromstring(render(a_report(*tests)).encode())
        assert (own.tag, own.attrib) == (ours.tag, ours.attrib)
        assert own[0].attrib.keys() == ours[0].attrib.keys()
        same = ("name", "errors", "failures", "skipped", "tests")
        assert [own[0].get(name) for name in same] == [ours[0].get(name) for name in same]
        assert (ours[0].get("time"), ours[0].get("hostname")) == ("12.250", "node1")
        assert ours[0].get("timestamp") == "2026-11-21T11:46:52.000000+00:00"

    def test_marks(self, own_run: Path) -> None:
        """A test that failed, was skipped or was expected to fail has pytest's element, of pytest's type."""
        messages = {"failed": "E   boom", "error": "x", "skipped": "Skipped: not today", "xfailed": "reason: known"}
        ours = cases(render(a_report(*(a_test(outcome=name, message=text) for name, text in messages.items()))))
        own = {str(case.get("name")): case for case in cases((own_run / "junit.xml").read_text())}
        for mine, name in zip(ours, ("test_fails", "test_error", "test_skipped", "test_xfailed"), strict=True):
            theirs = own[name].findall("failure") + own[name].findall("error") + own[name].findall("skipped")
            assert [(each.tag, each.get("type")) for each in mine[1:]] == [
                (each.tag, each.get("type")) for each in theirs
            ]
        skipped, xfailed = own["test_skipped"].find("skipped"), own["test_xfailed"].find("skipped")
        assert skipped is not None
        assert xfailed is not None
        assert [case[1].get("message") for case in ours[2:]] == [skipped.get("message"), xfailed.get("message")]


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


class TestFit:
    """A file of pytest's own that is too large is made to fit."""

    POINTER = "the JSON report report.json"

    def test_what_fits_is_left_alone(self, own_file: Path) -> None:
        """Not a byte is changed, nor is the file written."""
        before = (own_file.read_bytes(), own_file.stat().st_ino)
        size, count = len(before[0]), objects(own_file.read_text())
        assert fit(own_file, self.POINTER) is None
        assert fit(own_file, self.POINTER, most_bytes=size, most_objects=count) is None
        assert (own_file.read_bytes(), own_file.stat().st_ino) == before

    def test_captured_output_is_cut_first(self, own_file: Path) -> None:
        """Then failures, down to 500 characters; the warning says what, and where to look."""
        before = addresses(own_file.read_text())
        said = fit(own_file, self.POINTER, most_bytes=60_000)
        assert said == (
            f"the JUnit file {own_file} was larger than what CI servers read (250000 XML objects, 60000 bytes); "
            "it is without the middle of long captured output (3); see the JSON report report.json"
        )
        root = ElementTree.parse(own_file).getroot()
        assert properties(root[0]) == {"gpupool.dropped": "the middle of long captured output (3)"}
        outputs = [len(str(each.text)) for each in root.iter("system-out")]
        assert 500 < max(outputs) <= 8_001
        assert len(str(next(root.iter("failure")).text)) > 20_000
        assert addresses(own_file.read_text()) == before

        said = fit(own_file, self.POINTER, most_bytes=14_000)
        assert "the middle of long messages (1)" in str(said)
        text = own_file.read_text()
        assert "gpupool.device" not in text
        assert text.count('<property name="mine"') == 3
        assert text.count("(cut to fit; see the JSON report report.json)") >= 4
        assert addresses(text) == before
        assert len(own_file.read_bytes()) <= 14_000

    def test_properties_go_where_there_are_too_many_objects(self, own_file: Path) -> None:
        """Those of passed tests first; texts stay whole, as cutting them would save no object."""
        before = own_file.read_text()
        said = fit(own_file, self.POINTER, most_objects=objects(before) - 1)
        assert "without properties of passed tests (2); see" in str(said)
        after = own_file.read_text()
        assert [properties(case) for case in cases(after) if properties(case)] == [{"mine": "3"}]
        assert [each.text for case in cases(after) for each in case.iter("system-out")] == [
            each.text for case in cases(before) for each in case.iter("system-out")
        ]

    def test_names_and_outcomes_stay(self, own_file: Path) -> None:
        """Whatever the limits; the warning says where that is not enough."""
        before = own_file.read_text()
        said = fit(own_file, self.POINTER, most_objects=1, most_bytes=1)
        assert "(1 XML objects, 1 bytes), and it still is; it is without" in str(said)
        after = own_file.read_text()
        assert addresses(after) == addresses(before)
        marks = ("failure", "error", "skipped")
        assert [[each.tag for each in case if each.tag in marks] for case in cases(after)] == [
            [each.tag for each in case if each.tag in marks] for case in cases(before)
        ]
        assert not ElementTree.fromstring(after).findall(".//system-out")

    def test_one_huge_text(self, own_file: Path) -> None:
        """What libxml2 would not read is cut, even where the file is not too large."""
        assert "captured output" in str(fit(own_file, self.POINTER, most_text=15_000))
        root = ElementTree.parse(own_file).getroot()
        assert all(len(str(each.text)) <= 15_000 for each in root.iter())

    def test_a_suite_with_properties(self, own_file: Path) -> None:
        """What is said of the suite is added to them."""
        text = own_file.read_text()
        own = '<properties><property name="mine" value="4" /></properties>'
        own_file.write_text(text.replace("<testcase", f"{own}<testcase", 1))
        fit(own_file, self.POINTER, most_bytes=60_000)
        assert list(properties(ElementTree.parse(own_file).getroot()[0])) == ["mine", "gpupool.dropped"]

    def test_a_link_stays_a_link(self, own_file: Path) -> None:
        """The file that it names is rewritten."""
        link = own_file.with_name("link.xml")
        link.symlink_to(own_file)
        assert fit(link, self.POINTER, most_bytes=60_000) is not None
        assert link.is_symlink()
        assert own_file.stat().st_size <= 60_000

    @pytest.mark.parametrize(
        "content",
        ["", "no XML", "<testsuites><testsuite>", "<html>text</html>", "<?xml version='1.0' encoding='x'?><a/>"],
        ids=["empty", "text", "cut off", "another", "encoding"],
    )  # fmt: skip
    def test_what_is_no_junit_file_is_left_alone(self, tmp_path: Path, content: str) -> None:
        """Another plugin, or a full disk, may have made it."""
        path = tmp_path / "junit.xml"
        path.write_text(content)
        assert fit(path, self.POINTER, most_objects=1, most_bytes=1) is None
        assert path.read_text() == content

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        """Nothing is made of it, nor of a directory."""
        assert fit(tmp_path / "gone" / "junit.xml", self.POINTER) is None
        assert fit(tmp_path, self.POINTER) is None
        assert list(tmp_path.iterdir()) == []
