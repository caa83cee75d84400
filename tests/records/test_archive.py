"""The runs on record: found by name, pruned, held against others, and read whatever has become of their files."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from made_journals import HOLD, IDS, RESUME, make, running

from pytest_gpupool.records import archive, store
from pytest_gpupool.records.archive import Plan
from pytest_gpupool.records.journal import Journal, dump, is_open
from pytest_gpupool.values.errors import UsageProblem
from pytest_gpupool.values.texts import iso

Report = dict[str, Any]


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
        assert store.is_run_id(text)

    @pytest.mark.parametrize("text", ["", "latest", "evals/", "test_a.py", "2026", f"{IDS[0]}/x", "20261121T114652Z g"])
    def test_what_cannot_be_an_id(self, text: str) -> None:
        """As a path behind --gpupool-resume."""
        assert not store.is_run_id(text)


class TestGoesOn:
    """A run goes on while a process of it has its journal open."""

    def test_a_run_that_ended_does_not(self, base: Path) -> None:
        """Nor one that left nothing."""
        assert not archive.goes_on(base / "runs" / IDS[0])
        assert not archive.goes_on(base / "none")

    def test_a_child_that_its_writer_left_behind_does_not_count(self, base: Path) -> None:
        """It was forked while the journal was open, and lives on: it writes nothing."""
        run = base / "runs" / IDS[0]
        with running(HOLD, run / "gw0.jsonl", "fork") as process:
            process.wait()
            assert not archive.goes_on(run)

    def test_a_process_has_it_open(self, base: Path) -> None:
        """It may write, then."""
        run = base / "runs" / IDS[0]
        with running(HOLD, run / "gw0.jsonl", "itself"):
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

    def test_where_a_later_run_writes_stays(self, base: Path) -> None:
        """The folder of the first run of those that have gone on with it, until the last of them goes."""
        first, second, third = (base / "runs" / name for name in IDS[:3])
        (first / "out").mkdir()
        (first / "out" / "model").touch()
        store.take_over_out(first, second)
        store.take_over_out(second, third)
        assert store.out_of(third) == first / "out"
        archive.prune(base, 1)
        assert [run.name for run in archive.runs(base)] == [IDS[0], IDS[2]]
        assert (store.out_of(third) / "model").exists()
        (third / "out").unlink()
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

    def test_what_has_no_test_counts_for_nothing(self, base: Path) -> None:
        """A run that was killed before it had collected pushes no other off, and goes with the next that has."""
        for end in ("000000", "000001"):
            self.empty(base, f"20200101T000000Z-{end}")
        self.empty(base, "20990101T000000Z-000000")
        lost = base / "runs" / IDS[1]
        (lost / archive.CONTROLLER).rename(lost / "gw0.jsonl")  # what the controller wrote is lost, not its worker's
        archive.prune(base, 3)
        assert [run.name for run in archive.runs(base)] == [*IDS[:3], "20990101T000000Z-000000"]

    def empty(self, base: Path, run: str) -> None:
        """Make a run that has a worker, and no test."""
        (base / "runs" / run).mkdir()
        lines = ({"record": "journal", "version": 1}, {"record": "worker", "worker": "gw0"})
        (base / "runs" / run / archive.CONTROLLER).write_text("".join(f"{dump(line)}\n" for line in lines))

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
