"""pytest under a lease of 'gpupool run', whose devices are its pool; and what 'gpupool status' tells of a run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from made_hosts import ids, make_host
from program import gpupool
from support import Host

pytestmark = pytest.mark.usefixtures("leaves_nothing")

SUITE = """
    import pytest

    @pytest.mark.parametrize("case", range(4))
    def test_case(gpu, case): print("on", *gpu.ids)
"""


@pytest.mark.parametrize("workers", ["-n2", "-n4", "-n0"])
def test_its_workers_share_the_lease(libraries: Path, tmp_path: Path, workers: str) -> None:
    """A worker each has a device of it; nobody waits for what the program itself holds."""
    host = make_host(libraries, tmp_path, 4)
    host.write("test_suite.py", SUITE)
    pytest_command = host.command(workers, "--gpupool-wait=0")
    status, out, err = gpupool(host, "run", "--gpus", "2", "--devices", "3,1", "--", *pytest_command)
    assert (status, err) == (0, ""), out
    assert "4 passed" in out
    assert "gpupool: 2 GPUs (NVIDIA H200)" in out
    assert "within the lease of" in out
    report = json.loads((host.project / "report.json").read_text())
    used = {device for test in report["tests"] for device in test["devices"]}
    mine = {ids(host)[1], ids(host)[3]}
    assert used <= mine
    assert {device["id"] for device in report["devices"]} == mine
    assert sys.executable in pytest_command


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_run_says_how_long_it_will_take(gpu_host: Host, workers: tuple[str, ...]) -> None:
    """From its second time on: by then it is known what its tests take."""
    gpu_host.write(
        "test_suite.py",
        """
        import subprocess, sys, time
        import pytest

        @pytest.mark.parametrize("case", range(2))
        def test_one(case):
            subprocess.run([sys.executable, "-m", "pytest_gpupool", "status"])
            time.sleep(3)
        """,
    )
    told = []
    for _ in range(2):
        run = gpu_host.pytest("-rP", *workers)
        assert run.status == 0, run.output
        told.append([line for line in run.output.splitlines() if re.search(r"pid .* test_suite.py::test_one", line)])
    first, second = told
    assert first
    assert not [line for line in first if "to go" in line]
    assert [line for line in second if re.search(r"for .* s  about .* s to go  (gw\d|main)  test_suite", line)], second
