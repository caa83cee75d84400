"""The past: what the runs on record have measured, whoever wrote it and whatever has become of it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_runs import BEGUN, CARDS, COMMIT, Record, attempt, metric, write_run

from pytest_gpupool.records import archive
from pytest_gpupool.records.journal import Journal
from pytest_gpupool.trends import trend
from pytest_gpupool.trends.trend import MeasuredRun
from pytest_gpupool.values.texts import iso

Report = dict[str, Any]

IDS = [f"20261121T11465{number}Z-9f3c2{number}" for number in range(6)]


def worked(worker: str, begun: float = 0.0, ended: float | None = None, **more: Any) -> list[Record]:
    """What is written of a worker's life."""
    told = {"worker": worker, "host": "h", "pid": 1, "devices": [], "lease_wait_s": 0.0, "started": iso(BEGUN + begun)}
    end = {"record": "worker-end", "worker": worker, "exit": "crashed"}
    return [
        {"record": "worker", **told, **more},
        *([] if ended is None else [{**end, "ended": iso(BEGUN + ended)}]),
    ]


class TestWhichRuns:
    """Those that can be read, within limits."""

    @pytest.fixture
    def base(self, tmp_path: Path) -> Path:
        """Four runs of one size."""
        for run in IDS[:4]:
            write_run(tmp_path, run, attempt("t.py::a", metric("time", 1.0)))
        return tmp_path

    def size(self, base: Path) -> int:
        """The bytes of a run's journals."""
        return sum(path.stat().st_size for path in (base / "runs" / IDS[0]).glob("*.jsonl"))

    def ids(self, base: Path, **limits: Any) -> list[str]:
        """The ids of the runs that are read."""
        return [run.id for run in trend.history(base, **limits).runs]

    @pytest.mark.parametrize(("times", "read"), [(4, 4), (3.9, 3), (2, 2), (1, 1), (0.5, 1), (0, 1)])
    def test_only_so_much_is_read(self, base: Path, times: float, read: int) -> None:
        """The latest in any case, and as many before it as fit; how many do not is told."""
        found = trend.history(base, most_bytes=int(times * self.size(base)))
        assert [run.id for run in found.runs] == IDS[4 - read : 4]
        assert found.left_out == 4 - read

    def test_without_a_limit(self, base: Path) -> None:
        """All of them, but the one that asks."""
        assert self.ids(base, most_bytes=None) == IDS[:4]
        assert self.ids(base, skip=IDS[3]) == IDS[:3]
        assert trend.history(base, skip=IDS[3], most_bytes=0).left_out == 2

    def test_one_that_goes_on(self, base: Path) -> None:
        """It is left to its own report."""
        book = Journal(base / "runs" / IDS[1] / "gw7.jsonl")
        book.open()
        with contextlib.closing(book):
            assert self.ids(base) == [IDS[0], IDS[2], IDS[3]]
        assert self.ids(base) == IDS[:4]

    def test_there_is_none(self, tmp_path: Path) -> None:
        """Nor a directory for them."""
        assert trend.history(tmp_path) == trend.History(runs=(), left_out=0)

    def test_one_in_which_nothing_ran(self, base: Path) -> None:
        """As where nothing was collected, or all was kept from an earlier one."""
        write_run(base, IDS[4], [{"record": "collected", "worker": "gw0", "tests": [["t.py::a", {}]]}])
        assert self.ids(base) == IDS[:4]

    @pytest.mark.parametrize("damage", ["{", "\0\xff", '{"record":"start"}\n', "[]\n" * 1000])
    def test_damage_costs_what_is_damaged(self, base: Path, damage: str) -> None:
        """The rest of the run is read."""
        path = base / "runs" / IDS[2] / "gw0.jsonl"
        path.write_text(f"{damage}\n{path.read_text()}")
        assert self.ids(base) == IDS[:4]

    def test_what_cannot_be_read_is_left_out(self, base: Path) -> None:
        """Without an error: a journal that is none, a directory that is empty or gone meanwhile."""
        (base / "runs" / IDS[0] / "gw1.jsonl").mkdir()
        shutil.rmtree(base / "runs" / IDS[1])
        (base / "runs" / IDS[1]).mkdir()
        assert self.ids(base) == IDS[2:4]

    @pytest.mark.parametrize("plan", [None, "{", "[]", '{"format": "gpupool-plan"}'])
    def test_without_a_plan(self, base: Path, plan: str | None) -> None:
        """The values are there; on what kind of device is not known, so that devices are not compared."""
        path = base / "runs" / IDS[3] / archive.PLAN
        path.unlink() if plan is None else path.write_text(plan)
        run = trend.history(base).runs[-1]
        ((value,),) = run.values["t.py::a"].values()
        assert (value.value, value.device, value.device_ids) == (1.0, "unknown", (CARDS[0].id,))
        assert (run.started, run.commit) == ("2026-11-21T11:46:53Z", None)
        assert list(trend.observations([run])) == []


def read(tmp_path: Path, records: Sequence[Record], **more: Any) -> MeasuredRun:
    """The one run on record."""
    write_run(tmp_path, IDS[0], records, **more)
    (run,) = trend.history(tmp_path).runs
    return run


