"""The records of a run fold into one result per test, however often they are folded."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.devices.pool import Pool
from pytest_gpupool.records.folding.result import TestResult, WorkerResult
from pytest_gpupool.records.folding.results import Results
from pytest_gpupool.reports.json import build
from pytest_gpupool.values.device import Device
from pytest_gpupool.values.outcomes import outcome_of
from pytest_gpupool.values.texts import iso

Record = dict[str, Any]

DEVICES = {"gw0": ["GPU-0"], "gw1": ["GPU-1"], "gw2": []}


def collected(*tests: str, worker: str = "gw0", **params: Any) -> Record:
    """A worker has collected."""
    return {"record": "collected", "worker": worker, "tests": [[test, params] for test in tests]}


def began(worker: str = "gw0") -> Record:
    """A worker has its lease."""
    devices = DEVICES[worker]
    facts = {"host": "node1", "pid": 4711, "devices": devices, "lease_wait_s": 0.5, "started": iso(0)}
    return {"record": "worker", "worker": worker, **facts}


def start(test: str, at: float, worker: str = "gw0") -> Record:
    """An attempt begins."""
    return {"record": "start", "worker": worker, "test": test, "devices": DEVICES[worker], "started": iso(at)}


def set_up(kind: str, test: str, number: int, worker: str = "gw0") -> Record:
    """A wide fixture was set up for a test, or torn down."""
    return {"record": kind, "worker": worker, "test": test, "number": number, "fixture": "model[m0]", "seconds": 1.5}


def metric(test: str, name: str, value: float, worker: str = "gw0") -> Record:
    """A test records a metric."""
    return {"record": "metric", "worker": worker, "test": test, "metric": {"name": name, "value": value}}


def end(test: str, at: float, seconds: float = 1.0, outcome: str = "passed", worker: str = "gw0") -> Record:
    """An attempt ends."""
    phases = {"setup": 0.0, "call": seconds, "teardown": 0.0}
    message = None if outcome == "passed" else f"{outcome} at {at}"
    times = {"phases": phases, "duration_s": seconds, "ended": iso(at)}
    return {"record": "end", "worker": worker, "test": test, "outcome": outcome, "message": message, **times}


def crash(test: str, at: float, worker: str = "gw0") -> Record:
    """A worker died while it ran the test."""
    return {"record": "crash", "worker": worker, "test": test, "ended": iso(at), "message": f"worker {worker} died"}


def timeout(test: str, at: float, worker: str = "gw0") -> Record:
    """A test took too long, and its worker was ended."""
    return crash(test, at, worker) | {"record": "timeout", "message": "this test took longer than 4 s"}


def quarantined(device: str, reason: str) -> Record:
    """A device has left the pool."""
    return {"record": "quarantined", "device": device, "reason": reason}


def gone(worker: str = "gw0", how: str = "finished") -> Record:
    """A worker has ended."""
    return {"record": "worker-end", "worker": worker, "ended": iso(99), "exit": how}


def fold(*records: Record, each: bool = False) -> Results:
    """The results of these records."""
    results = Results(each=each)
    results.add_all(records)
    return results


def state(results: Results) -> tuple[list[TestResult], dict[str, WorkerResult], dict[str, str]]:
    """All that is known, to compare."""
    return copy.deepcopy((results.tests, results.workers, results.quarantined))


def report(*records: Record, devices: Sequence[Device] = ()) -> dict[str, Any]:
    """The JSON report of these records."""
    return build({}, Pool(devices=tuple(devices)), fold(*records))


class TestFold:
    """What each record changes."""

    def test_a_test_that_passes(self) -> None:
        """Times, phases, device, worker and metrics are in its result."""
        results = fold(
            collected("t", case=3),
            start("t", 10),
            metric("t", "accuracy", 0.9),
            metric("t", "loss", 0.1),
            end("t", 12, 1.5),
        )
        assert results.tests == [
            TestResult(
                nodeid="t",
                params={"case": 3},
                outcome="passed",
                attempt=1,
                worker="gw0",
                devices=("GPU-0",),
                started=iso(10),
                ended=iso(12),
                duration=1.5,
                phases={"setup": 0.0, "call": 1.5, "teardown": 0.0},
                metrics={
                    "accuracy": {"name": "accuracy", "value": 0.9},
                    "loss": {"name": "loss", "value": 0.1},
                },
                message=None,
            )
        ]
        assert results.not_run == []

    def test_results_are_in_the_order_of_collection(self) -> None:
        """Not in that of the runs; the second worker's collection adds nothing."""
        results = fold(collected("b", "a", "c"), collected("a", "c", "b", worker="gw1"), start("a", 1), end("a", 2))
        assert [test.nodeid for test in results.tests] == ["b", "a", "c"]
        assert results.collected == 3

    def test_what_never_ended_is_not_run(self) -> None:
        """Collected only, or begun only."""
        results = fold(collected("a", "b", "c"), start("a", 1), end("a", 2), start("b", 3))
        assert [(test.nodeid, test.attempt) for test in results.not_run] == [("b", 1), ("c", 0)]
        assert {test.outcome for test in results.not_run} == {"not-run"}

    def test_the_last_value_of_a_metric_counts(self) -> None:
        """Recorded twice under one name."""
        results = fold(start("t", 1), metric("t", "loss", 0.5), metric("t", "loss", 0.25), end("t", 2))
        assert results.tests[0].metrics == {"loss": {"name": "loss", "value": 0.25}}

    def test_a_rerun_starts_with_empty_metrics(self) -> None:
        """The last attempt counts, and attempts are counted."""
        results = fold(
            collected("t", case=1),
            start("t", 1),
            metric("t", "only_first", 0.5),
            end("t", 2, 1, "failed"),
            start("t", 3, "gw1"),
            metric("t", "loss", 0.25, "gw1"),
            end("t", 7, 4, worker="gw1"),
        )
        (test,) = results.tests
        assert (test.outcome, test.attempt, test.message) == ("passed", 2, None)
        assert list(test.metrics) == ["loss"]
        assert (test.worker, test.devices, test.started, test.duration) == ("gw1", ("GPU-1",), iso(3), 4)
        assert test.params == {"case": 1}

    def test_a_rerun_that_has_begun_has_no_outcome_yet(self) -> None:
        """Nothing of the attempt before is left."""
        results = fold(collected("t"), start("t", 1), metric("t", "m", 1), end("t", 2, 1, "failed"), start("t", 3))
        (test,) = results.not_run
        assert (test.outcome, test.ended, test.duration, test.message) == ("not-run", None, None, None)
        assert (test.phases, test.metrics) == ({}, {})

    def test_a_crash_after_the_start(self) -> None:
        """It has a duration up to the death, the metrics that were recorded, and no phases."""
        results = fold(start("t", 10), metric("t", "loss", 1), crash("t", 14.5))
        (test,) = results.tests
        assert (test.outcome, test.attempt, test.message) == ("crashed", 1, "worker gw0 died")
        assert (test.duration, test.ended, test.phases) == (4.5, iso(14.5), {})
        assert list(test.metrics) == ["loss"]
        assert results.not_run == []

    def test_a_crash_without_a_start(self) -> None:
        """Its attempt counts; how long it took nobody knows."""
        results = fold(collected("t"), crash("t", 14.5))
        (test,) = results.tests
        assert (test.outcome, test.attempt, test.worker, test.duration) == ("crashed", 1, "gw0", None)

    def test_a_crash_on_a_clock_that_was_set_back(self) -> None:
        """No duration is negative."""
        assert fold(start("t", 10), crash("t", 9)).tests[0].duration == 0.0

    def test_a_test_that_crashed_runs_again(self) -> None:
        """On another worker it is the second attempt."""
        results = fold(
            start("t", 1), metric("t", "m", 1), crash("t", 2), start("t", 3, "gw1"), end("t", 5, worker="gw1")
        )
        (test,) = results.tests
        assert (test.outcome, test.attempt, test.worker, test.message) == ("passed", 2, "gw1", None)
        assert test.metrics == {}

    def test_every_attempt_is_kept(self) -> None:
        """With its cause, its peak and what became of it; a word on an earlier one may come after the next began."""
        failed = end("a", 2, outcome="failed") | {"cause": "out-of-memory", "resources": {"peak_memory_bytes": 5}}
        died = crash("a", 5, "gw1") | {"started": iso(4), "cause": "machine"}
        attempts = [start("a", 1), failed, start("a", 4, "gw1"), start("a", 6), end("a", 7)]
        results = fold(collected("a"), *attempts, died)
        (test,) = results.tests
        told = [(one["attempt"], one["outcome"], one["cause"], one["worker"]) for one in test.attempts]
        assert told == [
            (1, "failed", "out-of-memory", "gw0"),
            (2, "crashed", "machine", "gw1"),
            (3, "passed", None, "gw0"),
        ]
        assert test.attempts[0]["peak_memory_bytes"] == 5
        assert test.cause is None
        assert fold(collected("a"), *attempts, died, *attempts, died).tests == results.tests
        (kept,) = fold(
            {"record": "kept", "worker": "main", "test": "a", "run": "before", "result": test.to_record()}
        ).tests
        assert kept.attempts == test.attempts

    def test_why_a_test_is_not_tried_again(self) -> None:
        """Is the last line of its message, if it is about the last attempt."""
        why = {"record": "no-retry", "worker": "gw0", "test": "a", "started": iso(1), "text": "no other device"}
        failed = end("a", 2, outcome="failed") | {"cause": "machine"}
        (test,) = fold(collected("a"), start("a", 1), failed, why, why).tests
        assert (test.message, test.cause, test.attempts) == ("failed at 2\nno other device", "machine", [])
        (test,) = fold(collected("a"), start("a", 1), failed, start("a", 3), end("a", 4), why).tests
        assert test.message is None

    def test_a_test_that_takes_too_long(self) -> None:
        """It has a duration up to the end of its worker, the metrics that were recorded, and no phases."""
        results = fold(start("t", 10), metric("t", "loss", 1), timeout("t", 14.5), gone("gw0", "killed"))
        (test,) = results.tests
        assert (test.outcome, test.attempt, test.message) == ("timeout", 1, "this test took longer than 4 s")
        assert (test.worker, test.duration, test.ended, test.phases) == ("gw0", 4.5, iso(14.5), {})
        assert list(test.metrics) == ["loss"]
        assert results.not_run == []

    def test_a_limit_without_a_start(self) -> None:
        """As where the worker's journal could not be kept."""
        (test,) = fold(collected("t"), timeout("t", 14.5)).tests
        assert (test.outcome, test.attempt, test.worker, test.duration) == ("timeout", 1, "gw0", None)

    def test_a_test_that_took_too_long_runs_again(self) -> None:
        """On another worker it is the second attempt."""
        results = fold(start("t", 1), timeout("t", 5), start("t", 6, "gw1"), end("t", 7, worker="gw1"))
        (test,) = results.tests
        assert (test.outcome, test.attempt, test.worker, test.message) == ("passed", 2, "gw1", None)

    def test_the_message_of_a_test(self) -> None:
        """What a report says of it, nothing where there is none."""
        results = fold(collected("t", "u"), start("t", 1), timeout("t", 5))
        assert results.message_of("t") == "this test took longer than 4 s"
        assert results.message_of("u") == results.message_of("unknown") == ""

    def test_a_device_that_has_left_the_pool(self) -> None:
        """The first reason counts; what ran on it before stays."""
        results = fold(start("t", 1), end("t", 2), quarantined("GPU-0", "is lost"), quarantined("GPU-0", "is gone"))
        assert results.quarantined == {"GPU-0": "is lost"}
        assert results.busy() == {"GPU-0": 1.0}
        assert results.tests[0].outcome == "passed"

    def test_the_memory_that_torch_held(self) -> None:
        """Of the last attempt; None where it used no GPU, or where the attempt did not end."""
        first, second = start("t", 1), start("t", 5)
        ended = end("t", 2, 1, "failed") | {"torch_peak": 7}
        assert fold(first, ended).tests[0].peak == 7
        assert fold(first, ended, second).tests[0].peak is None
        assert fold(first, ended, second, end("t", 6)).tests[0].peak is None
        assert fold(first, ended, second, crash("t", 6)).tests[0].peak is None
        assert fold(first, end("t", 2) | {"torch_peak": 0}).tests[0].peak == 0

    def test_a_worker(self) -> None:
        """Its start and its end."""
        results = fold(began(), began("gw1"), gone("gw0", "killed"))
        assert results.workers["gw0"] == WorkerResult(
            id="gw0",
            host="node1",
            pid=4711,
            devices=["GPU-0"],
            lease_wait=0.5,
            started=iso(0),
            ended=iso(99),
            exit="killed",
        )
        assert (results.workers["gw1"].exit, results.workers["gw1"].ended) == (None, None)

    def test_a_worker_that_ended_without_a_lease(self) -> None:
        """It is known by its end alone."""
        worker = fold(gone("gw0", "cancelled")).workers["gw0"]
        assert (worker.exit, worker.devices, worker.started) == ("cancelled", [], None)

    @pytest.mark.parametrize("record", [{}, {"record": "telemetry", "worker": "gw0"}, {"record": None}])
    def test_an_unknown_record_is_left_for_a_newer_version(self, record: Record) -> None:
        """It changes nothing."""
        assert state(fold(began(), record)) == state(fold(began()))


