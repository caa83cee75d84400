"""The pool is what the host has, the environment leaves and ``--gpupool-devices`` names."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from standin import Driver

from pytest_gpupool.devices.pool import Pool, cpu_count, discover
from pytest_gpupool.devices.probe import Survey
from pytest_gpupool.values.device import Device, cpu_device
from pytest_gpupool.values.errors import RequirementNotMet, UsageProblem


def gpu(index: int, name: str = "NVIDIA H200") -> Device:
    """A GPU."""
    return Device(id=f"GPU-{index}0000000", kind="gpu", index=index, name=name, memory_total=1)


def mig(parent: int, number: int) -> Device:
    """A MIG instance."""
    return Device(id=f"MIG-{number}0000000-0000", kind="mig", index=parent, name="MIG 1g", memory_total=1)


FOUR = tuple(map(gpu, range(4)))
LOST = "GPU 4 is lost; the pool goes on without it"
NO_DRIVER = Survey(problem="no NVIDIA driver here: libnvidia-ml.so.1 is not found")


class Look:
    """A host on which there is this; counts how often it was looked at."""

    def __init__(self, *devices: Device, broken: tuple[str, ...] = (), survey: Survey | None = None) -> None:
        self.survey = survey or Survey(devices=devices, broken=broken, driver="570.86.15")
        self.times = 0

    def __call__(self) -> Survey:
        """What the survey gives."""
        self.times += 1
        return self.survey


def visible(value: str | None) -> dict[str, str]:
    """An environment with this list."""
    return {} if value is None else {"CUDA_VISIBLE_DEVICES": value}


class TestDevices:
    """Which devices there are."""

    @pytest.mark.parametrize(
        ("spec", "listed", "indices"),
        [
            ("auto", None, [0, 1, 2, 3]),
            ("auto", "2,0", [2, 0]),
            ("auto", "GPU-1", [1]),
            ("0,2", None, [0, 2]),
            ("3,1", "1,2,3", [3, 1]),
            ("GPU-2,0", None, [2, 0]),
        ],
    )
    def test_they_are_in_the_order_of_the_list(self, spec: str, listed: str | None, indices: list[int]) -> None:
        """The option's, else the environment's; the driver's version comes along."""
        look = Look(*FOUR)
        pool = discover(spec, environ=visible(listed), look=look)
        assert [device.index for device in pool.devices] == indices
        assert (pool.is_cpu, pool.no_gpu, pool.notes, pool.driver) == (False, None, (), "570.86.15")
        assert look.times == 1

    def test_the_environment_is_this_processs_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where none is given."""
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
        assert discover("auto", look=Look(*FOUR)).devices == (FOUR[3],)

    def test_a_broken_gpu_and_a_bad_list_are_told(self) -> None:
        """The pool goes on."""
        pool = discover("auto", environ=visible("1,9"), look=Look(*FOUR, broken=(LOST,)))
        assert pool.devices == (FOUR[1],)
        assert pool.notes == (
            LOST,
            "CUDA_VISIBLE_DEVICES=1,9: no device '9' here, and CUDA ignores what comes after it",
        )

    def test_cpu_asks_nobody(self) -> None:
        """No GPU is looked at."""
        look = Look(*FOUR)
        pool = discover("cpu", environ={}, look=look)
        assert (pool.is_cpu, pool.devices, look.times) == (True, (), 0)
        assert pool.describe() == "no GPU, CPU slots instead (--gpupool-devices=cpu)"

    def test_cpu_slots_are_as_many_as_workers(self) -> None:
        """GPUs are as many as there are."""
        assert discover("cpu", environ={}).slots(3) == (cpu_device(0), cpu_device(1), cpu_device(2))
        assert discover("auto", environ={}, look=Look(*FOUR)).slots(9) == FOUR

    def test_this_process_may_use_a_core_at_least(self) -> None:
        """``-n auto`` starts as many workers on CPU slots."""
        assert cpu_count() >= 1

    def test_the_time_that_it_has_counts_too(self) -> None:
        """In a container that may run on all cores of its host, but not for long."""
        cores = cpu_count(limit=lambda: None)
        assert cpu_count(limit=lambda: 0.5) == cpu_count(limit=lambda: 1.9) == 1
        assert cpu_count(limit=lambda: cores + 0.5) == cpu_count(limit=lambda: 1000.0) == cores

    @pytest.mark.parametrize(
        ("look", "listed", "reason"),
        [
            (Look(survey=NO_DRIVER), None, "no NVIDIA driver here: libnvidia-ml.so.1 is not found"),
            (Look(survey=NO_DRIVER), "0", "no NVIDIA driver here: libnvidia-ml.so.1 is not found"),
            (Look(), None, "NVML finds no GPU"),
            (Look(), "0", "NVML finds no GPU"),
            (Look(broken=(LOST,)), None, "no GPU answers"),
            (Look(*FOUR), "-1", "CUDA_VISIBLE_DEVICES=-1 hides all 4"),
            (Look(*FOUR), "", "CUDA_VISIBLE_DEVICES= hides all 4"),
            (Look(*FOUR), "0,0", "CUDA_VISIBLE_DEVICES=0,0 hides all 4"),
        ],
    )
    def test_without_a_gpu_there_are_cpu_slots_and_a_reason(self, look: Look, listed: str | None, reason: str) -> None:
        """Which the run says at its start."""
        pool = discover("auto", environ=visible(listed), look=look)
        assert pool.is_cpu
        assert pool.describe() == f"no GPU, CPU slots instead ({reason})"

    @pytest.mark.parametrize(
        ("devices", "text"),
        [
            (FOUR, "4 GPUs (NVIDIA H200)"),
            (FOUR[:1], "1 GPU (NVIDIA H200)"),
            ((gpu(0), gpu(1, "NVIDIA L4"), gpu(2)), "3 GPUs (NVIDIA H200, NVIDIA L4)"),
            ((mig(0, 1),), "1 MIG instance (MIG 1g)"),
            ((gpu(1), mig(0, 1), mig(0, 2)), "1 GPU + 2 MIG instances (NVIDIA H200, MIG 1g)"),
        ],
    )
    def test_describe(self, devices: tuple[Device, ...], text: str) -> None:
        """Kinds are counted, names told once."""
        assert Pool(devices=devices).describe() == text


class TestOrder:
    """Where numbers may mean other GPUs to CUDA than to NVML."""

    REASON = "GPU 4 does not answer, and CUDA may number the others without it"

    def test_a_worker_is_then_given_uuids(self) -> None:
        """The pool says why; of MIG instances alone there is nothing to say, they have UUIDs anyhow."""
        host = Survey(devices=(*FOUR, mig(9, 1)), by_uuid=self.REASON)
        assert discover("auto", environ={}, look=Look(survey=host)).by_uuid == self.REASON
        assert discover("auto", environ={}, look=Look(*FOUR)).by_uuid is None
        assert discover("MIG-1", environ={}, look=Look(survey=host)).by_uuid is None

    @pytest.mark.parametrize(("listed", "told"), [("0,2", True), ("GPU-0", False), (None, False), ("-1", False)])
    def test_a_list_of_numbers_is_then_in_doubt(self, listed: str | None, told: bool) -> None:
        """A note says how it was read, and what to list."""
        host = Survey(devices=FOUR, by_uuid=self.REASON)
        note = (
            f"CUDA_VISIBLE_DEVICES={listed} is read by nvidia-smi's numbers, which may not be CUDA's ({self.REASON}): "
            "list UUIDs there"
        )
        assert discover("auto", environ=visible(listed), look=Look(survey=host)).notes == ((note,) if told else ())

    @pytest.mark.parametrize(
        ("listed", "order", "told"),
        [("1", None, True), ("1", "FASTEST_FIRST", True), ("1", "PCI_BUS_ID", False), (None, None, False)],
    )
    def test_and_on_a_host_of_several_kinds(self, listed: str | None, order: str | None, told: bool) -> None:
        """Unless CUDA was told to count as NVML does."""
        environ = visible(listed) | ({} if order is None else {"CUDA_DEVICE_ORDER": order})
        pool = discover("auto", environ=environ, look=Look(gpu(0), gpu(1, "NVIDIA L4")))
        note = (
            "CUDA_VISIBLE_DEVICES=1 is read by nvidia-smi's numbers; CUDA numbers GPUs of several kinds "
            "(NVIDIA H200, NVIDIA L4) by speed: set CUDA_DEVICE_ORDER=PCI_BUS_ID, or list UUIDs there"
        )
        assert pool.notes == ((note,) if told else ())


class TestExclusive:
    """A device that one process at a time may use cannot be shared."""

    HOST = Survey(devices=FOUR, exclusive={FOUR[1].id: "is in compute mode X: end it"})

    def test_it_is_refused(self) -> None:
        """With the option, the GPU and the cure."""
        with pytest.raises(UsageProblem) as raised:
            discover("auto", slots=2, environ={}, look=Look(survey=self.HOST))
        assert str(raised.value) == (
            "--gpupool-slots=2: GPU 1 (NVIDIA H200) is in compute mode X: end it, or leave --gpupool-slots out"
        )

    def test_one_worker_may_have_it(self) -> None:
        """And several the others."""
        assert discover("auto", environ={}, look=Look(survey=self.HOST)).devices == FOUR
        assert discover("0,2", slots=2, environ={}, look=Look(survey=self.HOST)).devices == (FOUR[0], FOUR[2])

    def test_nor_where_a_container_speaks_to_a_server_outside(self) -> None:
        """The variable says where."""
        environ = {"CUDA_MPS_PIPE_DIRECTORY": "/tmp/nvidia-mps"}
        assert discover("auto", slots=2, environ=environ, look=Look(survey=self.HOST)).devices == FOUR

    def test_through_the_vendors_server_it_is_shared(self, tmp_path: Path) -> None:
        """Which is the one process that uses it."""
        # The kernel takes a process's name from its program's file.
        server = tmp_path / "nvidia-cuda-mps-server"
        server.symlink_to(shutil.which("sleep") or "sleep")
        with subprocess.Popen([server, "300"]) as running:
            try:
                assert discover("auto", slots=2, environ={}, look=Look(survey=self.HOST)).devices == FOUR
            finally:
                running.kill()


class TestRefusal:
    """What cannot be had ends the run at once."""

    @pytest.mark.parametrize("spec", ["0", "auto2", "GPU-1,GPU-2"])
    def test_a_list_where_there_is_no_driver(self, spec: str) -> None:
        """The reason is the driver's, not the list's."""
        with pytest.raises(UsageProblem) as raised:
            discover(spec, environ={}, look=Look(survey=NO_DRIVER))
        assert str(raised.value) == f"--gpupool-devices={spec}: {NO_DRIVER.problem}"
        assert raised.value.exit_status == 4

    def test_a_list_where_there_is_no_gpu(self) -> None:
        """The error points to nvidia-smi."""
        with pytest.raises(UsageProblem) as raised:
            discover("0", environ={}, look=Look())
        assert str(raised.value) == (
            "--gpupool-devices=0: no device '0' here; no GPU is visible here (see 'nvidia-smi')"
        )

    def test_a_device_that_the_environment_hides(self) -> None:
        """The error names it and what is left."""
        with pytest.raises(UsageProblem) as raised:
            discover("0,1", environ=visible("0"), look=Look(*FOUR))
        assert str(raised.value) == (
            "--gpupool-devices=0,1: GPU 1 is hidden by CUDA_VISIBLE_DEVICES; there are: 0 (GPU-00000000)"
        )

    def test_a_device_that_is_given_twice(self) -> None:
        """Also by two names."""
        with pytest.raises(UsageProblem, match=r"^--gpupool-devices=1,GPU-1 names GPU 1 twice; name it once$"):
            discover("1,GPU-1", environ={}, look=Look(*FOUR))


class TestRequire:
    """``--gpupool-require``: rather fail than test on less."""

    @pytest.mark.parametrize("require", [0, 1, 4])
    def test_enough_is_enough(self, require: int) -> None:
        """The pool is the same."""
        assert discover("auto", require=require, environ={}, look=Look(*FOUR)).devices == FOUR

    @pytest.mark.parametrize(
        ("look", "spec", "listed", "text"),
        [
            (Look(*FOUR), "auto", None, "--gpupool-require=5, but the pool holds 4: 4 GPUs (NVIDIA H200)"),
            (Look(*FOUR), "0,1", None, "--gpupool-require=5, but the pool holds 2: 2 GPUs (NVIDIA H200)"),
            (Look(mig(0, 1)), "auto", None, "--gpupool-require=5, but the pool holds 1: 1 MIG instance (MIG 1g)"),
            (Look(*FOUR), "cpu", None, "--gpupool-require=5, but the pool holds 0: --gpupool-devices=cpu"),
            (
                Look(*FOUR),
                "auto",
                "-1",
                "--gpupool-require=5, but the pool holds 0: CUDA_VISIBLE_DEVICES=-1 hides all 4",
            ),
            (
                Look(survey=NO_DRIVER),
                "auto",
                None,
                "--gpupool-require=5, but the pool holds 0: no NVIDIA driver here: libnvidia-ml.so.1 is not found",
            ),
            (
                Look(*FOUR, broken=(LOST,)),
                "auto",
                "0,9",
                "--gpupool-require=5, but the pool holds 1: 1 GPU (NVIDIA H200)\n"
                f"  {LOST}\n"
                "  CUDA_VISIBLE_DEVICES=0,9: no device '9' here, and CUDA ignores what comes after it",
            ),
        ],
        ids=["auto", "list", "mig", "cpu", "hidden", "no driver", "with notes"],
    )
    def test_less_is_refused(self, look: Look, spec: str, listed: str | None, text: str) -> None:
        """The error says what there is and why there is no more; the run ends with status 69."""
        with pytest.raises(RequirementNotMet) as raised:
            discover(spec, require=5, environ=visible(listed), look=look)
        assert str(raised.value) == text
        assert raised.value.exit_status == 69

    def test_the_error_survives_its_way_to_the_controller(self) -> None:
        """With its text and status."""
        with pytest.raises(RequirementNotMet) as raised:
            discover("cpu", require=1, environ={})
        again = pickle.loads(pickle.dumps(raised.value))
        assert (type(again), str(again), again.exit_status) == (RequirementNotMet, str(raised.value), 69)


def test_on_a_host_with_nvml(libraries: Path, tmp_path: Path) -> None:
    """The survey is NVML's where nobody gives another."""
    driver = Driver.with_gpus(libraries, tmp_path / "nvml", 3, name="NVIDIA H200")
    driver.lose(1)
    source = (
        "import json\nfrom pytest_gpupool.devices.pool import discover\npool = discover('auto')\n"
        "print(json.dumps([pool.describe(), [device.id for device in pool.devices], pool.notes]))\n"
    )
    environ = {**driver.environ(), "CUDA_VISIBLE_DEVICES": "2,0"}
    told = subprocess.run([sys.executable, "-c", source], env=environ, check=True, capture_output=True, text=True)
    assert json.loads(told.stdout) == [
        "2 GPUs (NVIDIA H200)",
        [driver.uuids[2], driver.uuids[0]],
        [
            "GPU 1 is lost (it fell off the bus: see 'dmesg', then reset or reboot); the pool goes on without it",
            "CUDA_VISIBLE_DEVICES=2,0 is read by nvidia-smi's numbers, which may not be CUDA's "
            "(GPU 1 does not answer, and CUDA may number the others without it): list UUIDs there",
        ],
    ]
