"""Devices that are held, busy, lost, hidden or not there: what a run waits for, leaves out, and says."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from made_hosts import make_host as make_gpu_host
from standin import Driver, Gpu
from standin.devices import GIB
from support import Host, Run, Running, Watched, gpus, instances, wait_for

HOLDER = """
    import os
    import pathlib
    import time
    import pytest

    @pytest.mark.parametrize("case", range({count}))
    def test_holds(case):
        with open("held", "a") as file:
            file.write(f"{{os.getpid()}} {{case}}\\n")
        while not pathlib.Path("release").exists():
            time.sleep(0.01)
"""

VISIBLE = """
    import json
    import os
    import pathlib
    import time
    import pytest

    NAMES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPUPOOL_DEVICES")

    @pytest.mark.parametrize("case", range({count}))
    def test_case(case, gpu):
        line = {{name: os.environ.get(name) for name in NAMES}} | {{"gpu": [gpu.device, *gpu.ids]}}
        with open("seen", "a") as file:
            file.write(json.dumps(line) + "\\n")
        deadline = time.monotonic() + 60
        while len(pathlib.Path("seen").read_text().splitlines()) < {count}:
            assert time.monotonic() < deadline, "not every worker got a test"
            time.sleep(0.005)
"""
"""One test per worker, each of which notes what it sees and waits for the others."""


@contextmanager
def holding(host: Host, count: int, *args: str) -> Iterator[list[int]]:
    """Another run that holds so many GPUs until the end, or until ``release`` is there; gives its workers' pids."""
    host.write("holder/test_holder.py", HOLDER.format(count=count))
    reports = ("--gpupool-dir=holder/records", "--gpupool-json=holder.json", "--junitxml=holder.xml")
    holder = Running(host, host.command("holder", f"-n{count}", *reports, *args), host.environ())
    try:
        yield [int(line.split()[0]) for line in wait_for(host.project / "held", count)]
    finally:
        release(host)
        if holder.process.poll() is None:
            holder.finish()
        holder.kill()


def release(host: Host) -> None:
    """Let the holder end."""
    (host.project / "release").touch()


def seen(host: Host) -> list[dict[str, Any]]:
    """What each test of VISIBLE saw, by the device's number."""
    lines = [json.loads(line) for line in (host.project / "seen").read_text().splitlines()]
    return sorted(lines, key=lambda line: str(line["GPUPOOL_DEVICES"]))


def header(run: Run) -> list[str]:
    """The lines of gpupool in the header, without their label."""
    head = run.stdout.partition("rootdir:")[0]
    lines = [line.removeprefix("gpupool: ") for line in head.splitlines() if line.startswith("gpupool: ")]
    # Where the locks are these tests say themselves, and whether that is in a container is not theirs to say.
    return [line for line in lines if not line.startswith("locks ")]


def processes_of(running: Running) -> list[int]:
    """Every live process that the run started, its orphans too."""
    found = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == running.process.pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


# Held by another run