class TestEach:
    """xdist's ``--dist each``: every worker runs every test."""

    def test_each_worker_has_a_result_of_its_own(self) -> None:
        """The same test passes here and fails there."""
        results = fold(
            collected("t", "u"),
            collected("t", "u", worker="gw1"),
            start("t", 1),
            start("t", 1, "gw1"),
            end("t", 2),
            end("t", 3, 2, "failed", "gw1"),
            each=True,
        )
        assert results.collected == 4
        assert [(test.nodeid, test.worker, test.outcome) for test in results.tests if test.finished] == [
            ("t", "gw0", "passed"),
            ("t", "gw1", "failed"),
        ]
        assert [test.nodeid for test in results.not_run] == ["u", "u"]
        here, there = results.get("t", "gw0"), results.get("t", "gw1")
        assert here is not None
        assert there is not None
        assert (here.outcome, there.outcome, results.get("t", "gw2")) == ("passed", "failed", None)

    def test_otherwise_a_test_has_one_result(self) -> None:
        """Whichever worker asks for it."""
        results = fold(collected("t"), start("t", 1), end("t", 2))
        assert results.get("t", "gw0") is results.get("t", "gw1") is results.tests[0]
        assert results.get("u", "gw0") is None


class TestSums:
    """How long the run and its devices were busy."""

    def test_the_makespan_is_from_the_first_start_to_the_last_end(self) -> None:
        """Over all workers; a test that has only begun does not count."""
        results = fold(
            start("a", 10),
            start("b", 8, "gw1"),
            end("b", 9, worker="gw1"),
            end("a", 14.5),
            start("c", 1),
        )
        assert results.makespan() == 6.5

    def test_without_a_test_that_ended_there_is_none(self) -> None:
        """Nor with a crash of which the start is unknown."""
        assert fold().makespan() is None
        assert fold(collected("a"), start("a", 1)).makespan() is None
        assert fold(crash("a", 1)).makespan() is None

    def test_a_device_is_busy_for_the_durations_of_its_tests(self) -> None:
        """Not for the time between them; crashes count; a test that has only begun adds nothing."""
        results = fold(
            start("a", 0),
            end("a", 5, 2),
            start("b", 6),
            crash("b", 6.5),
            start("c", 0, "gw1"),
            start("d", 0, "gw2"),
            end("d", 9, 9, worker="gw2"),
        )
        assert results.busy() == {"GPU-0": 2.5, "GPU-1": 0.0}