class TestValues:
    """What counts of a run."""

    def test_its_facts(self, tmp_path: Path) -> None:
        """From the plan."""
        run = read(tmp_path, attempt("t.py::a", metric("time", 1.0)))
        assert (run.id, run.started, run.commit) == (IDS[0], iso(BEGUN), COMMIT)
        assert (run.makespan_s, run.speedup, run.efficiency) == (1.0, 1.0, 1.0)

    def test_the_last_attempt(self, tmp_path: Path) -> None:
        """Also where it was on another worker, and has fewer metrics."""
        first = attempt("t.py::a", metric("time", 1.0), metric("early", 1.0))
        second = attempt("t.py::a", metric("time", 2.0), worker="gw1", at=5, devices=[CARDS[3].id])
        run = read(tmp_path, [*second, *first])
        ((name, (value,)),) = run.values["t.py::a"].items()
        assert (name, value.value, value.device) == ("time", 2.0, "NVIDIA T4")

    def test_a_verdict_that_came_later(self, tmp_path: Path) -> None:
        """With the end of the test; a value that was disturbed says nothing of the card."""
        told = {"baseline": 0.5, "change": 1.0, "verdict": "ok"}
        run = read(
            tmp_path,
            [
                *attempt("t.py::a", metric("time", 1.0, **told), metric("other", 2.0), verdicts={"time": "contended"}),
                *attempt("t.py::b", metric("time", "nan"), at=2),
            ],
        )
        (value,) = run.values["t.py::a"]["time"]
        assert (value.baseline, value.verdict) == (0.5, "contended")
        assert [one.metric for one in trend.observations([run])] == ["other"]

    def test_workers_at_a_time(self, tmp_path: Path) -> None:
        """The successor of one that crashed is no further one; one that ran nothing is none."""
        lives = [worked("gw0", 0, 3), worked("gw1", 0), worked("gw2", 3.5), worked("gw3", 0)]
        tests = [attempt(f"t.py::{number}", worker=f"gw{number}", at=number * 2) for number in range(3)]
        assert read(tmp_path, [record for part in (*lives, *tests) for record in part]).workers == 2

    def test_workers_of_whom_nothing_else_is_known(self, tmp_path: Path) -> None:
        """They count all the same."""
        tests = [*attempt("t.py::a"), *attempt("t.py::b", worker="gw1")]
        assert read(tmp_path, tests).workers == 2

    def test_two_devices_together(self, tmp_path: Path) -> None:
        """They say nothing of one."""
        ids = [card.id for card in CARDS[:2]]
        run = read(tmp_path, attempt("t.py::a", metric("time", 1.0), devices=ids))
        assert list(trend.observations([run])) == []

    @pytest.mark.parametrize(
        ("devices", "kind"),
        [
            ([], "CPU"),
            (["cpu:3"], "CPU"),
            ([CARDS[3].id], "NVIDIA T4"),
            ([CARDS[0].id, CARDS[1].id], "2 × NVIDIA H200"),
            ([CARDS[3].id, CARDS[0].id], "NVIDIA H200 + NVIDIA T4"),
            (["GPU-gone"], "unknown"),
        ],
    )
    def test_kinds_of_device(self, tmp_path: Path, devices: list[str], kind: str) -> None:
        """As the baseline names them."""
        run = read(tmp_path, attempt("t.py::a", metric("time", 1.0), devices=devices))
        ((value,),) = run.values["t.py::a"].values()
        assert (value.device, value.device_ids) == (kind, tuple(devices))

    def test_numbers_of_any_size(self, tmp_path: Path) -> None:
        """An int that no float can hold is shown as it is, and not compared."""
        run = read(tmp_path, attempt("t.py::a", metric("count", 10**400), metric("time", 1.5)))
        assert trend.to_page(run)["values"]["t.py::a"]["count"]["value"] == 10**400
        assert [one.metric for one in trend.observations([run])] == ["time"]

    @pytest.mark.parametrize(
        ("verdicts", "worst"),
        [
            (["ok", "regressed"], "regressed"), (["regressed", "invalid"], "invalid"), (["ok", None], "ok"),
            (["improved", "ok"], "improved"), (["contended", "no-baseline"], "contended"), ([None, None], None),
        ],
    )  # fmt: skip
    def test_several_values_on_the_page(
        self, tmp_path: Path, verdicts: Sequence[str | None], worst: str | None
    ) -> None:
        """The mean of what is finite, the worst verdict, and both kinds of device."""
        records: list[Record] = []
        for number, (verdict, device) in enumerate(zip(verdicts, (CARDS[3], CARDS[0]), strict=True)):
            known = metric("time", "nan") if verdict == "invalid" else metric("time", number, verdict=verdict)
            records += attempt("t.py::a", known, worker=f"gw{number}", devices=[device.id])
        shown: Mapping[str, Any] = trend.to_page(read(tmp_path, records, each=True))["values"]["t.py::a"]["time"]
        value = 0.0 if worst == "invalid" else 0.5
        assert shown == {"value": value, "unit": "s", "verdict": worst, "device": "NVIDIA H200 + NVIDIA T4"}