@pytest.fixture(scope="module")
def held(libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, list[int]]]:
    """A host with two GPUs, both held by another run, and the pids of that run's workers."""
    # With ids of their own: it goes on beside this module's other tests.
    host = make_gpu_host(libraries, tmp_path_factory.mktemp("held"), 2)
    host.write("suite/test_suite.py", "def test_one(gpu): pass\n")
    with holding(host, 2) as pids:
        yield host, pids


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
@pytest.mark.parametrize("wait", ["0", "0.3"])
def test_patience_ends_with_every_holder_named(
    held: tuple[Host, list[int]], workers: tuple[str, ...], wait: str
) -> None:
    """Where no lease comes within --gpupool-wait the run exits 75 and says which process holds which GPU."""
    host, pids = held
    run = host.pytest("suite", f"--gpupool-wait={wait}", *workers)
    assert run.status == 75, run.output
    assert f"gpupool: no device came free in {wait} s." in run.output
    holders = [line.split() for line in run.output.splitlines() if "held by pid" in line]
    assert sorted(line[:2] for line in holders) == [["GPU", "0"], ["GPU", "1"]]
    for pid in pids:
        assert f"held by pid {pid} ({getpass.getuser()}, test_holds[" in run.output
    assert "Wait longer (--gpupool-wait)" in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_nobody_waits_for_what_can_never_be_had(make_host: Callable[..., Host], workers: tuple[str, ...]) -> None:
    """It is said at once, as what it is: no time has passed, and to wait longer is no way out."""
    host = make_host(2)
    assert host.driver is not None
    host.driver.fault("nvmlDeviceGetComputeRunningProcesses_v3", 15)  # NVML_ERROR_GPU_IS_LOST, to who would use it
    host.write("suite/test_suite.py", "def test_one(gpu): pass\n")
    run = host.pytest("suite", *workers)
    assert run.status == 75, run.output
    assert "gpupool: no device can be leased, however long one waits.\n" in run.output
    assert [line for line in run.output.splitlines() if line.startswith("  GPU ")] == [
        f"  GPU {number}  Stand-in GPU  is lost (it fell off the bus: see 'dmesg', then reset or reboot)"
        for number in range(2)
    ]
    assert "Choose other devices (--gpupool-devices)" in run.output
    assert "3600" not in run.output
    assert "Wait longer" not in run.output


def test_a_run_on_cpu_slots_waits_for_nobody(held: tuple[Host, list[int]]) -> None:
    """--gpupool-devices=cpu runs while every GPU is held, and hides them all."""
    host, _ = held
    host.write("cpu/test_suite.py", VISIBLE.format(count=2))
    run = host.pytest("cpu", "-n2", "--gpupool-devices=cpu", "--gpupool-wait=0")
    assert run.status == 0, run.output
    assert [(line["CUDA_VISIBLE_DEVICES"], line["gpu"]) for line in seen(host)] == [
        ("-1", ["cpu", "cpu:0"]),
        ("-1", ["cpu", "cpu:1"]),
    ]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_run_that_waits_says_for_whom_and_joins(make_host: Callable[..., Host], workers: tuple[str, ...]) -> None:
    """While all GPUs are held the run names pid, user and test; when one comes free it goes on."""
    host = make_host(2)
    host.write("suite/test_suite.py", "def test_one(gpu): assert gpu.is_gpu\n")
    with holding(host, 2) as pids:
        waiting = Watched(host, "suite", *workers)
        try:
            holders = [f"held by pid {pid} ({getpass.getuser()}, test_holds[" for pid in pids]
            said = waiting.until("waits for a device" if workers else "waiting for a device", *holders)
            assert said.count("held by pid") == 2  # once a GPU, not once a worker
            release(host)
            run = waiting.finish()
        finally:
            waiting.kill()
    assert run.status == 0, run.output
    assert run.outcomes == {"test_one": "passed"}
    if workers:
        leased = [worker for worker in run.report["workers"] if worker["devices"]]
        assert any(f"gpupool: {worker['id']} leased {worker['devices'][0]} after" in run.stdout for worker in leased)
    assert max(worker["lease_wait_s"] or 0 for worker in run.report["workers"]) > 0


def test_a_run_goes_on_without_the_device_that_never_came(make_host: Callable[..., Host]) -> None:
    """With one of two GPUs held, one worker runs everything; the other is cancelled, and no process is left."""
    host = make_host(2)
    host.write("suite/test_suite.py", VISIBLE.format(count=1) + "\n    def test_two(): pass\n")
    with holding(host, 1, "--gpupool-devices=0"):
        running = host.start("suite", "-n2")
        try:
            run = running.finish()
            left = processes_of(running)
        finally:
            running.kill()
    assert run.status == 0, run.output
    assert left == []
    assert run.outcomes == {"test_case[0]": "passed", "test_two": "passed"}
    exits = {worker["exit"]: worker for worker in run.report["workers"]}
    assert exits.keys() == {"finished", "cancelled"}
    assert exits["finished"]["devices"] == [gpus(2)[1].uuid]
    assert exits["cancelled"]["devices"] == []
    assert {test["worker"] for test in run.tests.values()} == {exits["finished"]["id"]}
    assert "Not properly terminated" not in run.output


