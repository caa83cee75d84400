"""The runs on record: found by name, pruned, held against others, and read whatever has become of their files."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import Driver
from support import SCHEMA, Host, gpus

from pytest_gpupool.devices.pool import Pool
from pytest_gpupool.records import archive, store
from pytest_gpupool.records.archive import Plan, Recorded
from pytest_gpupool.records.journal import Journal, dump, is_open
from pytest_gpupool.reports.json import build
from pytest_gpupool.values.errors import UsageProblem
from pytest_gpupool.values.texts import iso

Report = dict[str, Any]

IDS = [f"20261121T11465{number}Z-9f3c2{number}" for number in range(6)]

HOLD = """
import os, sys
from pathlib import Path
from pytest_gpupool.records.journal import Journal

book = Journal(Path(sys.argv[1]))
book.open()
if sys.argv[2] == "fork" and os.fork():
    os._exit(0)
print("open", flush=True)
sys.stdin.read()
book.close()
"""
"""Has a journal open until its input ends; with ``fork`` that is a child, and the process itself is gone."""

RESUME = """
import sys
from pathlib import Path
from pytest_gpupool.records import archive

with archive.resuming(Path(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def running(source: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """Run a process that says that it is ready, until the end of the block."""
    command = [sys.executable, "-c", source, *map(str, args)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
    finally:
        process.communicate()  # the end of its input is its own end, and that of its child


def make(base: Path, run: str, *, collected: bool = True) -> Path:
    """The directory of a run that ended."""
    directory = base / "runs" / run
    directory.mkdir(parents=True)
    tests = {"record": "collected", "worker": "main", "tests": [["t", {}]]}
    book = Journal(directory / archive.CONTROLLER)
    book.open()
    if collected:
        book.append(dump(tests))
    book.close()
    return directory


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Three runs."""
    for run in IDS[:3]:
        make(tmp_path, run)
    return tmp_path


def refused(base: Path, wanted: str) -> str:
    """Why there is no such run."""
    with pytest.raises(UsageProblem) as raised:
        archive.find(base, wanted)
    return str(raised.value)


class TestFind:
    """A run is named by its id, the beginning of it, its path, or 'latest'."""

    def test_runs_are_in_the_order_of_their_starts(self, base: Path) -> None:
        """The latest is the last; what is no run's directory is none."""
        (base / "runs" / "notes.txt").write_text("mine")
        (base / "runs" / "mine").mkdir()
        (base / "runs" / IDS[4]).write_text("a file")
        (base / "runs" / IDS[5]).symlink_to(base / "runs" / IDS[0])
        assert [run.name for run in archive.runs(base)] == IDS[:3]
        assert archive.runs(base / "none") == []

    @pytest.mark.parametrize("wanted", [IDS[1], IDS[1][:15], "latest"])
    def test_by_name(self, base: Path, wanted: str) -> None:
        """One that fits is enough."""
        expected = IDS[2] if wanted == "latest" else IDS[1]
        assert archive.find(base, wanted) == base / "runs" / expected

    def test_the_latest_is_one_that_collected_something(self, base: Path) -> None:
        """A run that failed before, as by a wrong option, is not what anybody means; one that only kept results is."""
        make(base, IDS[3], collected=False)
        (base / "runs" / IDS[4]).mkdir()
        assert archive.find(base, "latest").name == IDS[2]
        plan = {"params": {}, "outcome": "passed", "attempt": 1, "worker": None, "devices": [], "started": None}
        rest = dict.fromkeys(("ended", "duration_s", "message", "torch_peak", "recipe"))
        kept = {"record": "kept", "test": "t", "run": IDS[0], "result": plan | rest | {"phases": {}, "metrics": []}}
        (make(base, IDS[5], collected=False) / archive.CONTROLLER).write_text(dump(kept))
        assert archive.find(base, "latest").name == IDS[5]

    def test_of_two_runs_in_one_second_the_later_is_the_latest(self, tmp_path: Path) -> None:
        """As where one follows the other in a script."""
        for hundredth in range(20):
            now = 1795261612 + hundredth / 100
            later = make(tmp_path, store.new_run_id(now))
            archive.write_plan(later, Plan(facts={"started": iso(now)}))
            assert archive.find(tmp_path, "latest") == later

    def test_several_begin_so(self, base: Path) -> None:
        """The message names them, the latest five."""
        assert refused(base, "20261121T1146") == (
            f"3 runs in {base} begin with '20261121T1146': {IDS[0]}, {IDS[1]}, {IDS[2]}; give more of the name"
        )
        for run in IDS[3:]:
            make(base, run)
        assert f"6 runs in {base} begin with '2': {', '.join(IDS[1:])}; give more" in refused(base, "2")

    @pytest.mark.parametrize("wanted", ["2027", "", "other", "/nowhere", "é\ud800", "a\0b", "x" * 300])
    def test_there_is_no_such_run(self, base: Path, wanted: str) -> None:
        """The message names the latest three."""
        names = ", ".join(IDS[:3])
        assert refused(base, wanted) == f"there is no run {wanted!r} on record in {base}; the latest there: {names}"

    def test_there_is_none_at_all(self, tmp_path: Path) -> None:
        """Whatever it is called."""
        assert refused(tmp_path, "latest") == f"there is no run on record in {tmp_path}"
        assert refused(tmp_path, "2") == f"there is no run '2' on record in {tmp_path}; the latest there: none"
        make(tmp_path, IDS[0], collected=False)
        assert refused(tmp_path, "latest") == f"there is no run on record in {tmp_path}"

    @pytest.mark.parametrize("wanted", [".", "../" + IDS[1], "", "link"])
    def test_by_path(self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
        """From anywhere, also one that was moved away; it is the run of that name."""
        run = shutil.copytree(base / "runs" / IDS[1], tmp_path / "moved" / IDS[1])
        (run / "link").symlink_to(run)
        monkeypatch.chdir(run)
        found = archive.find(base, wanted or str(run))
        assert found.samefile(run)
        assert archive.load(found).id == IDS[1]

    @pytest.mark.parametrize("text", [IDS[0], "20261121T", "20261121T114652Z-9f"])
    def test_what_can_be_an_id(self, text: str) -> None:
        """A whole one, or its beginning."""
        assert archive.is_run_id(text)

    @pytest.mark.parametrize("text", ["", "latest", "evals/", "test_a.py", "2026", f"{IDS[0]}/x", "20261121T114652Z g"])
    def test_what_cannot_be_an_id(self, text: str) -> None:
        """As a path behind --gpupool-resume."""
        assert not archive.is_run_id(text)


class TestGoesOn:
    """A run goes on while a process of it has its journal open."""

    def test_a_run_that_ended_does_not(self, base: Path) -> None:
        """Nor one that left nothing."""
        assert not archive.goes_on(base / "runs" / IDS[0])
        assert not archive.goes_on(base / "none")

    @pytest.mark.parametrize("how", ["itself", "fork"])
    def test_a_process_has_it_open(self, base: Path, how: str) -> None:
        """Itself, or a child that it left behind."""
        run = base / "runs" / IDS[0]
        with running(HOLD, run / "gw0.jsonl", how):
            assert archive.goes_on(run)
            assert archive.goes_on(run)  # looking changes nothing
        assert not archive.goes_on(run)

    def test_a_killed_process_has_nothing_open(self, base: Path) -> None:
        """However it ends."""
        run = base / "runs" / IDS[0]
        with running(HOLD, run / "gw0.jsonl", "itself") as process:
            process.kill()
            process.wait()
            assert not archive.goes_on(run)

    def test_a_program_that_it_started_does_not_count(self, base: Path) -> None:
        """It knows nothing of the journal."""
        book = Journal(base / "runs" / IDS[0] / "main.jsonl")
        book.open()
        with running("print('open', flush=True); input()") as process:
            book.close()
            assert not archive.goes_on(base / "runs" / IDS[0])
            process.communicate("\n")

    def test_those_who_look_do_not_see_each_other(self, base: Path) -> None:
        """Two that look at once, as 'gpupool runs' and a run that starts, both see that it has ended."""
        run = base / "runs" / IDS[0]
        with ThreadPoolExecutor(4) as threads:
            assert not any(threads.map(lambda _: any(archive.goes_on(run) for _ in range(500)), range(4)))

    def test_a_look_does_not_hide_a_run(self, base: Path) -> None:
        """Also one in the moment in which a journal is opened."""
        path, stop = base / "runs" / IDS[0] / archive.CONTROLLER, threading.Event()

        def look() -> None:
            while not stop.is_set():
                is_open(path)

        looker = threading.Thread(target=look)
        looker.start()
        try:
            for _ in range(1500):
                book = Journal(path)
                book.open()
                assert all(is_open(path) for _ in range(20))
                book.close()
        finally:
            stop.set()
            looker.join()


class TestPrune:
    """The latest runs are kept."""

    def test_the_latest_stay(self, base: Path) -> None:
        """As many as are asked for."""
        archive.prune(base, 5)
        assert [run.name for run in archive.runs(base)] == IDS[:3]
        archive.prune(base, 2)
        assert sorted(path.name for path in (base / "runs").iterdir()) == IDS[1:3]

    @pytest.mark.parametrize("journal", [archive.CONTROLLER, "gw7.jsonl"])
    def test_one_that_goes_on_stays(self, base: Path, journal: str) -> None:
        """Though it is the oldest, and though only a worker of it is left."""
        with running(HOLD, base / "runs" / IDS[0] / journal, "itself"):
            archive.prune(base, 1)
            assert [run.name for run in archive.runs(base)] == [IDS[0], IDS[2]]
        archive.prune(base, 1)
        assert [run.name for run in archive.runs(base)] == [IDS[2]]

    def test_what_is_no_run_stays(self, base: Path, tmp_path: Path) -> None:
        """Files and folders of others, links, and what they lead to."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "mine.txt").write_text("mine")
        runs = base / "runs"
        (runs / "20200101T000000Z-000000").symlink_to(outside)
        (runs / "20200101T000000Z-000001").write_text("mine")
        (runs / "20200101T000000Z-mine").mkdir()
        (runs / IDS[0] / "link").symlink_to(outside)
        archive.prune(base, 1)
        assert sorted(path.name for path in runs.iterdir()) == [
            *(f"20200101T000000Z-{end}" for end in ("000000", "000001", "mine")),
            IDS[2],
        ]
        assert (outside / "mine.txt").read_text() == "mine"

    def test_nothing_to_prune(self, tmp_path: Path) -> None:
        """As before the first run."""
        archive.prune(tmp_path / "none", 1)
        assert list(tmp_path.iterdir()) == []


class TestResuming:
    """Only one run goes on with another, and not before that has ended."""

    def refused(self, run: Path) -> str:
        """Why it cannot be resumed now."""
        with pytest.raises(UsageProblem) as raised, archive.resuming(run):
            pass
        return str(raised.value)

    def test_a_second_one_is_refused(self, base: Path) -> None:
        """Until the first one has ended, be it killed."""
        run = base / "runs" / IDS[0]
        with running(RESUME, run) as process:
            assert self.refused(run) == f"run {IDS[0]} is being resumed by another run, wait for its end"
            with archive.resuming(base / "runs" / IDS[1]):
                pass  # another run is another matter
            process.kill()
            process.wait()
            with archive.resuming(run):
                pass
        with archive.resuming(run):
            pass

    def test_a_run_that_goes_on_is_refused(self, base: Path) -> None:
        """Until it has ended."""
        run = base / "runs" / IDS[0]
        with running(HOLD, run / "gw0.jsonl", "itself"):
            text = f"run {IDS[0]} still goes on: wait for its end, or end it, before you resume it"
            assert self.refused(run) == text == self.refused(run)
        with archive.resuming(run):
            pass


@dataclass(frozen=True)
class Made:
    """A real run: its directory, and what it reported."""

    path: Path
    report: Report

    @property
    def files(self) -> dict[str, bytes]:
        """What is in it."""
        return {path.name: path.read_bytes() for path in sorted(self.path.iterdir())}

    def copy(self, where: Path) -> Path:
        """Its directory once more, under the same name."""
        return Path(shutil.copytree(self.path, where / self.path.name))


SUITE = """
    import math, os
    import pytest

    @pytest.mark.parametrize("case", range(3))
    def test_case(case, record_metric): record_metric("accuracy", case / 2, unit="%", n=10, higher_is_better=True)
    def test_fails(): assert 1 == 2, "two is not one"
    def test_is_nan(record_metric): record_metric("loss", math.nan)
    @pytest.mark.skip(reason="not today")
    def test_skipped(): pass
    def test_dies(record_metric):
        record_metric("before", 1)
        os._exit(3)
"""


@pytest.fixture(scope="module", params=["-n2", "-n0"])
def made(request: pytest.FixtureRequest, libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run on two GPUs, in which a worker died; or one without workers, on the CPU."""
    folder = tmp_path_factory.mktemp("made")
    driver = Driver(libraries, folder / "nvml-state", gpus(2)) if request.param == "-n2" else None
    host = Host(folder, driver)
    host.write("test_suite.py", SUITE if driver else SUITE.replace("os._exit(3)", "raise OSError"))
    report = host.pytest(request.param).report
    assert report["summary"]["crashed"] == (1 if driver else 0)
    return Made(host.project / ".gpupool" / "runs" / report["run"]["id"], report)


def report_of(recorded: Recorded) -> Report:
    """The report of a recorded run; fails where it is not valid."""
    report = build(recorded.facts(), Pool(devices=recorded.plan.devices), recorded.results)
    SCHEMA.validate(report)
    json.dumps(report, allow_nan=False)
    return report


def comparable(report: Report) -> Report:
    """A report without what only the run itself has measured."""
    run = {key: value for key, value in report["run"].items() if key != "duration_s"}
    return {**report, "run": run, "workers": sorted(report["workers"], key=lambda worker: str(worker["id"]))}


class TestLoad:
    """A run's directory tells what the run has told."""

    def test_it_is_what_the_run_reported(self, made: Made) -> None:
        """Every test, metric, worker and device, and its exit status."""
        recorded = archive.load(made.path)
        assert recorded.problems == ()
        assert comparable(report_of(recorded)) == comparable(made.report)

    def test_a_journal_that_was_cut_off(self, made: Made, tmp_path: Path) -> None:
        """At every byte of its last two lines: all whole lines count, and the cut is no damage."""
        path = made.copy(tmp_path)
        for name in ("controller.jsonl", "gw0.jsonl" if (path / "gw0.jsonl").exists() else "main.jsonl"):
            whole = (path / name).read_bytes()
            lines = whole.splitlines(keepends=True)
            ends = [len(whole) - len(lines[-1]) - len(lines[-2]), len(whole) - len(lines[-1]), len(whole)]
            expected = []
            for end in ends:
                (path / name).write_bytes(whole[:end])
                expected.append(archive.load(path))
            for length in range(ends[0], len(whole)):
                (path / name).write_bytes(whole[:length])
                # A line that lacks nothing but its line break is whole.
                known = expected[max(number for number in range(3) if length >= ends[number] - (number > 0))]
                recorded = archive.load(path)
                assert recorded.results.tests == known.results.tests, length
                assert recorded.results.workers == known.results.workers, length
                assert (recorded.exit_status, recorded.problems) == (known.exit_status, ()), length
            (path / name).write_bytes(whole)
        assert archive.load(path).results.tests == archive.load(made.path).results.tests

    @pytest.mark.parametrize(("count", "said"), [(1, "1 damaged line"), (2, "2 damaged lines")])
    def test_damaged_lines_are_counted(self, made: Made, tmp_path: Path, count: int, said: str) -> None:
        """All others are read."""
        path = made.copy(tmp_path)
        first, *others = (path / archive.CONTROLLER).read_bytes().splitlines(keepends=True)
        damage = [b"\x00\xff\n", b'{"record":"end","worker":"gw0"}\n'][:count]
        (path / archive.CONTROLLER).write_bytes(b"".join([first, *damage, *others]))
        recorded = archive.load(path)
        assert recorded.problems == (f"controller.jsonl: {said} left out",)
        assert comparable(report_of(recorded)) == comparable(made.report)

    def test_a_newer_version_is_said(self, made: Made, tmp_path: Path) -> None:
        """What is known of it is read."""
        path = made.copy(tmp_path)
        text = (path / archive.CONTROLLER).read_text().replace('"version":1', '"version":2', 1)
        (path / archive.CONTROLLER).write_text(text + '{"record":"energy","ended":"soon","joule":[7]}\n')
        recorded = archive.load(path)
        assert recorded.problems == (
            "controller.jsonl is of version 2, of a newer pytest-gpupool: read as far as known here",
        )
        assert comparable(report_of(recorded)) == comparable(made.report)

    def test_nothing_is_there(self, tmp_path: Path) -> None:
        """Neither a plan nor a journal: the report has no test, and says why."""
        (tmp_path / IDS[0]).mkdir()
        recorded = archive.load(tmp_path / IDS[0])
        assert recorded.problems == (
            "plan.json is missing: the run was ended before it was written",
            f"{tmp_path / IDS[0]} holds no records",
        )
        report = report_of(recorded)
        assert (report["tests"], report["run"]["started"], report["run"]["complete"]) == (
            [], "2026-11-21T11:46:50Z", False,
        )  # fmt: skip

    def test_a_journal_that_cannot_be_read(self, tmp_path: Path) -> None:
        """The error names the run and the reason."""
        (tmp_path / IDS[0] / "gw0.jsonl").mkdir(parents=True)
        with pytest.raises(UsageProblem) as raised:
            archive.load(tmp_path / IDS[0])
        assert str(raised.value) == f"{tmp_path / IDS[0]} cannot be read: Is a directory"

    def test_the_workers_of_a_run_that_was_killed(self, made: Made, tmp_path: Path) -> None:
        """They were killed, unless they still go on."""
        path = made.copy(tmp_path)
        lines = (path / archive.CONTROLLER).read_text().splitlines(keepends=True)
        (path / archive.CONTROLLER).write_text("".join(line for line in lines if "-end" not in line))
        assert {worker.exit for worker in archive.load(path).results.workers.values()} == {"killed"}
        with running(HOLD, path / archive.CONTROLLER, "itself"):
            recorded = archive.load(path)
        assert {worker.exit for worker in recorded.results.workers.values()} == {None}
        assert recorded.exit_status is None
        assert report_of(recorded)["run"]["exit_status"] is None


class TestPlan:
    """The plan is a help, not a need."""

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (None, "plan.json is missing: the run was ended before it was written"),
            ("", "plan.json is damaged: it is not used"),
            ("[]", "plan.json is damaged: it is not used"),
            ('{"format": "other", "version": 1}', "plan.json is damaged: it is not used"),
        ],
        ids=["missing", "empty", "list", "other"],
    )
    def test_without_it(self, made: Made, tmp_path: Path, text: str | None, said: str) -> None:
        """All results are there; of the run itself what its id and its records say."""
        path = made.copy(tmp_path)
        (path / archive.PLAN).unlink()
        if text is not None:
            (path / archive.PLAN).write_text(text)
        recorded = archive.load(path)
        assert recorded.problems == (said,)
        report = report_of(recorded)
        assert report["tests"] == made.report["tests"]
        assert report["run"]["command"] == "unknown"
        assert report["run"]["started"][:19] == made.report["run"]["started"][:19]

    def test_of_a_newer_version(self, made: Made, tmp_path: Path) -> None:
        """What is known of it is used, and the version said."""
        path = made.copy(tmp_path)
        plan = json.loads((path / archive.PLAN).read_text()) | {"version": 2, "engines": ["local"]}
        (path / archive.PLAN).write_text(json.dumps(plan))
        recorded = archive.load(path)
        assert recorded.problems == ("plan.json is of version 2, of a newer pytest-gpupool",)
        assert comparable(report_of(recorded)) == comparable(made.report)

    def test_what_was_written_is_read(self, made: Made, tmp_path: Path) -> None:
        """Also whether each worker runs every test."""
        run = make(tmp_path, IDS[0])
        plan = Plan(facts={"command": "pytest été \ud800"}, devices=archive.load(made.path).plan.devices, each=True)
        archive.write_plan(run, plan)
        assert archive.load(run).plan == plan
        assert sorted(path.name for path in run.iterdir()) == [archive.CONTROLLER, archive.PLAN]


TOKENS = (
    b"-1",
    b"NaN",
    b"1e999",
    b"0",
    b"9" * 5000,
    b"null",
    b"true",
    b'""',
    b"[]",
    b"{}",
    b'"nan"',
    b'"cpu:1"',
    b"\\",
)
"""What may stand where a number, a word or a text stood: other values, and damage."""


@st.composite
def damages(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file in which something has gone wrong, up to four times."""
    for _ in range(draw(st.integers(1, 4))):
        lines, size = whole.splitlines(keepends=True), len(whole)
        at = draw(st.integers(0, max(0, size - 1)), label="at")
        how = draw(st.sampled_from(["flip", "delete", "insert", "truncate", "double", "shuffle", "value"]))
        if how == "flip" and size:
            whole = whole[:at] + bytes([whole[at] ^ (1 << draw(st.integers(0, 7)))]) + whole[at + 1 :]
        elif how == "delete":
            whole = whole[:at] + whole[at + draw(st.integers(1, 50)) :]
        elif how == "insert":
            whole = whole[:at] + draw(st.binary(max_size=8) | st.just(b"\n")) + whole[at:]
        elif how == "truncate":
            whole = whole[:at]
        elif how == "double" and lines:
            lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
            whole = b"".join(lines)
        elif how == "shuffle":
            whole = b"".join(draw(st.permutations(lines)))
        elif how == "value":
            spans = [match.span() for match in re.finditer(rb'"[^"]*"|-?[0-9.]+|null|false', whole)]
            if spans:
                start, end = draw(st.sampled_from(spans))
                whole = whole[:start] + draw(st.sampled_from(TOKENS)) + whole[end:]
    return whole


class TestDamaged:
    """Whatever has become of the files: what can be read is reported."""

    def reported(self, path: Path) -> None:
        """Fails unless there is a valid report, or a word why there is none."""
        with contextlib.suppress(UsageProblem):
            recorded = archive.load(path)
            assert all(isinstance(problem, str) for problem in recorded.problems)
            report_of(recorded)

    @given(data=st.data())
    def test_any_damage_to_any_file(
        self, made: Made, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        """Bits, lines and values; in one file or in all."""
        path = tmp_path_factory.getbasetemp() / "damaged" / made.path.name
        path.mkdir(parents=True, exist_ok=True)
        names = [name for name in made.files if name != archive.PLAN]
        harmed = data.draw(st.sets(st.sampled_from(names), min_size=1), label="harmed")
        for name, whole in made.files.items():
            (path / name).write_bytes(data.draw(damages(whole), label=name) if name in harmed else whole)
        self.reported(path)

    @given(data=st.data())
    def test_any_damage_to_the_plan(
        self, made: Made, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        """The tests are reported all the same."""
        path = tmp_path_factory.getbasetemp() / "plans" / made.path.name
        if not path.exists():
            shutil.copytree(made.path, path)
        whole = data.draw(damages(made.files[archive.PLAN]) | st.binary(), label="plan")
        (path / archive.PLAN).write_bytes(whole)
        recorded = archive.load(path)
        if not recorded.plan.each:
            assert report_of(recorded)["tests"] == made.report["tests"]
        self.reported(path)

    @pytest.mark.parametrize(
        "key",
        ["id", "started", "command", "rootdir", "git", "host", "software", "resumed_from", "exit_status", "more"],
    )
    def test_a_wrong_fact_of_the_plan(self, made: Made, tmp_path: Path, key: str) -> None:
        """One value is of another type than it must be, or another one than there is."""
        path = made.copy(tmp_path)
        for value in (None, 5, "soon", [], {}, {"name": 5}, [1], -1, True, 1e999):
            plan = json.loads(made.files[archive.PLAN])
            plan["run"][key] = value
            (path / archive.PLAN).write_text(json.dumps(plan))
            assert report_of(archive.load(path))["tests"] == made.report["tests"], value

    def test_a_wrong_device_of_the_plan(self, made: Made, tmp_path: Path) -> None:
        """It is not in the report's pool then."""
        path = made.copy(tmp_path)
        device = {"id": "GPU-0", "kind": "gpu", "index": 0, "name": "NVIDIA H200", "memory_total": 100}
        wrong: list[tuple[str, object]] = [("id", 5), ("id", []), ("id", "x"), ("kind", "tpu"), ("index", -1)]
        for key, value in [*wrong, ("name", None), ("memory_total", "much"), ("memory_total", -1), ("cores", 8)]:
            plan = json.loads(made.files[archive.PLAN])
            plan["devices"] = [{**device, key: value}]
            (path / archive.PLAN).write_text(json.dumps(plan))
            assert report_of(archive.load(path))["tests"] == made.report["tests"], (key, value)
