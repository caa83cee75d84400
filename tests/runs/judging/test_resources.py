"""What each test used is in the reports; what could not be measured is null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from standin import Driver, Gpu
from support import Host, gpus, instances, wait_for

GIB = 2**30

SUITE = """
    import time
    def test_long(): time.sleep(1)  # 20 times as long as the sampling takes
    def test_short(): pass
"""

OF_THE_DEVICE = (
    "peak_memory_bytes",
    "utilization_mean",
    "utilization_max",
    "energy_j",
    "temperature_max_c",
    "throttled",
    "foreign_pids",
)
QUICK = "--gpupool-sample=0.05"


def resources(host: Host, *args: str) -> tuple[Any, dict[str, Any]]:
    """A run, and the resources of its long test."""
    host.write("test_work.py", SUITE)
    run = host.pytest(*args)
    assert run.status == 0, run.output
    return run, run.tests["test_long"]["resources"]


@pytest.mark.parametrize("args", [[], ["-n1"]], ids=["plain", "n1"])
def test_a_gpu_is_sampled(make_host: Callable[..., Host], args: list[str]) -> None:
    """Every figure of the contract; the JUnit file has the peak, the device what adds up over its tests."""
    host = make_host(1, used=3 * GIB, utilization=40, temperature=61)
    run, used = resources(host, QUICK, "--gpupool-allow-busy", *args)
    told = {name: used[name] for name in OF_THE_DEVICE if name != "energy_j"}
    assert told == {
        "peak_memory_bytes": 3 * GIB,
        "utilization_mean": 40,
        "utilization_max": 40,
        "temperature_max_c": 61,
        "throttled": False,
        "foreign_pids": [],
    }
    assert used["energy_j"] >= 0
    assert used["cpu_percent"] >= 0
    assert used["rss_peak_bytes"] > 10 * 2**20
    assert run.junit["test_long"]["gpupool.peak_memory_bytes"] == str(3 * GIB)
    (device,) = run.report["devices"]
    assert device["utilization_mean"] == 40
    assert device["energy_j"] >= 0


def test_a_cpu_slot_has_no_figures_of_a_gpu(cpu_host: Host) -> None:
    """The process is measured all the same; a test shorter than the interval has nothing to tell."""
    run, used = resources(cpu_host, QUICK)
    assert {name: used[name] for name in OF_THE_DEVICE} == dict.fromkeys(OF_THE_DEVICE)
    assert used["rss_peak_bytes"] > 10 * 2**20
    assert set(run.tests["test_short"]["resources"].values()) == {None}
    assert "gpupool.peak_memory_bytes" not in run.junit["test_long"]


def test_nothing_is_sampled_where_the_user_says_so(host: Host) -> None:
    """``--gpupool-sample=0``."""
    _, used = resources(host, "--gpupool-sample=0")
    assert set(used.values()) == {None}


def test_a_mig_instance_has_its_memory_alone(libraries: Any, tmp_path: Any) -> None:
    """NVML knows no utilisation or energy of an instance: null, not that of the whole card."""
    (mig,) = instances(1, used=GIB)
    (parent,) = gpus(1)
    card = Gpu(parent.uuid, mig_enabled=True, mig=(mig,), utilization=90)
    host = Host(tmp_path, Driver(libraries, tmp_path / "nvml-state", [card]))
    _, used = resources(host, QUICK, "--gpupool-allow-busy")
    assert used["peak_memory_bytes"] == GIB
    assert used["utilization_mean"] is None
    assert used["energy_j"] is None


def test_what_a_lost_device_gave_is_invalid(make_host: Callable[..., Host]) -> None:
    """Also without a baseline: the test fails, and says so."""
    host = make_host(2)
    assert host.driver is not None
    host.write(
        "test_work.py",
        """
        import pathlib, time
        def test_measures(record_metric):
            record_metric("accuracy", 0.9)
            pathlib.Path("measured").write_text("now\\n")
            while not pathlib.Path("go").exists(): time.sleep(0.01)
            time.sleep(1)  # 20 times as long as the sampling takes
        """,
    )
    running = host.start(QUICK, "-n1")
    try:
        wait_for(host.project / "measured")
        host.driver.lose(0)
        host.write("go", "")
        run = running.finish()
    finally:
        running.kill()
    assert run.status == 1
    assert run.tests["test_measures"]["message"] == "accuracy 0.9 is invalid: its device was lost"
    assert run.tests["test_measures"]["metrics"][0]["verdict"] == "invalid"
    assert run.report["summary"]["metrics"]["invalid"] == 1


def test_captured_output_is_in_the_report(cpu_host: Host) -> None:
    """All that pytest caught of a failed test, the end of it of one that passed."""
    cpu_host.write(
        "test_talk.py",
        """
        import logging, sys
        def test_passes(): print("a" * 5000 + "the end")
        def test_fails():
            print("before it failed")
            print("to the error stream", file=sys.stderr)
            logging.getLogger().warning("a warning")
            assert False
        def test_silent(): pass
        """,
    )
    tests = cpu_host.pytest("-n1").tests
    assert tests["test_passes"]["output"]["stdout"].endswith("aaathe end\n")
    assert len(tests["test_passes"]["output"]["stdout"]) < 600
    assert tests["test_fails"]["output"]["stdout"] == "before it failed\n"
    assert tests["test_fails"]["output"]["stderr"] == "to the error stream\n"
    assert "a warning" in tests["test_fails"]["output"]["log"]
    assert "output" not in tests["test_silent"]