@st.composite
def runs(draw: st.DrawFn) -> list[Record]:
    """The records of a run as they come: each worker's in order, among those of others."""
    records: list[Record] = [collected("a", "b", "c"), began(), began("gw1")]
    clock = 0.0
    for _ in range(draw(st.integers(0, 8))):
        worker = draw(st.sampled_from(["gw0", "gw1"]))
        test = draw(st.sampled_from("abc"))
        clock += 1
        records.append(start(test, clock, worker))
        numbers = [sum(one["record"] == "set-up" and one["worker"] == worker for one in records)]
        if draw(st.booleans()):
            records.append(set_up("set-up", test, numbers[-1], worker))
        elif numbers[-1]:
            records.append(set_up("torn-down", test, numbers[-1] - 1, worker))
        for name in draw(st.lists(st.sampled_from(["loss", "accuracy"]), max_size=2, unique=True)):
            clock += 1
            records.append(metric(test, name, clock, worker))
        clock += 1
        how = draw(st.sampled_from(["passed", "failed", "crash", "timeout", "cut"]))
        if how in ("crash", "timeout"):
            records.append((crash if how == "crash" else timeout)(test, clock, worker))
        elif how != "cut":
            peak = draw(st.sampled_from([{}, {"torch_peak": int(clock)}]))
            records.append(end(test, clock, 1.0, how, worker) | peak)
        if draw(st.booleans()):
            records.append(quarantined(draw(st.sampled_from(["GPU-0", "GPU-1"])), f"is lost at {clock}"))
    return records + ([gone(), gone("gw1")] if draw(st.booleans()) else [])


