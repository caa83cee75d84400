"""The examples give the same metrics however many workers there are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import Host

EXAMPLES = Path(__file__).parents[3] / "example_evals"
RATES = {"training_rate", "throughput", "latency", "epoch"}
"""Metrics that are measured in time."""

QUICK = ("test_digits.py",)


def metrics(host: Host, workers: int, files: list[str]) -> dict[str, Any]:
    """Run examples and return their metrics by test and name."""
    report = host.directory / f"report-{workers}.json"
    options = ["-p", "no:cacheprovider", f"--gpupool-json={report}", f"--gpupool-dir={host.directory}/records"]
    command = [sys.executable, "-m", "pytest", "-q", "--gpupool-devices=cpu", f"-n{workers}", *options, *files]
    done = subprocess.run(command, cwd=EXAMPLES.parent, env=host.environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = json.loads(report.read_text())["tests"]
    return {
        f"{test['nodeid']} {metric['name']}": metric["value"]
        for test in tests
        for metric in test["metrics"]
        if metric["name"] not in RATES
    }


@pytest.mark.long
@pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples are not part of this tree")
def test_the_number_of_workers_changes_no_metric(cpu_host: Host, request: pytest.FixtureRequest) -> None:
    """-n 1 and -n 2 agree to the last bit; with --long all examples do, with -n 8 too."""
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    long = request.config.getoption("--long")
    files = [str(EXAMPLES)] if long else [str(EXAMPLES / name) for name in QUICK]
    alone = metrics(cpu_host, 1, files)
    assert alone
    for workers in (2, 8) if long else (2,):
        assert metrics(cpu_host, workers, files) == alone
