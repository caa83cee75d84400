"""The metrics of one attempt, and what becomes of the verdicts on them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.sampling.figures import Figures
from pytest_gpupool.values.errors import MetricProblem
from pytest_gpupool.worker.recording.attempts.judged_metrics import JudgedMetrics

FAIL_ON = {"regressed", "invalid"}
QUIET = Figures(peak_memory_bytes=7)
THROTTLED = Figures(throttled=True)
LOST = Figures(lost=True)


def metric(name: str = "time", verdict: str | None = "regressed", unit: str = "s", **more: Any) -> dict[str, Any]:
    """A metric as it was judged when it was recorded."""
    return {"name": name, "value": 2.0, "unit": unit, "verdict": verdict, **more}


def test_each_name_is_recorded_once() -> None:
    metrics = JudgedMetrics()
    assert not metrics
    metrics.add(metric())
    assert metrics
    with pytest.raises(MetricProblem, match="metric 'time' was recorded before in this test"):
        metrics.add(metric())


def test_a_bad_verdict_fails_the_test_once() -> None:
    metrics = JudgedMetrics()
    metrics.add(metric())
    metrics.add(metric("accuracy", "improved"))
    assert [bad["name"] for bad in metrics.failing(FAIL_ON)] == ["time"]
    assert not metrics.failing(FAIL_ON)


def test_a_time_on_a_throttled_device_says_nothing_of_the_model() -> None:
    metrics = JudgedMetrics()
    metrics.add(metric())
    metrics.reconsider(THROTTLED)
    assert not metrics.failing(FAIL_ON)
    assert metrics.to_record()["verdicts"] == {"time": "contended"}


def test_a_verdict_that_has_failed_the_test_stays() -> None:
    metrics = JudgedMetrics()
    metrics.add(metric())
    metrics.failing(FAIL_ON)
    metrics.reconsider(THROTTLED)
    assert "verdicts" not in metrics.to_record()


def test_nothing_from_a_lost_device_is_valid() -> None:
    metrics = JudgedMetrics()
    metrics.add(metric("accuracy", "ok", unit=""))
    metrics.reconsider(LOST)
    assert metrics.to_record()["verdicts"] == {"accuracy": "invalid"}


def test_where_nothing_was_seen_verdicts_stay() -> None:
    metrics = JudgedMetrics()
    metrics.add(metric())
    metrics.reconsider(QUIET)
    assert metrics.to_record() == {"resources": QUIET.to_record()}


def test_junit_has_verdicts_by_a_baseline_and_the_peak() -> None:
    metrics = JudgedMetrics()
    metrics.add(metric("time", baseline=1.0))
    metrics.add(metric("loss", "invalid"))
    assert metrics.properties() == [("gpupool.verdict.time", "regressed")]
    metrics.reconsider(QUIET)
    assert metrics.properties()[1:] == [("gpupool.peak_memory_bytes", 7)]