class TestSetUps:
    """What is set up for several tests is counted by itself."""

    def test_of_every_attempt(self) -> None:
        """A test has those of its last one; what took next to nothing to set up may take long to tear down."""
        results = fold(
            start("a", 0),
            set_up("set-up", "a", 1),
            end("a", 2),
            start("a", 3),
            set_up("torn-down", "a", 1),
            set_up("set-up", "a", 2),
            set_up("set-up", "a", 3),
            set_up("torn-down", "a", 4),
        )
        assert [test.set_ups for test in results.tests] == [{"model[m0]": 3.0}]
        assert [one.seconds for one in results.set_ups.values()] == [3.0, 1.5, 1.5, 1.5]
        report = build({}, Pool(devices=()), results)
        expected = {"fixture": "model[m0]", "built": 4, "setup_s": 4.5, "teardown_s": 3.0}
        assert report["fixtures"] == [expected]


class TestAgain:
    """Folding records a second time changes nothing more."""

    @given(runs())
    def test_every_record_twice_in_a_row(self, records: Sequence[Record]) -> None:
        """As the channel and then the journal bring it."""
        doubled = [record for record in records for _ in range(2)]
        assert state(fold(*doubled)) == state(fold(*records))

    @given(runs(), st.data())
    def test_any_prefix_once_more(self, records: Sequence[Record], data: st.DataObject) -> None:
        """The whole too: a journal that is read after the channel had brought it all."""
        again = records[: data.draw(st.integers(0, len(records)), label="length of the prefix")]
        assert state(fold(*records, *again)) == state(fold(*records))

    def test_a_rerun_folded_twice_is_still_two_attempts(self) -> None:
        """The first attempt's records do not come back as a third."""
        records = [
            start("t", 1),
            metric("t", "only_first", 1),
            end("t", 2, 1, "failed"),
            start("t", 3),
            metric("t", "loss", 2),
            end("t", 4),
        ]
        (test,) = fold(*records, *records).tests
        assert (test.attempt, test.outcome, list(test.metrics)) == (2, "passed", ["loss"])

    @given(runs())
    def test_records_one_by_one_or_all_at_once(self, records: Sequence[Record]) -> None:
        """What is known on the way does not change what is known at the end."""
        results = Results()
        for record in records:
            results.add(record)
            results.makespan()
            results.busy()
        assert state(results) == state(fold(*records))
        assert results.collected == 3


