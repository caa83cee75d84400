"""The program gpupool, as users call it, on what real runs of pytest have left."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from program import gpupool
from suites import PATIENCE
from support import LIMIT, SCHEMA, Host, wait_for

Report = dict[str, Any]

SUITE = """
    import pytest
    from patience import WORKER, lines, say

    @pytest.mark.parametrize("case", range(2))
    def test_case(case, record_metric): record_metric("accuracy", case / 2, unit="%", higher_is_better=True)
    def test_fails(record_metric):
        record_metric("loss", 0.5)
        assert not lines("fail"), "it is to fail"
    def test_raises():
        if lines("fail"): raise OSError("the disk is gone")
    @pytest.mark.gpupool(stage=1)
    def test_waits(record_metric):
        record_metric("before", 1)
        if lines("wait"):
            say("waits", WORKER)
            while True: pass
"""


def ends(host: Host) -> None:
    """Wait until no process of a killed run is left."""
    deadline = time.monotonic() + LIMIT
    while left := host.processes():
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


@dataclass(frozen=True)
class Kept:
    """A host on which three runs were: one that passed, one with failures, one whose controller was killed."""

    host: Host
    passed: Report
    failed: Report
    killed: str
    while_on: tuple[str, str]
    """What 'runs' and 'report' said while the third one went on."""

    @property
    def base(self) -> Path:
        return self.host.project / ".gpupool"

    @property
    def ids(self) -> list[str]:
        """The ids of the runs, the first one first."""
        return [str(self.passed["run"]["id"]), str(self.failed["run"]["id"]), self.killed]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Made once: no test below changes what is on record."""
    host = Host(tmp_path_factory.mktemp("kept"), None)
    host.write("patience.py", PATIENCE)
    host.write("test_suite.py", SUITE)
    passed = host.pytest().report
    host.write("fail", "yes\n")
    failed = host.pytest("-n2").report
    host.write("wait", "yes\n")
    running = host.start("-n2")
    try:
        wait_for(host.project / "waits")
        while_on = gpupool(host, "runs")[1], gpupool(host, "report", "latest")[1]
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        ends(host)
    finally:
        running.kill()
    (killed,) = {path.name for path in (host.project / ".gpupool" / "runs").iterdir()} - {
        passed["run"]["id"],
        failed["run"]["id"],
    }
    yield Kept(host, passed, failed, killed, while_on)
    assert not host.processes()


def rows(text: str) -> dict[str, list[str]]:
    """The table's cells by run."""
    heading, *lines = text.splitlines()
    assert heading.split() == ["RUN", "AGE", "TESTS", "OUTCOMES", "RESUME"]
    cells = [re.split(r"  +", line) for line in lines]
    return {row[0]: row[1:] for row in cells}


