"""The metrics of one attempt, and which of them are invalid."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.sampling.figures import Figures
from pytest_gpupool.values.errors import MetricProblem
from pytest_gpupool.worker.recording.attempts.judged_metrics import JudgedMetrics

FAIL_ON = {"invalid"}
QUIET = Figures(peak_memory_bytes=7)
LOST = Figures(lost=True)


def metric(name: str = "time", verdict: str | None = "invalid", unit: str = "s", **more: Any) -> dict[str, Any]:
    """A metric as it was recorded."""
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
    metrics.add(metric("accuracy", None))
    assert [bad["name"] for bad in metrics.failing(FAIL_ON)] == ["time"]
    assert not metrics.failing(FAIL_ON)


def test_nothing_from_a_lost_device_is_valid() -> None:
    metrics = JudgedMetrics()
    metrics.add(metric("accuracy", None, unit=""))
    metrics.reconsider(LOST)
    assert metrics.to_record()["verdicts"] == {"accuracy": "invalid"}


def test_where_nothing_was_seen_verdicts_stay() -> None:
    metrics = JudgedMetrics()
    metrics.add(metric())
    metrics.reconsider(QUIET)
    assert metrics.to_record() == {"resources": QUIET.to_record()}


def test_junit_has_the_peak() -> None:
    metrics = JudgedMetrics()
    metrics.add(metric("loss", "invalid"))
    assert not metrics.properties()
    metrics.reconsider(QUIET)
    assert metrics.properties() == [("gpupool.peak_memory_bytes", 7)]