class TestReport:
    """What the JSON report has of them."""

    GPUS = (
        Device(id="GPU-0", kind="gpu", index=0, name="NVIDIA H200", memory_total=100),
        Device(id="GPU-1", kind="gpu", index=1, name="NVIDIA H200", memory_total=100),
    )

    def test_a_test_that_takes_too_long(self) -> None:
        """Its outcome is counted."""
        data = report(collected("t", "u"), start("t", 1), timeout("t", 5), gone("gw0", "killed"))
        (test, other) = data["tests"]
        assert (test["outcome"], test["duration_s"], test["message"]) == (
            "timeout",
            4,
            "this test took longer than 4 s",
        )
        assert set(test["phases"].values()) == {None}
        assert other["outcome"] == "not-run"
        assert (data["summary"]["timeout"], data["summary"]["crashed"], data["run"]["finished"]) == (1, 0, 1)
        assert data["workers"][0]["exit"] == "killed"

    def test_a_device_that_has_left_the_pool(self) -> None:
        """It is still one of the pool's; the others have no reason."""
        data = report(start("t", 1), end("t", 2), quarantined("GPU-0", "is lost"), devices=self.GPUS)
        assert [(device["id"], device["quarantined"]) for device in data["devices"]] == [
            ("GPU-0", "is lost"),
            ("GPU-1", None),
        ]
        assert [(device["tests"], device["busy_s"]) for device in data["devices"]] == [(1, 1.0), (0, 0.0)]

    def test_the_memory_that_torch_held(self) -> None:
        """Zero is known; what could not be measured is null."""
        data = report(
            start("a", 1), end("a", 2) | {"torch_peak": 7},
            start("b", 3), end("b", 4) | {"torch_peak": 0},
            start("c", 5), end("c", 6),
        )  # fmt: skip
        assert [test["resources"]["torch_peak_memory_bytes"] for test in data["tests"]] == [7, 0, None]
        assert data["tests"][0]["resources"]["peak_memory_bytes"] is None