# Busy with a process that is not of the pool


def test_a_busy_gpu_is_not_leased(make_host: Callable[..., Host]) -> None:
    """A GPU on which a foreign process computes is said to be busy, however little it holds, unless that is allowed."""
    host = make_host(1)
    assert host.driver is not None
    host.driver.processes(0, (815, 100 << 20))
    host.write("test_suite.py", "def test_one(gpu): assert gpu.is_gpu\n")
    refused = host.pytest("--gpupool-wait=0")
    assert refused.status == 75, refused.output
    assert "GPU 0  Stand-in GPU  busy: pid 815 (not of this pool) uses 100 MiB" in refused.output
    assert host.pytest("--gpupool-busy-memory=100GiB", "--gpupool-wait=0").status == 75
    run = host.pytest("--gpupool-allow-busy", "--gpupool-wait=0")
    assert run.status == 0, run.output
    assert run.outcomes == {"test_one": "passed"}


def test_memory_that_nobody_is_named_for_makes_a_gpu_busy(make_host: Callable[..., Host]) -> None:
    """Above the threshold, to which a desktop does not count."""
    host = make_host(1)
    assert host.driver is not None
    host.driver.replace(0, used=3 * GIB, graphics=((815, 2 * GIB),))
    host.write("test_suite.py", "def test_one(gpu): assert gpu.is_gpu\n")
    refused = host.pytest("--gpupool-wait=0")
    assert refused.status == 75, refused.output
    beside = "beside graphics: pid 815 "
    assert f"GPU 0  Stand-in GPU  busy: 1.0 GiB in use by no process that is named, {beside}" in refused.output
    assert host.pytest("--gpupool-busy-memory=1GiB", "--gpupool-wait=0").status == 0


def test_a_worker_joins_when_the_foreign_process_has_gone(make_host: Callable[..., Host]) -> None:
    """A run on a busy GPU waits for the foreign process, and goes on when its memory is free."""
    host = make_host(1)
    assert host.driver is not None
    host.driver.processes(0, (815, 61 * GIB))
    host.write("test_suite.py", "def test_one(gpu): assert gpu.is_gpu\n")
    waiting = Watched(host, "-n1")
    try:
        waiting.until("gw0 waits for a device", "busy: pid 815 (not of this pool) uses 61.0 GiB")
        host.driver.processes(0)
        run = waiting.finish()
    finally:
        waiting.kill()
    assert run.status == 0, run.output
    assert run.outcomes == {"test_one": "passed"}
    assert f"gpupool: gw0 leased {gpus(1)[0].uuid} after" in run.stdout


# What the pool holds


def test_a_lost_gpu_is_left_out(host: Host) -> None:
    """A GPU that fell off the bus is one line in the header; the others are used."""
    assert host.driver is not None
    host.driver.lose(1)
    host.write("test_suite.py", VISIBLE.format(count=3))
    run = host.pytest("-n4")
    assert run.status == 0, run.output
    assert header(run) == [
        "3 GPUs (Stand-in GPU), 3 workers, one device each, CUDA_VISIBLE_DEVICES by uuid",
        "4 workers asked for, but the pool has 3 slots: starting 3",
        "GPU 1 is lost (it fell off the bus: see 'dmesg', then reset or reboot); the pool goes on without it",
        "CUDA_VISIBLE_DEVICES has UUIDs, although --gpupool-export=index: GPU 1 does not answer, and CUDA may number "
        "the others without it",
    ]
    left = [uuid for number, uuid in enumerate(host.driver.uuids) if number != 1]
    assert sorted(line["CUDA_VISIBLE_DEVICES"] for line in seen(host)) == sorted(left)