class TestRuns:
    """The table of the runs on record."""

    def test_each_run_has_a_row(self, kept: Kept) -> None:
        """The latest first: how old, how many tests, what became of them, and what can be resumed."""
        status, out, err = gpupool(kept.host, "runs")
        assert (status, err) == (0, "")
        table = rows(out)
        assert list(table) == sorted(kept.ids, reverse=True)
        first, second, third = (table[run] for run in kept.ids)
        assert first[1:] == ["5", "5 passed", "nothing is left"]
        assert second[1:] == ["5", "3 passed, 2 failed", "yes, 1 left"]
        assert third[1:] == ["5", "2 passed, 2 failed, 1 not-run", "yes, 2 left"]
        assert all(re.fullmatch(r"\d+ s", row[0]) for row in table.values())

    def test_the_columns_are_aligned(self, kept: Kept) -> None:
        """Numbers to the right, and nothing behind the last one."""
        heading, *lines = gpupool(kept.host, "runs")[1].splitlines()
        assert len(lines) == 3
        for line in lines:
            assert line[heading.index("TESTS") + 4] == "5"
            assert line[heading.index("OUTCOMES") - 2 : heading.index("OUTCOMES")] == "  "
            assert line[heading.index("RESUME") - 2 : heading.index("RESUME")] == "  "
            assert line == line.rstrip()

    def test_a_run_that_goes_on(self, kept: Kept) -> None:
        """It cannot be resumed now."""
        assert rows(kept.while_on[0])[kept.killed][1:] == ["5", "2 passed, 2 failed, 1 not-run", "no, it goes on"]

    def test_each_worker_runs_every_test(self, cpu_host: Host) -> None:
        """Such a run cannot be resumed; one that collected nothing is not there."""
        cpu_host.write("test_suite.py", "def test_a(): pass\n")
        each = cpu_host.pytest("-n2", "--dist=each").report["run"]["id"]
        none = cpu_host.pytest("-k", "nothing").report["run"]["id"]
        table = rows(gpupool(cpu_host, "runs")[1])
        assert table[each][1:] == ["2", "2 passed", "no, it was one with --dist each"]
        assert none not in table

    def test_there_is_none(self, cpu_host: Host) -> None:
        """A directory for them may be there all the same."""
        base = cpu_host.project / ".gpupool"
        (base / "runs").mkdir(parents=True)
        assert gpupool(cpu_host, "runs") == (0, f"gpupool: no run is on record in {base}\n", "")

    def test_the_age_is_said_as_people_do(self, kept: Kept, tmp_path: Path) -> None:
        """From the plan, or from the id alone."""
        for run in ("20200101T000000Z-000000", time.strftime("%Y%m%dT%H%M%SZ-000001", time.gmtime(time.time() - 7e3))):
            shutil.copytree(kept.base / "runs" / kept.killed, tmp_path / "runs" / run)
            (tmp_path / "runs" / run / "plan.json").unlink()
        table = rows(gpupool(kept.host, "runs", "--dir", tmp_path)[1])
        young, old = (row[0] for row in table.values())
        assert young.endswith(" min")
        assert re.fullmatch(r"\d+ h \d+ min", old)


def comparable(report: Report) -> Report:
    """A report without what only the run itself has measured."""
    run = {key: value for key, value in report["run"].items() if key != "duration_s"}
    return {**report, "run": run, "workers": sorted(report["workers"], key=lambda worker: str(worker["id"]))}