P, F, S = "passed", "failed", "skipped"


@pytest.mark.parametrize(
    ("phases", "plain", "expected_to_fail"),
    [
        ((P, P, P), "passed", "xpassed"),
        ((P, F, P), "failed", "failed"),
        ((P, S, P), "skipped", "xfailed"),
        ((F, None, P), "error", "error"),
        ((F, None, F), "error", "error"),
        ((F, None, None), "error", "error"),
        ((S, None, P), "skipped", "xfailed"),
        ((S, None, F), "error", "error"),
        ((P, P, F), "error", "error"),
        ((P, F, F), "failed", "failed"),
        ((P, S, F), "error", "error"),
        ((P, P, S), "skipped", "xfailed"),
        ((P, P, None), "passed", "xpassed"),
        ((P, F, None), "failed", "failed"),
        ((P, None, P), "passed", "passed"),
    ],
)
def test_the_outcome_of_an_attempt(phases: tuple[str | None, ...], plain: str, expected_to_fail: str) -> None:
    """From pytest's outcomes of set-up, call and tear-down, without and with ``xfail``, as its terminal counts."""
    ran = {name: outcome for name, outcome in zip(("setup", "call", "teardown"), phases, strict=True) if outcome}
    assert outcome_of(ran, xfail=False) == plain
    assert outcome_of(ran, xfail=True) == expected_to_fail
