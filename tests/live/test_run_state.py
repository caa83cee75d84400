"""How far a run is, who runs what, and when it will end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from made_records import START, collected, end, leased, start

from pytest_gpupool.live.run_state import Row, RunState, longest, records_of
from pytest_gpupool.records.folding.results import Results
from pytest_gpupool.records.record import Record
from pytest_gpupool.values.texts import iso


def metric(worker: str, test: str, name: str, value: float) -> Record:
    return {"record": "metric", "worker": worker, "test": test, "metric": {"name": name, "value": value, "unit": ""}}


def crash(worker: str, test: str, kind: str = "crash") -> Record:
    return {"record": kind, "worker": worker, "test": test, "ended": iso(START), "message": f"{worker} died"}


def gone(worker: str) -> Record:
    return {"record": "worker-end", "worker": worker, "ended": iso(START), "exit": "finished"}


def state_of(*records: Record, each: bool = False) -> RunState:
    made = RunState(each=each)
    made.fold_all(records)
    return made


def test_a_test_that_is_measured_again_has_ended_all_the_same() -> None:
    """It is shown where it runs, with what is suspect, and counts once, however it ends."""
    begun = (*BEGUN, end("gw0", "a"), {"record": "suspect", "worker": "gw0", "test": "a", "metrics": ["m"]})
    again = {**start("gw0", "a"), "started": iso(START + 1), "confirms": True}
    made = state_of(*begun, again)
    assert (made.suspects, made.rows(START)[0].test, made.counts().done) == ({"a": ("m",)}, "a", 1)
    over = state_of(*begun, again, end("gw0", "a", "failed"), {**begun[-1], "metrics": []})
    assert (over.suspects, counted(over)) == ({}, (1, 0, 0, 2))


def counted(made: RunState) -> tuple[int, int, int, int]:
    counts = made.counts()
    assert counts.done + counts.running + counts.waiting == counts.total
    return counts.done, counts.failed, counts.running, counts.waiting


# How far the run is


BEGUN = (collected("a", "b", "c"), leased("gw0", "GPU-0"), start("gw0", "a"))


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param((), (0, 0, 0, 0), id="nothing"),
        pytest.param((collected("a", "b"),), (0, 0, 0, 2), id="collected"),
        pytest.param((collected("a", "b"), collected("a", "b")), (0, 0, 0, 2), id="collected-twice"),
        pytest.param(BEGUN, (0, 0, 1, 2), id="begun"),
        pytest.param((*BEGUN, end("gw0", "a")), (1, 0, 0, 2), id="passed"),
        pytest.param((*BEGUN, end("gw0", "a", "skipped")), (1, 0, 0, 2), id="skipped"),
        pytest.param((*BEGUN, end("gw0", "a", "xfailed")), (1, 0, 0, 2), id="expected-failure"),
        pytest.param((*BEGUN, end("gw0", "a", "failed")), (1, 1, 0, 2), id="failed"),
        pytest.param((*BEGUN, end("gw0", "a", "error")), (1, 1, 0, 2), id="error"),
        pytest.param((*BEGUN, crash("gw0", "a"), gone("gw0")), (1, 1, 0, 2), id="crashed"),
        pytest.param((*BEGUN, crash("gw0", "a", "timeout"), gone("gw0")), (1, 1, 0, 2), id="timeout"),
        pytest.param((*BEGUN, end("gw0", "a", "failed"), start("gw0", "a")), (0, 0, 1, 2), id="rerun"),
        pytest.param((*BEGUN, end("gw0", "a", "failed"), start("gw0", "a"), end("gw0", "a")), (1, 0, 0, 2), id="flaky"),
        pytest.param((*BEGUN, gone("gw0")), (0, 0, 0, 3), id="worker-gone"),
        pytest.param((*BEGUN, {"record": "of a newer version"}), (0, 0, 1, 2), id="unknown-record"),
        pytest.param(
            (collected("a", "b"), {"record": "kept", "test": "a", "run": "r", "result": {"outcome": "failed"}}),
            (1, 1, 0, 1),
            id="kept",
        ),
    ],
)
def test_every_test_is_done_runs_or_is_left(records: tuple[Record, ...], expected: tuple[int, ...]) -> None:
    assert counted(state_of(*records)) == expected


def test_a_start_that_is_read_after_the_crash_changes_nothing() -> None:
    """The journals of a worker and of the controller are read one after the other."""
    made = state_of(collected("a"), leased("gw0", "GPU-0"), crash("gw0", "a"), start("gw0", "a"), gone("gw0"))
    assert counted(made) == (1, 1, 0, 0)
    assert not made.rows(START)


def test_with_each_every_worker_runs_every_test() -> None:
    """One that goes on for a dead one runs the dead one's tests."""
    made = state_of(
        collected("a", worker="gw0"),
        collected("a", worker="gw1"),
        leased("gw0", "GPU-0"),
        leased("gw1", "GPU-1"),
        start("gw0", "a"),
        start("gw1", "a"),
        end("gw1", "a"),
        gone("gw0"),
        {"record": "replaces", "worker": "gw2", "dead": "gw0"},
        leased("gw2", "GPU-0"),
        start("gw2", "a"),
        each=True,
    )
    assert counted(made) == (1, 0, 1, 0)