class TestReport:
    """A report from the record of a run."""

    def said(self, run: str, end: str) -> str:
        """The program's one line on a run."""
        return f"gpupool: run {run} {end}\n"

    def test_of_a_run_that_ended(self, kept: Kept) -> None:
        """One line, and no file where none is asked for."""
        before = sorted(kept.host.project.iterdir())
        first, second = kept.ids[:2]
        words = self.said(first, "ended with exit status 0, complete: 5 passed")
        assert gpupool(kept.host, "report", first) == (0, words, "")
        words = self.said(second, "ended with exit status 1, complete: 3 passed, 2 failed")
        assert gpupool(kept.host, "report", second) == (0, words, "")
        assert sorted(kept.host.project.iterdir()) == before

    def test_of_a_run_that_was_killed(self, kept: Kept) -> None:
        """It says so, and that the run is incomplete."""
        words = self.said(kept.killed, "was killed, incomplete: 2 passed, 2 failed, 1 not-run")
        assert gpupool(kept.host, "report", kept.killed) == (0, words, "")

    def test_of_a_run_that_goes_on(self, kept: Kept) -> None:
        """Which is not killed."""
        words = self.said(kept.killed, "goes on, incomplete: 2 passed, 2 failed, 1 not-run")
        assert kept.while_on[1] == words

    @pytest.mark.parametrize("number", [0, 1])
    def test_json_is_what_the_run_reported(self, kept: Kept, tmp_path: Path, number: int) -> None:
        """Every test, metric, worker and device of it."""
        path = tmp_path / "new" / "report.json"
        assert gpupool(kept.host, "report", kept.ids[number], "--json", path)[0] == 0
        report = json.loads(path.read_text())
        SCHEMA.validate(report)
        assert comparable(report) == comparable((kept.passed, kept.failed)[number])
        assert 0 < report["run"]["duration_s"] <= (kept.passed, kept.failed)[number]["run"]["duration_s"]

    def test_json_of_a_run_that_was_killed(self, kept: Kept, tmp_path: Path) -> None:
        """What was known of every test by then; the command and the software too."""
        path = tmp_path / "report.json"
        assert gpupool(kept.host, "report", kept.killed, "--json", path)[0] == 0
        report = json.loads(path.read_text())
        SCHEMA.validate(report)
        run, earlier = report["run"], kept.failed["run"]
        assert (run["exit_status"], run["complete"], run["collected"], run["finished"]) == (None, False, 5, 4)
        assert (run["command"], run["software"], run["host"]) == (
            earlier["command"], earlier["software"], earlier["host"],
        )  # fmt: skip
        tests = {test["nodeid"].partition("::")[2]: test for test in report["tests"]}
        before = {test["nodeid"].partition("::")[2]: test["outcome"] for test in kept.failed["tests"]}
        assert {name: test["outcome"] for name, test in tests.items()} == before | {"test_waits": "not-run"}
        assert [metric["name"] for metric in tests["test_waits"]["metrics"]] == ["before"]
        exits = {worker["id"]: worker["exit"] for worker in report["workers"]}
        assert exits[tests["test_waits"]["worker"]] == "killed"
        assert "the disk is gone" in tests["test_raises"]["message"]

    def test_all_forms_at_once(self, kept: Kept, tmp_path: Path) -> None:
        """Each says that the run is incomplete; the table in Markdown is added to what is there."""
        files = {form: tmp_path / f"report.{form}" for form in ("json", "html", "markdown", "junit")}
        files["markdown"].write_text("before\n")
        options = [part for form, path in files.items() for part in (f"--{form}", str(path))]
        assert gpupool(kept.host, "report", kept.killed, *options)[0] == 0
        assert sorted(tmp_path.iterdir()) == sorted(files.values())
        assert json.loads(files["json"].read_text())["run"]["id"] == kept.killed
        assert "INCOMPLETE: 1 of 5 collected tests without a result." in files["html"].read_text()
        words = files["markdown"].read_text()
        assert words.startswith("before\n")
        assert "INCOMPLETE: 1 of 5 collected tests without a result." in words
        suite = ElementTree.parse(files["junit"]).getroot().find("testsuite")
        assert suite is not None
        assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
            "tests": "5", "failures": "2", "errors": "1",
        }  # fmt: skip

    @pytest.mark.parametrize("form", ["html", "markdown", "junit"])
    def test_each_form_alone(self, kept: Kept, tmp_path: Path, form: str) -> None:
        """Of a run with failures; it is complete."""
        path = tmp_path / "a" / "file"
        assert gpupool(kept.host, "report", kept.ids[1], f"--{form}", path)[0] == 0
        assert "the disk is gone" in path.read_text()
        assert "INCOMPLETE" not in path.read_text()
        assert sorted(path.parent.iterdir()) == [path]

    def test_by_name_and_by_path(self, kept: Kept) -> None:
        """The latest, a beginning, a directory, also the present one."""
        run = kept.killed
        latest = max(kept.ids)
        assert gpupool(kept.host, "report", "latest")[1].startswith(f"gpupool: run {latest} ")
        for wanted, folder in ((run[:-1], "."), (f".gpupool/runs/{run}", "."), (".", f".gpupool/runs/{run}")):
            status, out, err = gpupool(kept.host, "report", wanted, folder=folder)
            assert (status, err) == (0, "")
            assert out.startswith(f"gpupool: run {run} was killed, incomplete")

    def test_what_is_damaged_is_said(self, kept: Kept, tmp_path: Path) -> None:
        """And the rest reported."""
        run = shutil.copytree(kept.base / "runs" / kept.ids[0], tmp_path / "runs" / kept.ids[0])
        (run / "plan.json").write_text("{")
        (run / "main.jsonl").write_text("damage\n" + (run / "main.jsonl").read_text())
        status, out, err = gpupool(kept.host, "report", "latest", "--dir", tmp_path, "--json", tmp_path / "report.json")
        assert (status, out) == (0, self.said(run.name, "ended with exit status 0, complete: 5 passed"))
        assert sorted(err.splitlines()) == [
            "gpupool: main.jsonl: 1 damaged line left out",
            "gpupool: plan.json is damaged: it is not used",
        ]
        report = json.loads((tmp_path / "report.json").read_text())
        SCHEMA.validate(report)
        assert report["tests"] == kept.passed["tests"]