def test_a_driver_that_does_not_fit_its_library_means_cpu_slots(host: Host) -> None:
    """After an update of the driver the header says why there are CPU slots."""
    assert host.driver is not None
    host.driver.fail_init(18)
    host.write("test_suite.py", VISIBLE.format(count=2))
    run = host.pytest("-n2")
    assert run.status == 0, run.output
    assert header(run) == [
        "no GPU, CPU slots instead (Failed to initialize NVML: Driver/library version mismatch "
        "(after an update: reboot, or load the new module)), 2 workers"
    ]
    assert [line["gpu"] for line in seen(host)] == [["cpu", "cpu:0"], ["cpu", "cpu:1"]]
    assert [device["id"] for device in run.report["devices"]] == ["cpu:0", "cpu:1"]
    assert not host.lock_dir.exists()


def test_without_a_driver_there_are_cpu_slots(cpu_host: Host) -> None:
    """A machine without an NVIDIA driver runs everything on CPU slots, and says so."""
    cpu_host.write("test_suite.py", VISIBLE.format(count=1))
    run = cpu_host.pytest()
    assert run.status == 0, run.output
    expected = "no GPU, CPU slots instead (no NVIDIA driver here: libnvidia-ml.so.1 is not found), 1 worker"
    assert header(run) == [expected]
    assert seen(cpu_host)[0]["gpu"] == ["cpu", "cpu:0"]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
def test_a_requirement_that_is_not_met_ends_the_run(host: Host, workers: tuple[str, ...]) -> None:
    """--gpupool-require=5 on four GPUs exits 69 at once, and nothing runs."""
    host.write("test_suite.py", "def test_one(): open('ran', 'w')\n")
    run = host.pytest("--gpupool-require=5", *workers)
    assert run.status == 69, run.output
    assert "gpupool: --gpupool-require=5, but the pool holds 4: 4 GPUs (Stand-in GPU)" in run.output
    assert not (host.project / "ran").exists()
    assert not host.lock_dir.exists()
    assert "Traceback" not in run.output


def test_a_requirement_that_is_met_changes_nothing(host: Host) -> None:
    """--gpupool-require=4 on four GPUs runs."""
    host.write("test_suite.py", "def test_one(): pass\n")
    assert host.pytest("--gpupool-require=4").status == 0


def test_mig_instances_are_devices(libraries: Path, tmp_path: Path) -> None:
    """Each MIG instance is leased by itself and exported by its UUID, and so is a whole GPU beside it."""
    parts = instances(2)
    whole, parent = gpus(2)
    parent = Gpu(parent.uuid, mig_enabled=True, mig=parts)
    host = Host(tmp_path, Driver(libraries, tmp_path / "nvml-state", [whole, parent]))
    host.write("test_suite.py", VISIBLE.format(count=3))
    run = host.pytest("-n3", "--gpupool-require=3")
    assert run.status == 0, run.output
    assert header(run)[0].startswith("1 GPU + 2 MIG instances (Stand-in GPU, Stand-in GPU MIG 1g.10gb), 3 workers")
    assert [(line["CUDA_VISIBLE_DEVICES"], line["gpu"]) for line in seen(host)] == [
        (whole.uuid, ["cuda:0", whole.uuid]),
        *((instance.uuid, ["cuda:0", instance.uuid]) for instance in parts),
    ]
    assert [device["kind"] for device in run.report["devices"]] == ["gpu", "mig", "mig"]
    assert sorted(path.name for path in host.lock_dir.glob("MIG-*.lock")) == [f"{i.uuid}.lock" for i in parts]


# What the user chooses


