"""What pytest's JUnit file has of tests whose worker sent no report."""

from __future__ import annotations

from pytest_gpupool.records.folding.result import TestResult
from pytest_gpupool.run.ending.junit_file import last_report, properties

TEST = TestResult(
    nodeid="test_a.py::TestA::test_a",
    outcome="crashed",
    worker="gw1",
    devices=("GPU-0", "GPU-1"),
    metrics={
        "accuracy": {"name": "accuracy", "value": 0.5, "baseline": 0.7, "verdict": "regressed"},
        "loss": {"name": "loss", "value": None, "non_finite": "nan", "verdict": "invalid"},
    },
    resources={"peak_memory_bytes": 7},
)

PROPERTIES = [
    ("gpupool.device", "GPU-0,GPU-1"),
    ("gpupool.worker", "gw1"),
    ("gpupool.metric.accuracy", 0.5),
    ("gpupool.verdict.accuracy", "regressed"),
    ("gpupool.metric.loss", "nan"),
    ("gpupool.peak_memory_bytes", 7),
]


def test_it_has_what_is_on_record_of_them() -> None:
    assert properties(TEST) == PROPERTIES


def test_a_result_that_was_kept_names_its_run() -> None:
    kept = TestResult(nodeid="test_a.py::test_a", outcome="passed", worker="gw0", run="earlier")
    assert properties(kept) == [("gpupool.worker", "gw0"), ("gpupool.run", "earlier")]


def test_of_one_that_never_ran_nothing_is_known() -> None:
    assert not properties(TestResult(nodeid="test_a.py::test_a"))


def test_the_report_that_a_dead_worker_owes_has_them() -> None:
    crash = last_report(object(), TEST)  # type: ignore[arg-type] # of which only the worker is looked at
    assert (crash.when, crash.outcome, crash.user_properties) == ("teardown", "passed", PROPERTIES)
    assert crash.location == ("test_a.py", None, "TestA.test_a")
