"""An existing evaluation script, run once per configuration without changing it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_gpupool import RecordMetric

SCRIPT = Path(__file__).with_name("evaluation_script.py")


@pytest.mark.parametrize("ridge", [0.0001, 0.01], ids="ridge{}".format)
@pytest.mark.parametrize("kernel", ["linear", "gaussian"])
def test_script(kernel: str, ridge: float, record_metric: RecordMetric) -> None:
    """The script's classifier tells most held-out digits apart."""
    metrics = run_script({"kernel": kernel, "ridge": ridge})

    n = metrics["held_out_items"]
    record_metric("accuracy", metrics["accuracy"], kind="proportion", higher_is_better=True, n=n)
    record_metric("squared_error", metrics["squared_error"], kind="mean", higher_is_better=False, n=n)
    assert metrics["accuracy"] > 0.9


@pytest.mark.parametrize(
    "parameters",
    [{"kernel": "cubic"}, {"ridge": -1}, {"rigde": 1}],
    ids=["unknown-kernel", "negative-ridge", "unknown-name"],
)
def test_script_rejects_bad_parameters(parameters: dict[str, Any]) -> None:
    """A mistyped configuration fails with one line that says why."""
    with pytest.raises(pytest.fail.Exception, match=r"^bad parameters: [^\n]*$"):
        run_script(parameters)


def run_script(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics in the script's last line of output; fail the test with its stderr if it fails."""
    # The script inherits CUDA_VISIBLE_DEVICES, and with it the GPU that this worker holds.
    command = [sys.executable, str(SCRIPT), "--params", json.dumps(parameters)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        pytest.fail(completed.stderr.strip(), pytrace=False)
    metrics: dict[str, Any] = json.loads(completed.stdout.splitlines()[-1])
    return metrics
