"""A worker's environment names the devices that it holds, also where numbers could mean others, and MIG is on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from standin import Driver, Gpu
from support import Host, Run, gpus, instances

GIB = 2**30

SEES = """
    import os, json
    from pathlib import Path
    import pytest

    def see(name, gpu):
        names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
        seen = {name: os.environ[name] for name in names if name in os.environ}
        Path(f"{name}.json").write_text(json.dumps([seen, gpu.ids]))

    def test_one(gpu):
        see("one", gpu)
"""
PAIR = """
    @pytest.mark.gpupool(gpus=2)
    def test_pair(gpu):
        see("pair", gpu)
"""

WAYS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])


def seen(host: Host, name: str = "one") -> tuple[dict[str, str], list[str]]:
    """What a test saw of its environment, and the ids of its devices."""
    environ, ids = json.loads((host.project / f"{name}.json").read_text())
    return environ, ids


@pytest.fixture
def host_of(libraries: Path, tmp_path: Path) -> Callable[..., Host]:
    """Makes a host with these GPUs."""

    def make(*cards: Gpu) -> Host:
        host = Host(tmp_path, Driver(libraries, tmp_path / "nvml-state", cards))
        host.write("test_sees.py", SEES)
        return host

    return make


def notes(run: Run) -> list[str]:
    """What pytest's header says of the pool, beside what it is."""
    lines = [line for line in run.stdout.splitlines() if line.startswith("gpupool: ")]
    return [line.removeprefix("gpupool: ") for line in lines[1:] if "has UUIDs" in line or "is read by" in line]


@WAYS
def test_after_a_gpu_that_does_not_answer_by_uuid(host_of: Callable[..., Host], workers: tuple[str, ...]) -> None:
    """Else two workers could be on one GPU. The header says so, whether numbers were asked for or not."""
    first, second = gpus(2)
    host = host_of(first, second)
    assert host.driver is not None
    host.driver.lose(0)
    run = host.pytest(*workers, "--gpupool-export=index")
    assert run.status == 0, run.output
    assert seen(host) == ({"CUDA_VISIBLE_DEVICES": second.uuid}, [second.uuid])
    assert "CUDA_VISIBLE_DEVICES by uuid" in run.stdout
    assert notes(run) == [
        "CUDA_VISIBLE_DEVICES has UUIDs, although --gpupool-export=index: GPU 0 does not answer, and CUDA may number "
        "the others without it"
    ]


def test_who_asks_for_uuids_is_told_nothing(host_of: Callable[..., Host]) -> None:
    """They have them."""
    host = host_of(*gpus(2))
    assert host.driver is not None
    host.driver.lose(0)
    run = host.pytest("--gpupool-export=uuid")
    assert run.status == 0, run.output
    assert notes(run) == []


def test_beside_mig_a_whole_gpu_goes_by_uuid(host_of: Callable[..., Host]) -> None:
    """CUDA counts otherwise there."""
    first, second = gpus(2)
    host = host_of(Gpu(first.uuid, mig_enabled=True), second)
    run = host.pytest()
    assert run.status == 0, run.output
    assert seen(host)[0] == {"CUDA_VISIBLE_DEVICES": second.uuid}
    assert notes(run) == [
        "CUDA_VISIBLE_DEVICES has UUIDs, although --gpupool-export=index: GPU 0 is in MIG mode, and CUDA may number "
        "the others without it"
    ]


def test_a_list_of_numbers_on_a_host_of_several_kinds(host_of: Callable[..., Host]) -> None:
    """It is read as nvidia-smi counts, which is said; the worker's own list is right in any case."""
    first, second = gpus(2)
    host = host_of(first, Gpu(second.uuid, name="Fast GPU"))
    run = host.pytest(environ=host.environ(CUDA_VISIBLE_DEVICES="1"))
    assert run.status == 0, run.output
    assert seen(host) == ({"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [second.uuid])
    assert notes(run) == [
        "CUDA_VISIBLE_DEVICES=1 is read by nvidia-smi's numbers; CUDA numbers GPUs of several kinds (Stand-in GPU, "
        "Fast GPU) by speed: set CUDA_DEVICE_ORDER=PCI_BUS_ID, or list UUIDs there"
    ]


TOGETHER = "that one process can use together: it sees a single MIG instance, and no GPU beside it"


@WAYS
@pytest.mark.parametrize("cards", ["instances", "a GPU and an instance"])
def test_two_devices_of_which_one_is_an_instance_are_refused(
    host_of: Callable[..., Host], workers: tuple[str, ...], cards: str
) -> None:
    """The test says that the pool has one; the others run."""
    first, second = gpus(2)
    divided = Gpu(first.uuid, mig_enabled=True, mig=instances(2 if cards == "instances" else 1))
    host = host_of(divided) if cards == "instances" else host_of(divided, second)
    host.write("test_sees.py", SEES + PAIR)
    run = host.pytest(*workers)
    assert run.status == 1, run.output
    assert run.outcomes == {"test_one": "passed", "test_pair": "error"}
    assert f"gpupool: this test asks for 2 devices, but the pool has 1 {TOGETHER}" in run.stdout
    assert len(run.report["devices"]) == 2


@WAYS
def test_two_whole_gpus_beside_instances_are_had_together(
    host_of: Callable[..., Host], workers: tuple[str, ...]
) -> None:
    """Never one of the instances with them."""
    first, second, third = gpus(3)
    host = host_of(Gpu(first.uuid, mig_enabled=True, mig=instances(2)), second, third)
    host.write("test_sees.py", SEES + PAIR)
    run = host.pytest(*workers)
    assert run.status == 0, run.output
    pair = [second.uuid, third.uuid]
    assert seen(host, "pair") == ({"CUDA_VISIBLE_DEVICES": ",".join(pair)}, pair)


def test_a_gpu_of_one_process_is_not_shared(host_of: Callable[..., Host]) -> None:
    """Said at once, with the cure."""
    first, second = gpus(2)
    host = host_of(first, Gpu(second.uuid, compute_mode=3))
    run = host.pytest("-n", "4", "--gpupool-slots=2")
    assert run.status == 4
    assert (
        "ERROR: gpupool: --gpupool-slots=2: GPU 1 (Stand-in GPU) is in compute mode EXCLUSIVE_PROCESS, which lets "
        "one process at a time use it: set it back ('nvidia-smi -i 1 -c 0'), or start MPS "
        "('nvidia-cuda-mps-control -d'), or leave --gpupool-slots out\n"
    ) in run.stderr
    assert host.pytest("-n", "2").status == 0
