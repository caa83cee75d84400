"""What is measured on a real GPU, beside what others measure: nvidia-smi, torch's benchmark, the GPU's own cycles."""

from __future__ import annotations

import json
import shutil
from statistics import mean

import pytest
from gpu_machine import GpuHost
from gpu_table import Checks

MIB, GIB = 2**20, 2**30


def test_the_sampler_against_nvidia_smi(real_host: GpuHost, checks: Checks) -> None:
    """Memory, utilisation, temperature and energy of a test that keeps the GPU busy."""
    if shutil.which("nvidia-smi") is None:
        pytest.skip("there is no nvidia-smi on PATH")
    if real_host.device.kind == "mig":
        pytest.skip("nvidia-smi tells nothing of a MIG instance by itself")
    real_host.suite("sampled")
    run = real_host.pytest("-n1", "--gpupool-sample=0.2")
    assert run.outcomes["test_busy"] == "passed", run.output
    memory, utilization, temperature, power = zip(*json.loads(run.junit["test_busy"]["smi"]), strict=True)
    used, seconds = run.tests["test_busy"]["resources"], run.tests["test_busy"]["duration_s"]
    checks.true("looks of nvidia-smi", "10 or more", len(memory), good=len(memory) >= 10)
    for what, theirs, ours, rel, atol in (
        (
            "peak memory in GiB",
            [one * MIB / GIB for one in memory if one is not None],
            used["peak_memory_bytes"] and used["peak_memory_bytes"] / GIB,
            0.02,
            0.1,
        ),
        ("highest utilisation in %", [one for one in utilization if one is not None], used["utilization_max"], 0, 5),
        ("highest temperature in °C", [one for one in temperature if one is not None], used["temperature_max_c"], 0, 3),
    ):
        if theirs:
            checks.near(what, max(theirs), ours, rel=rel, atol=atol)
    watts = [one for one in power if one is not None]
    busy = [one for one in utilization if one is not None]
    if busy:
        # nvidia-smi was asked only while it was busy; its first look may be of the time before.
        checks.near("mean utilisation in %", mean(busy[2:] or busy), used["utilization_mean"], atol=20)
    if watts:
        joules = used["energy_j"]
        # What nvidia-smi tells is a mean over the last second.
        checks.near("power in W", mean(watts[len(watts) // 4 :]), joules and joules / seconds, rel=0.2)
    checks.equal("foreign processes", [], used["foreign_pids"])


def test_measure_against_known_kernels(real_host: GpuHost, checks: Checks) -> None:
    """Products and copies as fast as torch's own benchmark says; a kernel of so many cycles at the device's clock."""
    real_host.suite("kernels")
    run = real_host.pytest("-n1")
    assert set(run.outcomes.values()) == {"passed"}, run.output
    for test, what, rel in (
        ("test_matmul[float16-8192]", "matmul of 8192² float16 in TFLOP/s", 0.05),
        ("test_matmul[float32-4096]", "matmul of 4096² float32 in TFLOP/s", 0.05),
        ("test_copy", "copy of 0.5 GiB in GB/s", 0.1),
    ):
        found = run.metrics(test)
        checks.near(what, found["theirs"], found["ours"], rel=rel)
    metrics = {metric["name"]: metric for metric in run.tests["test_cycles"]["metrics"]}
    timing = metrics["latency"]["timing"]
    checks.equal("what has timed it", "device_events", timing["clock"])
    clocks = timing["device_clock_mhz"]
    if clocks is not None:
        checks.near("clock in MHz, by a kernel of known cycles", clocks[1], metrics["clock"]["value"], rel=0.1)