def test_a_row_says_what_a_worker_runs_for_how_long_and_its_last_metric() -> None:
    """Between two tests it has none of them, and with its end the row goes."""
    made = state_of(*BEGUN, metric("gw0", "a", "loss", 2.0), metric("gw0", "a", "loss", 1.0))
    (row,) = made.rows(START + 12.0)
    assert (row.worker, row.devices, row.test, row.seconds) == ("gw0", ("GPU-0",), "a", 12.0)
    assert row.metric is not None
    assert row.metric["value"] == 1.0
    made.fold(end("gw0", "a"))
    (row,) = made.rows(START)
    assert (row.test, row.seconds, row.metric) == (None, None, None)
    made.fold(gone("gw0"))
    assert made.rows(START) == []


def test_the_last_failure_is_named() -> None:
    made = state_of(*BEGUN, end("gw0", "a", "failed", message="assert 1 > 2"), start("gw0", "b"), end("gw0", "b"))
    assert made.failure == ("a", "assert 1 > 2")


def test_what_results_know_is_told_where_there_are_no_journals() -> None:
    results = Results()
    records = (
        *BEGUN,
        metric("gw0", "a", "loss", 1.0),
        end("gw0", "a", "failed", message="no"),
        start("gw0", "b"),
        metric("gw0", "b", "loss", 0.5),
        leased("gw1", "GPU-1"),
        gone("gw1"),
    )
    results.add_all(records)
    told = state_of(*records_of(results))
    assert counted(told) == counted(state_of(*records)) == (1, 1, 1, 1)
    assert told.rows(START + 1) == state_of(*records).rows(START + 1)
    assert told.failure == ("a", "no")


# When it will end


@pytest.mark.parametrize(
    ("known", "records", "seconds"),
    [
        pytest.param({}, BEGUN, None, id="nothing-known"),
        pytest.param({"a": 10.0, "b": 20.0, "c": 6.0}, BEGUN, 4.0 + 20.0 + 6.0, id="earlier-runs"),
        pytest.param({"a": 10.0, "b": 20.0, "c": None}, BEGUN, 4.0 + 20.0 + 15.0, id="one-unknown-takes-their-mean"),
        pytest.param({"a": 2.0, "b": 20.0, "c": 6.0}, BEGUN, 20.0 + 6.0, id="overdue"),
        pytest.param({}, (*BEGUN, end("gw0", "a", seconds=3.0)), 6.0, id="mean-of-this-run"),
        pytest.param(
            {"a": 10.0, "b": 20.0, "c": 12.0},
            (*BEGUN, leased("gw1", "GPU-1"), start("gw1", "b")),
            (4.0 + 14.0 + 12.0) / 2,
            id="two-workers",
        ),
        pytest.param(
            {"a": 6.0, "b": 100.0, "c": 1.0}, (*BEGUN, leased("gw1", "GPU-1")), 100.0, id="one-long-test-is-left"
        ),
        pytest.param({}, (*BEGUN, *(end("gw0", test) for test in "abc")), 0.0, id="nothing-left"),
    ],
)
def test_the_end_is_estimated(known: Mapping[str, float | None], records: tuple[Record, ...], seconds: float) -> None:
    """By what tests took in earlier runs, else in this one; the first has run for 6 s."""
    made = state_of(*records)
    made.expect(known)
    assert made.remaining(START + 6.0) == seconds


def row(number: int, seconds: float | None = 0.0, **fields: Any) -> Row:
    test = None if seconds is None else f"test_suite.py::test_case[{number}]"
    return Row(worker=f"gw{number}", pid=1, devices=(f"GPU-{number}",), test=test, seconds=seconds, **fields)


def test_the_longest_are_shown_in_their_order() -> None:
    rows = [row(number, seconds) for number, seconds in enumerate([5.0, None, 9.0, 1.0])]
    assert [one.worker for one in longest(rows, 2)] == ["gw0", "gw2"]
    assert longest(rows, 4) == rows
