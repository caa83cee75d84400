"""What reports say of tests that ran out of memory, or whose device failed."""

from __future__ import annotations

from typing import Any

from pytest_gpupool.records.folding.result import TestResult
from pytest_gpupool.reports.words import attempt_texts, cause_text, cause_texts, cause_texts_of

GIB = 2**30


def tried(outcome: str, worker: str, cause: str | None = None, **more: Any) -> dict[str, Any]:
    """An attempt as reports list it."""
    usual: dict[str, Any] = {
        "attempt": 1,
        "peak_memory_bytes": None,
        "rss_peak_bytes": None,
        "devices": [],
        "message": None,
    }
    return {**usual, "outcome": outcome, "worker": worker, "cause": cause, "started": None, "duration_s": 1.0, **more}


def test_one_that_was_not_tried_again() -> None:
    """What it had, by NVML or else by torch, and that it had declared nothing."""
    test = {**tried("failed", "gw0", "out-of-memory"), "nodeid": "a", "resources": {"peak_memory_bytes": 3 * GIB}}
    assert [*cause_texts([test])] == ["a ran out of memory in gw0 (peak 3.0 GiB, nothing declared): failed"]
    test["resources"] = {"peak_memory_bytes": None, "torch_peak_memory_bytes": 2 * GIB}
    assert cause_text(test) == "ran out of memory in gw0 (peak 2.0 GiB, nothing declared): failed"
    assert attempt_texts({**test, "attempts": []}) == []


def test_one_that_passed_elsewhere() -> None:
    """Where it failed, and where it passed; results say the same as reports."""
    first = tried("failed", "gw0", "machine")
    result = TestResult(nodeid="a", outcome="passed", worker="gw2", attempt=2, before=[first])
    words = "lost its device in gw0; tried again in gw2: passed"
    assert [*cause_texts_of([result])] == [f"a {words}"]
    last = tried("passed", "gw2", attempt=2)
    test = {**last, "nodeid": "a", "attempts": [first, last], "resources": None}
    assert [*cause_texts([test])] == [f"a {words}"]
    assert attempt_texts(test) == ["1: failed (machine) in gw0", "2: passed in gw2"]


def test_one_that_the_kernel_has_ended() -> None:
    """It is the host's memory of which it had too much."""
    first = tried("crashed", "gw0", "out-of-memory", rss_peak_bytes=GIB // 2, peak_memory_bytes=5)
    test = {"nodeid": "a", "attempts": [first, tried("crashed", "gw1", "out-of-memory")]}
    words = "ran out of memory in gw0 and gw1 (peak 512 MiB of the host's memory, nothing declared): crashed"
    assert cause_text(test) == words


def test_those_that_need_a_look_come_first() -> None:
    """And of many only some are named; of the others, and of tests without a cause, nothing is said."""
    passed = TestResult(nodeid="p", outcome="passed", worker="gw1", before=[tried("failed", "gw0", "out-of-memory")])
    rerun = TestResult(nodeid="r", outcome="passed", worker="gw1", before=[tried("failed", "gw0")])
    failed = [TestResult(nodeid=f"f{n}", outcome="failed", worker="gw0", cause="machine") for n in range(11)]
    *told, rest = cause_texts_of([passed, rerun, *failed])
    assert [line.split()[0] for line in told] == [f"f{n}" for n in range(10)]
    assert rest == "… and 2 more tests that ran out of memory or whose device failed"


def test_an_attempt_has_its_own_values() -> None:
    """What only measured again says so."""
    metrics = [{"name": "accuracy", "value": 0.7415, "unit": ""}, {"name": "latency", "value": 0.0123, "unit": "s"}]
    about = {"outcome": "passed", "cause": None, "worker": "gw0"}
    first = {**about, "attempt": 1, "metrics": metrics}
    again = {**about, "attempt": 2, "confirms": True, "metrics": metrics[:1]}
    died = {**about, "attempt": 3, "confirms": True, "outcome": "crashed"}
    assert attempt_texts({"attempts": [first, again, died]}) == [
        "1: passed in gw0 (accuracy 0.7415, latency 0.0123 s)",
        "2: measured again in gw0 (accuracy 0.7415)",
        "3: crashed in gw0",
    ]
