"""Whole programs on real GPUs: ranks that compute together by NCCL, and the example evaluations."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from gpu_machine import GpuHost
from gpu_table import Checks
from support import LIMIT

EXAMPLES = Path(__file__).parents[2] / "example_evals"


def test_ranks_by_nccl(real_host: GpuHost, checks: Checks) -> None:
    """One rank, and two where there are two GPUs."""
    real_host.suite("ranks")
    gpus = [gpu.id for gpu in real_host.machine.gpus[:2]]
    two = len(gpus) == 2
    where = f"--gpupool-devices={','.join(gpus)}" if two else f"--gpupool-devices={real_host.device.id}"
    run = real_host.pytest(where, *(() if two else ("-k", "test_one_rank")))
    for count, what in ((1, "one_rank"), (2, "two_ranks")):
        if count == 2 and not two:
            continue
        assert run.outcomes[f"test_{what}"] == "passed", run.output
        expected = [["nccl", "cuda", float(sum(range(1, count + 1)))]] * count
        checks.equal(
            f"torchrun with {what.replace('_', ' ')}", expected, json.loads(run.junit[f"test_{what}"]["returned"])
        )


def test_example_evaluations(real_host: GpuHost, checks: Checks) -> None:
    """As README runs them, on every GPU that is free."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: the extra 'examples'")
    if not EXAMPLES.exists():
        pytest.skip("the example evaluations are no part of this tree")
    report = real_host.directory / "report.json"
    options = ["-p", "no:cacheprovider", f"--gpupool-json={report}", f"--gpupool-dir={real_host.directory}/records"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--gpupool-require=1", *options, str(EXAMPLES)],
        cwd=EXAMPLES.parent,
        env=real_host.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    found = json.loads(report.read_text())
    bad = [test["nodeid"] for test in found["tests"] if test["outcome"] not in ("passed", "skipped")]
    checks.true(
        "the example evaluations", "all pass", dict(Counter(t["outcome"] for t in found["tests"])), good=not bad
    )
    checks.equal("those that do not", [], bad)
    checks.equal("their exit status", 0, done.returncode)
    kinds = {device["kind"] for device in found["devices"]}
    checks.true("where they ran", "GPUs", ", ".join(sorted(kinds)), good=bool(kinds) and kinds <= {"gpu", "mig"})
