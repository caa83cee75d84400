"""The records of one run in the controller: its own, and those of its workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_records import collected, end, leased, start
from made_run_parts import Silent, records

from pytest_gpupool.records.journal import Journal, dump, read
from pytest_gpupool.records.record import Record

TEST = "test_a.py::test_a"
OTHER = "test_a.py::test_b"


def write_journal(directory: Path, worker: str, *lines: Record) -> None:
    """What a worker has written."""
    journal = Journal(directory / f"{worker}.jsonl")
    for line in lines:
        journal.append(dump(line))
    journal.close()


def test_what_is_written_is_on_disk_and_folded(tmp_path: Path) -> None:
    run = records(tmp_path)
    run.open()
    run.write("collected", worker="gw0", tests=[[TEST, {}]])
    run.close()
    assert [record["record"] for record in read(tmp_path / "controller.jsonl")] == ["collected"]
    assert [test.nodeid for test in run.results.tests] == [TEST]
    assert run.are_kept
    assert run.problem is None


def test_without_a_directory_records_are_folded_and_not_kept() -> None:
    run = records(None)
    run.open()
    run.write("collected", worker="gw0", tests=[[TEST, {}]])
    assert run.results.collected == 1
    assert not run.are_kept


def test_lost_records_are_said_once_and_each_writer_is_remembered() -> None:
    console = Silent()
    run = records(None, console)
    for worker in ("gw0", "gw1"):
        run.take(json.dumps({"record": "journal-problem", "worker": worker, "text": "the disk is full"}))
    assert console.warnings == [
        "records could not be kept: the disk is full; the reports of this run are complete all the same"
    ]
    assert run.unjournaled == {"gw0", "gw1"}


def test_a_controller_that_cannot_write_says_why(tmp_path: Path) -> None:
    (tmp_path / "controller.jsonl").mkdir()
    run = records(tmp_path)
    run.open()
    assert str(run.problem).endswith("Is a directory")


class TestLastAttempts:
    """What a worker's journal has, for a worker that died."""

    def test_an_attempt_that_is_repeated_counts_no_more(self, tmp_path: Path) -> None:
        last = start("gw0", TEST, after=5.0)
        write_journal(tmp_path, "gw0", start("gw0", TEST), end("gw0", TEST), last, start("gw0", OTHER))
        attempts = records(tmp_path).last_attempts("gw0")
        assert attempts is not None
        assert list(attempts) == [TEST, OTHER]
        assert attempts[TEST] == [last]

    def test_a_worker_without_a_journal_has_none(self, tmp_path: Path) -> None:
        assert records(None).last_attempts("gw0") is None
        run = records(tmp_path)
        run.are_lost("gw0", "the disk is full")
        assert run.last_attempts("gw0") is None

    def test_a_worker_that_has_begun_nothing_has_no_attempts(self, tmp_path: Path) -> None:
        assert records(tmp_path).last_attempts("gw0") == {}


class TestHasResult:
    """Whether a test of a dead worker's queue is over."""

    def test_a_test_that_ended_there_has_its_result(self, tmp_path: Path) -> None:
        run = records(tmp_path)
        told = [start("gw0", TEST), end("gw0", TEST)]
        write_journal(tmp_path, "gw0", *told)
        run.results.add_all([collected(TEST), *told])
        assert run.has_result("gw0", TEST, run.last_attempts("gw0"))
        assert run.has_result("gw0", TEST, None)
        assert not run.has_result("gw1", TEST, None)
        assert not run.has_result("gw0", OTHER, None)

    def test_a_rerun_of_which_only_the_journal_knows_is_not_over(self, tmp_path: Path) -> None:
        run = records(tmp_path)
        told = [start("gw0", TEST), end("gw0", TEST)]
        write_journal(tmp_path, "gw0", *told, start("gw0", TEST, after=5.0))
        run.results.add_all([collected(TEST), *told])
        assert not run.has_result("gw0", TEST, run.last_attempts("gw0"))


@pytest.mark.parametrize("has_ended", [False, True])
def test_catching_up_reads_the_journals_of_workers_that_have_not_ended(tmp_path: Path, has_ended: bool) -> None:
    write_journal(tmp_path, "gw0", start("gw0", TEST), end("gw0", TEST))
    run = records(tmp_path)
    run.results.add_all([collected(TEST), leased("gw0")])
    if has_ended:
        run.write("worker-end", worker="gw0", ended="2026-11-21T10:00:09.000000Z", exit="finished")
    run.catch_up()
    assert run.results.is_complete is not has_ended
