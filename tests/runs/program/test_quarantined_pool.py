"""Runs of pytest on a host of which devices are in quarantine, and one that puts a device there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_hosts import ids, make_host
from program import gpupool
from support import Host, wait_for

pytestmark = pytest.mark.usefixtures("leaves_nothing")

SUITE = """
    import pytest

    @pytest.mark.parametrize("case", range(4))
    def test_case(gpu, case): print("on", gpu.ids[0])

    @pytest.mark.gpupool(gpus=4)
    def test_large(gpu): pass
"""


@pytest.fixture
def host(libraries: Path, tmp_path: Path) -> Host:
    """A host with four GPUs that no other test has."""
    return make_host(libraries, tmp_path, 4)


def test_a_run_goes_without_them(host: Host) -> None:
    """It says so at its start, counts without them, and a test that needs them all is told what there is."""
    host.write("test_suite.py", SUITE)
    uuid = ids(host)[2]
    assert gpupool(host, "quarantine", "2", "--reason", "ECC errors")[0] == 0
    run = host.pytest("-n4")
    assert re.search(
        rf"^gpupool: GPU 2 is left out: quarantined by \w+ \d+ s ago: ECC errors "
        rf"\('gpupool quarantine {uuid} --lift' takes it back\)$",
        run.stdout,
        re.MULTILINE,
    )
    assert "gpupool: 3 GPUs (NVIDIA H200), 3 workers, one device each" in run.stdout
    assert [device["id"] for device in run.report["devices"]] == [one for one in ids(host) if one != uuid]
    assert {run.outcomes[f"test_case[{case}]"] for case in range(4)} == {"passed"}
    assert run.outcomes["test_large"] == "error"
    assert "3" in run.tests["test_large"]["message"]
    assert uuid not in {one for test in run.report["tests"] for one in test["devices"]}


def test_auto_starts_none_for_them(host: Host) -> None:
    host.write("test_suite.py", "def test_one(): pass\n")
    for number in "013":
        gpupool(host, "quarantine", number, "--reason", "dust")
    assert "gpupool: 1 GPU (NVIDIA H200), 1 worker, one device each" in host.pytest("-nauto").stdout


@pytest.mark.parametrize("workers", ["-n2", "-n0"])
def test_all_of_them(host: Host, workers: str) -> None:
    """It ends at once, with the status of a run that got no lease; with --gpupool-require that of too small a pool."""
    host.write("test_suite.py", "def test_one(): pass\n")
    for number in "0123":
        gpupool(host, "quarantine", number, "--reason", "dust")
    run = host.pytest(workers)
    assert run.status == 75
    assert "gpupool: no device may be used: all of 4 GPUs (NVIDIA H200) are in quarantine\n" in run.output
    for place, uuid in enumerate(ids(host)):
        assert re.search(
            rf"  GPU {place} is left out: quarantined by \w+ \d+ s ago: dust "
            rf"\('gpupool quarantine {uuid} --lift' takes it back\)\n",
            run.output,
        )
    assert host.pytest(workers, "--gpupool-require=1").status == 69


def test_a_runs_own_quarantine_outlives_it(host: Host) -> None:
    """Status shows it, with the run; the next run goes without the device, until somebody lifts that."""
    assert host.driver is not None
    host.write(
        "test_suite.py",
        """
        import os, pathlib, time
        import pytest

        @pytest.mark.parametrize("case", range(2))
        def test_case(gpu, case):
            pathlib.Path(f"up{gpu.ids[0]}").write_text("up\\n")
            deadline = time.monotonic() + 60
            while "quarantined" not in "".join(p.read_text() for p in pathlib.Path(".gpupool/runs").glob("*/*.jsonl")):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        """,
    )
    running = host.start("-n2", "--gpupool-devices=0,1")
    for uuid in ids(host)[:2]:
        wait_for(host.project / f"up{uuid}")
    host.driver.lose(1)
    run = running.finish()
    uuid, name = ids(host)[1], run.report["run"]["id"]
    lift = f"('gpupool quarantine {uuid} --lift' takes it back)"
    reason = "is lost (it fell off the bus: see 'dmesg', then reset or reboot)"
    assert f"gpupool: warning: GPU 1 ({uuid}) was taken out of the pool: it {reason} {lift}" in run.stdout
    host.driver.find(1)
    status, out, _ = gpupool(host, "status")
    assert status == 0
    assert re.search(rf"     quarantined by \w+'s run {name} \d+ s ago: {re.escape(reason)}\n", out)
    host.write("test_suite.py", "def test_one(): pass\n")
    assert "gpupool: GPU 1 is left out: quarantined by" in host.pytest("-n4").stdout
    assert gpupool(host, "quarantine", "1", "--lift")[0] == 0
    assert "gpupool: 4 GPUs (NVIDIA H200), 4 workers" in host.pytest("-n4").stdout
