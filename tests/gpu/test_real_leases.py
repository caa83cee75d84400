"""Leases on real GPUs: what CUDA sees of them, alone, on shared and on several devices, and under ``gpupool run``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from gpu_machine import GpuHost
from gpu_table import Checks
from support import LIMIT, Run


def seen_by(run: Run, test: str) -> Any:
    """What a test has told."""
    assert run.outcomes[test] == "passed", f"{test}: {run.tests[test]['message'] or run.output}"
    return json.loads(run.junit[test]["seen"])


def bare(device: str) -> str:
    """A UUID without what it is of."""
    return device.removeprefix("GPU-").removeprefix("MIG-")


def test_cuda_sees_the_lease(real_host: GpuHost, checks: Checks) -> None:
    """The leased device alone, by its name and UUID, also where conftest.py imports torch; the controller sees none."""
    real_host.suite("lease")
    real_host.suite("controller", "conftest.py")
    run = real_host.pytest("-n1")
    seen, device = seen_by(run, "test_lease"), real_host.device
    checks.equal("devices that CUDA sees in a worker", 1, seen["count"])
    checks.equal("devices that CUDA sees in the controller", "0", (real_host.project / "controller").read_text())
    checks.equal("the leased device", [device.id], seen["lease"]["ids"])
    checks.equal("the device that CUDA sees", bare(device.id), seen["uuid"])
    checks.equal("its name, by CUDA", device.name, seen["name"])
    # CUDA leaves out what the driver keeps for itself.
    total = seen["lease"]["memory"] / 2**30
    checks.near("its memory in GiB, by CUDA", total, seen["memory"] / 2**30, rel=0.05)
    environment = seen["environment"]
    checks.equal("GPUPOOL_DEVICES", device.id, environment["GPUPOOL_DEVICES"])
    checks.equal("GPUPOOL_RUN", run.report["run"]["id"], environment["GPUPOOL_RUN"])
    if device.kind == "gpu" and environment["CUDA_VISIBLE_DEVICES"] != device.id:  # as by_uuid of the pool has it
        checks.equal("CUDA_VISIBLE_DEVICES", str(device.index), environment["CUDA_VISIBLE_DEVICES"])
        checks.equal("CUDA_DEVICE_ORDER", "PCI_BUS_ID", environment["CUDA_DEVICE_ORDER"])
    else:
        checks.equal("CUDA_VISIBLE_DEVICES", device.id, environment["CUDA_VISIBLE_DEVICES"])


def test_without_workers_and_by_uuid(real_host: GpuHost, checks: Checks) -> None:
    """One process, and the other way to name a GPU."""
    real_host.suite("lease")
    seen = seen_by(real_host.pytest("--gpupool-export=uuid"), "test_lease")
    checks.equal("without -n, by UUID: what CUDA sees", bare(real_host.device.id), seen["uuid"])
    checks.equal("CUDA_VISIBLE_DEVICES by UUID", real_host.device.id, seen["environment"]["CUDA_VISIBLE_DEVICES"])


def test_a_command_under_a_lease(real_host: GpuHost, checks: Checks) -> None:
    """``gpupool run``, and ``gpupool status``, which knows of it."""
    program = [sys.executable, "-m", "pytest_gpupool"]
    ask = "import torch; print('sees', torch.cuda.device_count(), torch.cuda.get_device_properties(0).uuid, flush=True)"
    status = f"import subprocess; subprocess.run({[*program, 'status', '--json']!r}, check=True)"
    command = [*program, "run", "--wait=120", "--devices", real_host.device.id, "--", sys.executable, "-c"]
    done = subprocess.run(
        [*command, f"{ask}; {status}"],
        cwd=real_host.project,
        env=real_host.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, _, told = done.stdout.partition("\n")
    checks.equal("what CUDA sees under gpupool run", f"sees 1 {bare(real_host.device.id)}", first)
    states = {device["id"]: device["state"] for device in json.loads(told)["devices"]}
    checks.equal("gpupool status of the device meanwhile", "leased", states.get(real_host.device.id))


def test_two_workers_on_one_device(real_host: GpuHost, checks: Checks) -> None:
    """Both compute at once, and torch is held to its part of the memory, unless a test has the device alone."""
    real_host.suite("patience", "patience.py")
    real_host.suite("shared")
    run = real_host.pytest("-n2", "--gpupool-slots=2")
    both = [f"test_together[{case}]" for case in range(2)]
    assert {run.outcomes[name] for name in both} == {"passed"}, run.output
    checks.equal("devices of two slots", 1, len({run.junit[name]["id"] for name in both}))
    checks.equal("processes on them at once", 2, len({run.junit[name]["pid"] for name in both}))
    tries = [(one["outcome"], one["cause"]) for one in run.tests["test_more_than_its_part"]["attempts"]]
    expected = [("failed", "out-of-memory"), ("passed", None)]
    checks.true("70 % of the memory in a slot of 50 %", "none, then alone: enough", tries, good=tries == expected)


def test_several_devices(real_host: GpuHost, checks: Checks) -> None:
    """Each worker has another one, and a test of two has both, in the order of its lease."""
    gpus = real_host.machine.gpus
    if len(gpus) < 2:
        pytest.skip(f"needs two whole GPUs, and this machine has {len(gpus)}")
    real_host.suite("patience", "patience.py")
    real_host.suite("several")
    run = real_host.pytest("-n2", f"--gpupool-devices={gpus[0].id},{gpus[1].id}")
    ones = [seen_by(run, f"test_one[{case}]") for case in range(2)]
    checks.equal("devices of two workers", {bare(gpu.id) for gpu in gpus[:2]}, {one["cuda"][0] for one in ones})
    checks.equal("devices that each sees", [1, 1], [len(one["cuda"]) for one in ones])
    two = seen_by(run, "test_two")
    checks.equal("a test of two GPUs: the lease, by CUDA", [bare(id_) for id_ in two["lease"]], two["cuda"])


def test_instances_of_a_gpu(real_host: GpuHost, checks: Checks) -> None:
    """MIG: each worker has one, which CUDA sees as its only device."""
    instances = real_host.machine.instances
    if not instances:
        pytest.skip("no GPU that this process sees is in MIG mode")
    if len(instances) < 2:
        pytest.skip("needs two MIG instances, and this process sees one")
    real_host.suite("patience", "patience.py")
    real_host.suite("several")
    devices = f"--gpupool-devices={instances[0].id},{instances[1].id}"
    run = real_host.pytest("-n2", devices, "-k", "test_one")
    ones = [seen_by(run, f"test_one[{case}]") for case in range(2)]
    checks.equal("instances of two workers", {one.id for one in instances[:2]}, {one["lease"][0] for one in ones})
    checks.equal("instances that each sees", [1, 1], [len(one["cuda"]) for one in ones])