def test_devices_can_be_chosen_and_exported_by_uuid(host: Host) -> None:
    """--gpupool-devices=2,0 leases these two only; --gpupool-export=uuid names them by UUID."""
    host.write("test_suite.py", VISIBLE.format(count=2))
    run = host.pytest("-nauto", "--gpupool-devices=2,0", "--gpupool-export=uuid")
    assert run.status == 0, run.output
    assert header(run) == ["2 GPUs (Stand-in GPU), 2 workers, one device each, CUDA_VISIBLE_DEVICES by uuid"]
    uuids = [gpus(3)[number].uuid for number in (0, 2)]
    assert [line["CUDA_VISIBLE_DEVICES"] for line in seen(host)] == uuids
    assert {line["CUDA_DEVICE_ORDER"] for line in seen(host)} == {None}
    assert [device["index"] for device in run.report["devices"]] == [2, 0]
    assert {worker["id"]: worker["devices"] for worker in run.report["workers"]} == {
        "gw0": [uuids[1]],
        "gw1": [uuids[0]],
    }


def test_a_device_can_be_chosen_by_the_beginning_of_its_uuid(host: Host) -> None:
    """A unique beginning of a UUID is enough; the export is by NVML's index, in NVML's order."""
    host.write("test_suite.py", VISIBLE.format(count=1))
    run = host.pytest("--gpupool-devices=GPU-00000003")
    assert run.status == 0, run.output
    uuid = gpus(4)[3].uuid
    assert seen(host) == [
        {
            "CUDA_VISIBLE_DEVICES": "3",
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "GPUPOOL_DEVICES": uuid,
            "gpu": ["cuda:0", uuid],
        }
    ]


def test_the_environments_list_bounds_the_pool(host: Host) -> None:
    """CUDA_VISIBLE_DEVICES=1,3 leaves these two, as the user's other programs see them."""
    host.write("test_suite.py", VISIBLE.format(count=2))
    run = host.pytest("-n4", environ=host.environ(CUDA_VISIBLE_DEVICES="1,3"))
    assert run.status == 0, run.output
    assert header(run) == [
        "2 GPUs (Stand-in GPU), 2 workers, one device each, CUDA_VISIBLE_DEVICES by index",
        "4 workers asked for, but the pool has 2 slots: starting 2",
    ]
    assert [line["CUDA_VISIBLE_DEVICES"] for line in seen(host)] == ["1", "3"]


def test_an_invalid_token_of_the_environments_list_ends_it(host: Host) -> None:
    """What comes after a device that is not there is ignored, as CUDA does, and the header says so."""
    host.write("test_suite.py", VISIBLE.format(count=1))
    run = host.pytest(environ=host.environ(CUDA_VISIBLE_DEVICES="2,9,3"))
    assert run.status == 0, run.output
    assert header(run) == [
        "1 GPU (Stand-in GPU), 1 worker, one device each, CUDA_VISIBLE_DEVICES by index",
        "CUDA_VISIBLE_DEVICES=2,9,3: no device '9' here, and CUDA ignores what comes after it",
    ]
    assert [line["CUDA_VISIBLE_DEVICES"] for line in seen(host)] == ["2"]


def test_a_duplicate_in_the_environments_list_hides_every_gpu(host: Host) -> None:
    """CUDA sees no GPU where its list names one twice; so the pool has CPU slots, with a warning."""
    host.write("test_suite.py", VISIBLE.format(count=1))
    run = host.pytest("-n1", environ=host.environ(CUDA_VISIBLE_DEVICES="1,1"))
    assert run.status == 0, run.output
    first, warning = header(run)
    assert first == "no GPU, CPU slots instead (CUDA_VISIBLE_DEVICES=1,1 hides all 4), 1 worker"
    assert warning == "CUDA_VISIBLE_DEVICES=1,1 names a device twice: CUDA sees no GPU then"
    assert seen(host)[0]["gpu"] == ["cpu", "cpu:0"]


def test_a_device_that_the_environment_hides_cannot_be_chosen(host: Host) -> None:
    """--gpupool-devices may only choose from what the environment leaves."""
    host.write("test_suite.py", "def test_one(): pass\n")
    run = host.pytest("--gpupool-devices=0", environ=host.environ(CUDA_VISIBLE_DEVICES="1,3"))
    assert run.status == 4, run.output
    assert "gpupool: --gpupool-devices=0: GPU 0 is hidden by CUDA_VISIBLE_DEVICES; there are: 1 (GPU-" in run.output