class TestWhere:
    """Where the records are looked for."""

    def test_in_a_folder_above(self, kept: Kept) -> None:
        """From a folder of the project too."""
        folder = kept.host.project / "evals" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        assert list(rows(gpupool(kept.host, "runs", folder=folder)[1])) == sorted(kept.ids, reverse=True)
        assert gpupool(kept.host, "report", kept.killed, folder=folder) == gpupool(kept.host, "report", kept.killed)

    def test_where_the_user_says(self, kept: Kept, tmp_path: Path) -> None:
        """From anywhere."""
        words = gpupool(kept.host, "report", kept.killed)
        assert gpupool(kept.host, "report", kept.killed, "--dir", kept.base, folder=tmp_path) == words
        assert (
            list(rows(gpupool(kept.host, "runs", f"--dir={kept.base}", folder=tmp_path)[1])) == sorted(kept.ids)[::-1]
        )

    @pytest.mark.parametrize("command", [["runs"], ["report", "latest"]])
    def test_nowhere(self, kept: Kept, tmp_path: Path, command: list[str]) -> None:
        """The message says where there are none, and what to do."""
        said = f"gpupool: there are no records: no .gpupool in {tmp_path} or above; say where with --dir\n"
        assert gpupool(kept.host, *command, folder=tmp_path) == (4, "", said)
        said = f"gpupool: there are no records: {tmp_path}/none; say where with --dir\n"
        assert gpupool(kept.host, *command, "--dir", tmp_path / "none", folder=tmp_path) == (4, "", said)


class TestRefused:
    """Exit status 4, a message, and no traceback."""

    @pytest.mark.parametrize("wanted", ["2001", "other", "x" * 300])
    def test_there_is_no_such_run(self, kept: Kept, wanted: str) -> None:
        """The message names those that are there."""
        names = ", ".join(sorted(kept.ids))
        said = f"gpupool: there is no run '{wanted}' on record in {kept.base}; the latest there: {names}\n"
        assert gpupool(kept.host, "report", wanted) == (4, "", said)

    def test_several_begin_so(self, kept: Kept) -> None:
        """The message names them."""
        names = ", ".join(sorted(kept.ids))
        said = f"gpupool: 3 runs in {kept.base} begin with '20': {names}; give more of the name\n"
        assert gpupool(kept.host, "report", "20") == (4, "", said)

    @pytest.mark.parametrize("form", ["json", "html", "markdown", "junit"])
    def test_a_file_that_cannot_be_written(self, kept: Kept, tmp_path: Path, form: str) -> None:
        """The message names it and the reason; the others are written, and no draft is left."""
        (tmp_path / "a-file").write_text("mine")
        (tmp_path / "a-folder").mkdir()
        other = "html" if form == "json" else "json"
        for target, reasons in (("a-folder", "Is a directory"), ("a-file/report", "Not a directory|File exists")):
            path = tmp_path / target
            status, out, err = gpupool(
                kept.host, "report", kept.ids[0], f"--{form}", path, f"--{other}", tmp_path / "good"
            )
            assert status == 4
            assert re.fullmatch(f"gpupool: the report {re.escape(str(path))} could not be written: ({reasons})\n", err)
            assert "complete: 5 passed" in out
            assert sorted(found.name for found in tmp_path.iterdir()) == ["a-file", "a-folder", "good"]
            (tmp_path / "good").unlink()
        assert (tmp_path / "a-file").read_text() == "mine"

    @pytest.mark.parametrize("form", ["json", "html", "junit"])
    def test_a_device_stays_one(self, kept: Kept, tmp_path: Path, form: str) -> None:
        """Root writes to /dev/null, or is told that this cannot be; it is never replaced by a file."""
        device = tmp_path / "null"
        try:
            os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except OSError:
            pytest.skip("only root can make a device, and not in every container")
        gpupool(kept.host, "report", kept.ids[0], f"--{form}", device)
        assert device.is_char_device()
        assert list(tmp_path.iterdir()) == [device]

    @pytest.mark.parametrize("unbuffered", [None, "1"])
    @pytest.mark.parametrize("command", [["runs"], ["report", "latest"], ["schema"]])
    def test_nobody_reads_on(self, kept: Kept, command: list[str], unbuffered: str | None) -> None:
        """As with 'gpupool runs | true': it ends in silence."""
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest_gpupool", *command],
                cwd=kept.host.project,
                env=kept.host.environ(PYTHONUNBUFFERED=unbuffered),
                stdout=writing,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        finally:
            os.close(writing)
        assert done.stderr == ""
        assert done.returncode != 0
