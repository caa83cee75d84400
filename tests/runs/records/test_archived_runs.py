"""What runs of pytest have left is read whatever has become of their files."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_journals import HOLD, IDS, make, running
from standin import Driver
from support import SCHEMA, Host, gpus

from pytest_gpupool.devices.pool import Pool
from pytest_gpupool.records import archive
from pytest_gpupool.records.archive import Plan, Recorded
from pytest_gpupool.reports.json import build
from pytest_gpupool.values.errors import UsageProblem

Report = dict[str, Any]


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
    assert (report["summary"]["passed"], report["summary"]["crashed"]) == ((3, 1) if driver else (3, 0))
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
