"""pytest's own JUnit file: ours says the same of the same tests, and it is cut to what CI servers read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from junit_files import addresses, cases, objects, properties
from made_reports import a_report, a_test

from pytest_gpupool.reports.junit import render
from pytest_gpupool.reports.junit_limits import fit

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
