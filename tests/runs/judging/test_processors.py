"""Times that were measured on processors: which model's they are, and what else ran there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from program import gpupool
from support import Host

from pytest_gpupool.processes.cpu.model import model
from pytest_gpupool.processes.cpu.pressure import Pressure
from pytest_gpupool.verdicts.baselines.baseline import cpu_kind

FILE = "--gpupool-baseline=b.json"
OTHER = "CPU Intel Xeon of another host"
OWN = cpu_kind(model())

SUITE = """
    def test_a(record_metric):
        record_metric("accuracy", 0.5, higher_is_better=True)
        record_metric("latency", 2.0, unit="s", higher_is_better=False)
"""


def baseline(host: Host, *kinds: str) -> None:
    """Accepted values on these kinds of device; both metrics of the suite are worse."""
    values: dict[str, dict[str, Any]] = {
        "accuracy": {"value": 0.9, "higher_is_better": True},
        "latency": {"value": 1, "unit": "s"},
    }
    lines = [
        json.dumps({"test": "test_suite.py::test_a", "metric": metric, "device": kind, **fields})
        for metric, fields in values.items()
        for kind in sorted(kinds)
    ]
    host.write("b.json", f'{{"format": "gpupool-baseline", "version": 1, "entries": [{",".join(lines)}]}}')


def metrics(host: Host) -> dict[str, dict[str, Any]]:
    """What became of them."""
    run = host.pytest(FILE)
    assert run.status == 1, run.output
    assert run.tests["test_a"]["device_kind"] == OWN
    return {metric["name"]: metric for metric in run.tests["test_a"]["metrics"]}


@pytest.mark.skipif(OWN == "CPU", reason="the processor does not say what it is")
class TestModels:
    """The kind of a CPU slot has the processor's model."""

    def test_a_time_of_another_model_is_no_baseline(self, cpu_host: Host) -> None:
        """A quality is one, and the note says whose."""
        cpu_host.write("test_suite.py", SUITE)
        baseline(cpu_host, OTHER)
        found = metrics(cpu_host)
        assert (found["accuracy"]["verdict"], found["latency"]["verdict"]) == ("regressed", "no-baseline")
        assert found["accuracy"]["note"].startswith(f"baseline of {OTHER}")

    def test_an_entry_that_names_no_model_is_for_all(self, cpu_host: Host) -> None:
        """Files of older versions have such; an update adds a line for this model, which counts from then on."""
        cpu_host.write("test_suite.py", SUITE)
        baseline(cpu_host, "CPU")
        found = metrics(cpu_host)
        assert {metric["verdict"] for metric in found.values()} == {"regressed"}
        assert "baseline of CPU" in found["latency"]["note"]
        assert gpupool(cpu_host, "baseline", "update", "b.json", "--accept-all")[::2] == (0, "")
        entries = json.loads((cpu_host.project / "b.json").read_text())["entries"]
        assert sorted(entry["device"] for entry in entries) == ["CPU", "CPU", OWN, OWN]
        run = cpu_host.pytest(FILE)
        assert {metric["verdict"] for metric in run.tests["test_a"]["metrics"]} == {"ok"}

    def test_a_metric_that_is_gone_is_told(self, cpu_host: Host) -> None:
        """Whatever model the entry is for."""
        cpu_host.write("test_suite.py", "def test_a(record_metric): record_metric('accuracy', 0.9)\n")
        baseline(cpu_host, "CPU")
        run = cpu_host.pytest(FILE)
        assert "latency is gone: it was not recorded" in run.tests["test_a"]["message"]


@pytest.mark.skipif(Pressure().seconds() is None, reason="the kernel keeps no pressure stall information")
def test_times_beside_other_load_are_contended(cpu_host: Host) -> None:
    """More programs than processors run meanwhile: what a time says is theirs; an accuracy is judged."""
    cpu_host.write(
        "test_suite.py",
        """
        import os, subprocess, sys, time

        def test_a(record_metric):
            code = "while True: pass"
            load = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3 * os.cpu_count())]
            try:
                time.sleep(1.5)  # 30 times as long as the sampling takes
            finally:
                for one in load:
                    one.kill()
                    one.wait()
            record_metric("accuracy", 0.5, higher_is_better=True)
            record_metric("latency", 2.0, unit="s", higher_is_better=False)
        """,
    )
    baseline(cpu_host, OWN)
    run = cpu_host.pytest(FILE, "--gpupool-sample=0.05")
    found = {metric["name"]: metric["verdict"] for metric in run.tests["test_a"]["metrics"]}
    assert (run.status, found) == (1, {"accuracy": "regressed", "latency": "contended"}), run.output
    assert run.tests["test_a"]["resources"]["cpu_pressure_percent"] >= 20
