"""The run that is gone on with, as the controller of the new one sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_runs import attempt, write_run

from pytest_gpupool.records.beside.items import Items
from pytest_gpupool.run.earlier.resume import EarlierRun
from pytest_gpupool.values.errors import UsageProblem
from pytest_gpupool.worker.choosing.resume import WholeCollection

EARLIER = "20261120T100000Z-000000"
PASSED, FAILED, ERROR, NEW = (f"test_a.py::test_{name}" for name in ("passed", "failed", "error", "new"))


@pytest.fixture
def earlier(tmp_path: Path) -> EarlierRun:
    """A run that has final results for two tests."""
    records = [
        *attempt(PASSED, at=0.0),
        *attempt(FAILED, at=1.0, outcome="failed"),
        *attempt(ERROR, at=2.0, outcome="error"),
    ]
    write_run(tmp_path, EARLIER, records)
    return EarlierRun(tmp_path, EARLIER)


def whole(**changed: int) -> WholeCollection:
    """All four tests are collected again."""
    return WholeCollection([PASSED, FAILED, ERROR, NEW], changed)


def test_workers_hear_of_final_results_alone(earlier: EarlierRun, tmp_path: Path) -> None:
    assert json.loads(earlier.tell_workers(tmp_path).read_text()) == {PASSED: None, FAILED: None}


def test_without_a_directory_it_cannot_be_resumed(earlier: EarlierRun, tmp_path: Path) -> None:
    told = f"run {EARLIER} cannot be resumed here: "
    with pytest.raises(UsageProblem, match=f"{told}this run keeps no records"):
        earlier.tell_workers(None)
    with pytest.raises(UsageProblem, match=f"{told}No such file or directory"):
        earlier.tell_workers(tmp_path / "missing")


def test_what_does_not_run_again_is_taken_over_with_its_run(earlier: EarlierRun) -> None:
    kept = list(earlier.kept(whole(), {FAILED, ERROR, NEW}, Items(), None))
    assert [(record["test"], record["run"], record["result"]["outcome"]) for record in kept] == [
        (PASSED, EARLIER, "passed")
    ]


def test_what_is_not_collected_any_more_is_not_taken_over(earlier: EarlierRun) -> None:
    assert not list(earlier.kept(WholeCollection([ERROR, NEW], {}), {ERROR, NEW}, Items(), None))


def test_the_user_is_told_how_many_results_are_kept_and_why_others_are_not(earlier: EarlierRun) -> None:
    assert earlier.text(whole(), 2) == f"resuming {EARLIER}: 2 of 4 results kept"
    changed = whole(**{"its parameters": 1, "its file": 2})
    assert earlier.text(changed, 4) == (
        f"resuming {EARLIER}: 0 of 4 results kept; run again although finished: "
        "2 because of its file, 1 because of its parameters"
    )


def test_others_cannot_resume_it_meanwhile(earlier: EarlierRun, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="is being resumed by another run"):
        EarlierRun(tmp_path, EARLIER)
    earlier.close()
    EarlierRun(tmp_path, EARLIER).close()


def test_a_run_in_which_every_worker_ran_every_test_cannot_be_resumed(tmp_path: Path) -> None:
    write_run(tmp_path, EARLIER, attempt(PASSED), each=True)
    with pytest.raises(UsageProblem, match="was one with --dist each, which cannot be resumed"):
        EarlierRun(tmp_path, EARLIER)
