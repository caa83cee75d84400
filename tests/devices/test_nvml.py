"""What NVML says of a host, through the real pynvml; nothing that is wrong with a GPU ends the run."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from standin import Driver, Gpu, Mig, System, fake_uuid

GIB = 2**30
NO_PERMISSION, NOT_SUPPORTED, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND = 4, 3, 9, 12
FUNCTION_NOT_FOUND, GPU_IS_LOST, RESET_REQUIRED, MISMATCH, UNKNOWN = 13, 15, 16, 18, 999

FREE = 80 * GIB - GIB // 2
"""Of a stand-in GPU that nobody uses; the driver keeps the rest for itself."""
UNUSED = {"processes": [], "memory_used": 0, "memory_free": FREE}

# An expression a line in, as JSON; its value a line out.
CHILD = """
import json, os, sys
from dataclasses import asdict
from pytest_gpupool.values.device import Device
from pytest_gpupool.devices.nvidia.nvml import NvmlProbe, cores, survey
from pytest_gpupool.devices.probe import DeviceFailed

probe = NvmlProbe()

def usage(uuid):
    try:
        return probe.usage(Device(id=uuid, kind="gpu", index=0, name="GPU"))
    except DeviceFailed as failed:
        return str(failed)

def near(uuid, kind):
    found = cores(Device(id=uuid, kind=kind, index=0, name="GPU"))
    return None if found is None else sorted(found)

def forked(uuid):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, json.dumps(usage(uuid), default=asdict).encode())
        os._exit(0)
    os.wait()
    return json.loads(os.read(reader, 65536))

for line in sys.stdin:
    print(json.dumps(eval(json.loads(line)), default=asdict), flush=True)
"""


class Asker:
    """A live process of a user, which asks the probe."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        pipe = subprocess.PIPE
        self._child = subprocess.Popen([sys.executable, "-c", CHILD], env=environ, stdin=pipe, stdout=pipe, text=True)

    def ask(self, expression: str) -> Any:
        """The value of an expression, as JSON has it."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(json.dumps(expression), file=self._child.stdin, flush=True)
        return json.loads(self._child.stdout.readline())

    def survey(self) -> dict[str, Any]:
        """What one look at the host finds."""
        found = self.survey_and_order()
        return {key: found[key] for key in ("devices", "broken", "problem", "driver")}

    def survey_and_order(self) -> dict[str, Any]:
        """The same, with what it says of the order of devices and of those that are not to be shared."""
        found: dict[str, Any] = self.ask("survey()")
        return found

    def usage(self, uuid: str) -> Any:
        """Who uses a device, or how it failed. Nobody draws on it if not said otherwise."""
        return self._plain(f"usage({uuid!r})")

    def in_fork(self, uuid: str) -> Any:
        """The same, asked by a child."""
        return self._plain(f"forked({uuid!r})")

    def _plain(self, question: str) -> Any:
        answer = self.ask(question)
        if isinstance(answer, dict) and (answer["graphics"], answer["forbidden"]) == ([], None):
            return {key: answer[key] for key in ("processes", "memory_used", "memory_free")}
        return answer

    def end(self) -> None:
        """End it."""
        self._child.kill()
        self._child.communicate()


@pytest.fixture
def ask() -> Iterator[Callable[[Mapping[str, str]], Asker]]:
    """Starts processes with an environment, and ends them after the test."""
    with ExitStack() as stack:

        def start(environ: Mapping[str, str]) -> Asker:
            asker = Asker(environ)
            stack.callback(asker.end)
            return asker

        yield start


@pytest.fixture
def driver(libraries: Path, tmp_path: Path) -> Driver:
    """A driver of two GPUs."""
    return Driver.with_gpus(libraries, tmp_path / "nvml", 2, name="NVIDIA H200")


@pytest.fixture
def asker(driver: Driver, ask: Callable[[Mapping[str, str]], Asker]) -> Asker:
    """A process on that driver."""
    return ask(driver.environ())


@pytest.fixture
def mig_driver(driver: Driver) -> Driver:
    """The same, with the first GPU divided in two."""
    first = Mig(fake_uuid("MIG", 0), gi=7, ci=0, used=3 * GIB, processes=((815, 3 * GIB),))
    second = Mig(fake_uuid("MIG", 1), name="MIG 2g.20gb", memory=20 * GIB, gi=3, ci=1)
    driver.replace(0, mig_enabled=True, mig=(first, second))
    return driver


def gpu(driver: Driver, index: int, memory: int | None = 80 * GIB) -> dict[str, Any]:
    """A GPU as the survey has it."""
    names = {"id": driver.uuids[index], "kind": "gpu", "index": index, "name": "NVIDIA H200"}
    return {**names, "memory_total": memory, "legacy_id": None, "vendor": ""}


class TestSurvey:
    """One look at the host."""

    def test_it_finds_every_gpu(self, driver: Driver, asker: Asker) -> None:
        """With NVML's index, UUID, name and memory, and the driver's version."""
        assert asker.survey() == {
            "devices": [gpu(driver, 0), gpu(driver, 1)],
            "broken": [],
            "problem": None,
            "driver": "570.86.15",
        }

    def test_the_environment_hides_nothing(self, driver: Driver, ask: Callable[..., Asker]) -> None:
        """NVML does not read CUDA_VISIBLE_DEVICES."""
        assert len(ask({**driver.environ(), "CUDA_VISIBLE_DEVICES": "-1"}).survey()["devices"]) == 2

    def test_a_host_without_gpus(self, driver: Driver, asker: Asker) -> None:
        """A driver and nothing else is no problem."""
        driver.gpus = ()
        assert asker.survey() == {"devices": [], "broken": [], "problem": None, "driver": "570.86.15"}

    def test_it_sees_changes(self, driver: Driver, asker: Asker) -> None:
        """A GPU that goes, and one that comes back."""
        assert len(asker.survey()["devices"]) == 2
        driver.lose(1)
        assert asker.survey()["devices"] == [gpu(driver, 0)]
        driver.find(1)
        assert asker.survey()["devices"] == [gpu(driver, 0), gpu(driver, 1)]

    def test_mig_instances_take_the_place_of_their_gpu(self, mig_driver: Driver, asker: Asker) -> None:
        """With both of their names, and the index of their GPU."""
        parent = mig_driver.uuids[0]
        assert asker.survey()["devices"] == [
            {
                "id": fake_uuid("MIG", 0),
                "kind": "mig",
                "index": 0,
                "name": "Stand-in GPU MIG 1g.10gb",
                "memory_total": 10 * GIB,
                "legacy_id": f"MIG-{parent}/7/0",
                "vendor": "",
            },
            {
                "id": fake_uuid("MIG", 1),
                "kind": "mig",
                "index": 0,
                "name": "MIG 2g.20gb",
                "memory_total": 20 * GIB,
                "legacy_id": f"MIG-{parent}/3/1",
                "vendor": "",
            },
            gpu(mig_driver, 1),
        ]

    def test_a_gpu_in_mig_mode_without_instances_is_no_device(self, driver: Driver, asker: Asker) -> None:
        """CUDA cannot use it."""
        driver.replace(0, mig_enabled=True)
        assert asker.survey()["devices"] == [gpu(driver, 1)]

    def test_a_pending_mig_mode_is_not_on(self, driver: Driver, asker: Asker) -> None:
        """It comes with the next reset."""
        driver.replace(0, mig_pending=True)
        assert len(asker.survey()["devices"]) == 2

    @pytest.mark.parametrize("code", [NOT_SUPPORTED, FUNCTION_NOT_FOUND])
    def test_where_mig_is_not_known_a_gpu_is_whole(self, driver: Driver, asker: Asker, code: int) -> None:
        """An old GPU, or an old driver."""
        driver.fault("nvmlDeviceGetMigMode", code)
        found = asker.survey()
        assert (found["devices"], found["broken"]) == ([gpu(driver, 0), gpu(driver, 1)], [])

    def test_a_gpu_without_memory_of_its_own_is_a_device(self, driver: Driver, asker: Asker) -> None:
        """Where it shares the host's, NVML does not support the question."""
        driver.unsupported("nvmlDeviceGetMemoryInfo", 0)
        driver.unsupported("nvmlDeviceGetMemoryInfo_v2", 0)
        found = asker.survey()
        assert (found["devices"], found["broken"]) == ([gpu(driver, 0, memory=None), gpu(driver, 1)], [])

    def test_without_a_drivers_version_there_is_none(self, driver: Driver, asker: Asker) -> None:
        """The GPUs are there."""
        driver.unsupported("nvmlSystemGetDriverVersion")
        found = asker.survey()
        assert (found["driver"], len(found["devices"])) == (None, 2)

    def test_the_version_is_the_drivers(self, libraries: Path, tmp_path: Path, ask: Callable[..., Asker]) -> None:
        """Not NVML's."""
        driver = Driver(libraries, tmp_path / "nvml", [Gpu(fake_uuid("GPU", 0))], system=System(driver="610.1"))
        assert ask(driver.environ()).survey()["driver"] == "610.1"


class TestBroken:
    """A GPU that does not answer is one line; the others go on."""

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (GPU_IS_LOST, "is lost (it fell off the bus: see 'dmesg', then reset or reboot)"),
            (RESET_REQUIRED, "needs a reset ('nvidia-smi --gpu-reset')"),
            (UNKNOWN, "does not answer: Unknown Error"),
        ],
    )
    @pytest.mark.parametrize("lookup", [True, False], ids=["looking it up", "its handle"])
    def test_the_line_says_what_to_do(self, driver: Driver, asker: Asker, code: int, words: str, lookup: bool) -> None:
        """Whether it fails at once or later."""
        driver.lose(0, code, lookup=lookup)
        found = asker.survey()
        assert found["broken"] == [f"GPU 0 {words}; the pool goes on without it"]
        assert found["devices"] == [gpu(driver, 1)]
        assert found["problem"] is None

    def test_each_has_its_line(self, driver: Driver, asker: Asker) -> None:
        """All may be broken."""
        driver.lose(0)
        driver.lose(1, RESET_REQUIRED)
        found = asker.survey()
        assert [line.split(" (")[0] for line in found["broken"]] == ["GPU 0 is lost", "GPU 1 needs a reset"]
        assert found["devices"] == []

    def test_mig_instances_go_with_their_gpu(self, mig_driver: Driver, asker: Asker) -> None:
        """In one line."""
        mig_driver.lose(0)
        found = asker.survey()
        assert [line.split(" (")[0] for line in found["broken"]] == ["GPU 0 is lost"]
        assert found["devices"] == [gpu(mig_driver, 1)]


class TestClosed:
    """GPUs that this process may not open are none of its own: a cluster has given them to others, by a cgroup."""

    def test_the_others_are_numbered_without_them(self, driver: Driver, asker: Asker) -> None:
        """As CUDA numbers them, and the CUDA_VISIBLE_DEVICES that the cluster sets."""
        driver.lose(0, NO_PERMISSION, lookup=True)
        found = asker.survey_and_order()
        assert found["devices"] == [{**gpu(driver, 1), "index": 0}]
        assert (found["broken"], found["by_uuid"], found["problem"]) == ([], None, None)

    def test_a_broken_one_has_its_number_among_those(self, driver: Driver, asker: Asker) -> None:
        """And is told of."""
        driver.lose(0, NO_PERMISSION, lookup=True)
        driver.lose(1)
        assert [line.split(" (")[0] for line in asker.survey()["broken"]] == ["GPU 0 is lost"]

    def test_none_may_be_opened(self, driver: Driver, asker: Asker) -> None:
        """That is said."""
        for number in range(2):
            driver.lose(number, NO_PERMISSION, lookup=True)
        problem = (
            "no permission to open any of the 2 GPUs here (see /dev/nvidia*; a job of a cluster has to ask for GPUs)"
        )
        assert asker.survey() == {"devices": [], "broken": [], "problem": problem, "driver": None}


NOT_FOUND_WORDS = "no NVIDIA driver here: libnvidia-ml.so.1 is not found"


class TestOrder:
    """Where CUDA may number GPUs otherwise than NVML the survey says why."""

    def test_on_a_sound_host_the_numbers_agree(self, asker: Asker) -> None:
        """Nothing is said."""
        assert asker.survey_and_order()["by_uuid"] is None

    def test_a_gpu_that_does_not_answer(self, driver: Driver, asker: Asker) -> None:
        """CUDA may count without it."""
        driver.lose(0)
        reason = "GPU 0 does not answer, and CUDA may number the others without it"
        assert asker.survey_and_order()["by_uuid"] == reason

    def test_mig_anywhere(self, driver: Driver, mig_driver: Driver, asker: Asker) -> None:
        """Also where the GPU has no instances."""
        reason = "GPU 0 is in MIG mode, and CUDA may number the others without it"
        assert asker.survey_and_order()["by_uuid"] == reason
        driver.replace(0, mig=())
        assert asker.survey_and_order()["by_uuid"] == reason


class TestComputeMode:
    """``nvidia-smi -c``."""

    @pytest.mark.parametrize("mode", [1, 3])
    def test_exclusive(self, driver: Driver, asker: Asker, mode: int) -> None:
        """The survey names those devices, and says how that is ended. One worker may use them."""
        driver.replace(1, compute_mode=mode)
        assert asker.survey_and_order()["exclusive"] == {
            driver.uuids[1]: "is in compute mode EXCLUSIVE_PROCESS, which lets one process at a time use it: set it "
            "back ('nvidia-smi -i 1 -c 0'), or start MPS ('nvidia-cuda-mps-control -d')"
        }
        assert asker.usage(driver.uuids[1]) == UNUSED

    def test_prohibited(self, driver: Driver, asker: Asker) -> None:
        """Nobody may use it."""
        driver.replace(1, compute_mode=2)
        assert asker.survey_and_order()["exclusive"] == {}
        assert asker.usage(driver.uuids[1])["forbidden"] == (
            "its compute mode is PROHIBITED, which lets no program use it ('nvidia-smi -i 1 -c 0' ends that)"
        )
        assert asker.usage(driver.uuids[0]) == UNUSED

    @pytest.mark.parametrize("code", [NOT_SUPPORTED, FUNCTION_NOT_FOUND, NO_PERMISSION, UNKNOWN])
    def test_where_it_is_not_told(self, driver: Driver, asker: Asker, code: int) -> None:
        """The device is in the pool all the same."""
        driver.fault("nvmlDeviceGetComputeMode", code)
        assert len(asker.survey()["devices"]) == 2
        assert asker.usage(driver.uuids[0]) == UNUSED


class TestCores:
    """Which cores are near a device."""

    def cores(self, asker: Asker, uuid: str, kind: str = "gpu") -> Any:
        return asker.ask(f"near({uuid!r}, {kind!r})")

    def test_as_nvml_tells(self, driver: Driver, mig_driver: Driver, asker: Asker) -> None:
        """Of a MIG instance those of its GPU."""
        driver.replace(0, cores=(0, 1, 3))
        driver.replace(1, cores=(2,))
        assert self.cores(asker, fake_uuid("MIG", 1), "mig") == [0, 1, 3]
        assert self.cores(asker, driver.uuids[1]) == [2]

    def test_where_it_does_not_tell(self, driver: Driver, asker: Asker) -> None:
        """Nor without NVML, nor of a device that is gone."""
        assert self.cores(asker, driver.uuids[0]) is None
        assert self.cores(asker, "GPU-gone") is None
        driver.fail_init(UNKNOWN)
        assert self.cores(asker, driver.uuids[0]) is None


class TestNoNvml:
    """Without NVML there is a reason, and no device."""

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (DRIVER_NOT_LOADED, "the NVIDIA driver is not loaded (try 'nvidia-smi')"),
            (
                MISMATCH,
                "Failed to initialize NVML: Driver/library version mismatch "
                "(after an update: reboot, or load the new module)",
            ),
            (NO_PERMISSION, "no permission to use the NVIDIA driver (see /dev/nvidia*)"),
            (LIBRARY_NOT_FOUND, NOT_FOUND_WORDS),
            (UNKNOWN, "NVML does not start: Unknown Error (try 'nvidia-smi')"),
        ],
    )
    def test_it_does_not_start(self, driver: Driver, asker: Asker, code: int, words: str) -> None:
        """A device's usage fails with the same words; when it starts again all is well."""
        driver.fail_init(code)
        assert asker.survey() == {"devices": [], "broken": [], "problem": words, "driver": None}
        assert asker.usage(driver.uuids[0]) == words
        driver.fail_init(0)
        assert len(asker.survey()["devices"]) == 2

    def test_it_cannot_count(self, driver: Driver, asker: Asker) -> None:
        """That is a problem of the whole host."""
        driver.fault("nvmlDeviceGetCount_v2", UNKNOWN)
        assert asker.survey()["problem"] == "NVML does not start: Unknown Error (try 'nvidia-smi')"

    def test_the_library_is_not_there(self, ask: Callable[..., Asker]) -> None:
        """pynvml, which is large, is not imported for that."""
        try:
            ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            asker = ask(os.environ)
        else:
            pytest.skip("this host has an NVIDIA driver")
        assert asker.survey()["problem"] == NOT_FOUND_WORDS
        assert asker.ask("'pynvml' in sys.modules") is False

    def test_the_library_is_not_one(self, tmp_path: Path, ask: Callable[..., Asker]) -> None:
        """As a broken installation leaves it."""
        (tmp_path / "libnvidia-ml.so.1").write_text("no library\n" * 100)
        asker = ask({**os.environ, "LD_LIBRARY_PATH": str(tmp_path)})
        assert asker.survey()["devices"] == []
        assert asker.survey()["problem"].startswith("no NVIDIA driver here")


class TestUsage:
    """Who uses a device at this moment."""

    def test_processes_and_memory(self, driver: Driver, asker: Asker) -> None:
        """In bytes; what NVML cannot tell is unknown; what the driver keeps for itself is neither used nor free."""
        driver.replace(0, used=5 * GIB, reserved=GIB, processes=((815, 3 * GIB), (816, None)))
        assert asker.usage(driver.uuids[0]) == {
            "processes": [{"pid": 815, "memory": 3 * GIB}, {"pid": 816, "memory": None}],
            "memory_used": 5 * GIB,
            "memory_free": 74 * GIB,
        }
        assert asker.usage(driver.uuids[1]) == UNUSED

    @pytest.mark.parametrize("code", [NOT_SUPPORTED, FUNCTION_NOT_FOUND])
    def test_an_old_driver_cannot_tell_used_from_kept(self, driver: Driver, asker: Asker, code: int) -> None:
        """Unknown, rather than what the driver keeps for itself."""
        driver.replace(0, processes=((815, 3 * GIB),))
        driver.fault("nvmlDeviceGetMemoryInfo_v2", code)
        assert asker.usage(driver.uuids[0]) == {
            "processes": [{"pid": 815, "memory": 3 * GIB}],
            "memory_used": None,
            "memory_free": None,
        }

    @pytest.mark.parametrize("code", [NOT_SUPPORTED, FUNCTION_NOT_FOUND])
    def test_where_processes_are_not_told_there_is_still_the_memory(
        self, driver: Driver, asker: Asker, code: int
    ) -> None:
        """As on some virtual GPUs."""
        driver.replace(0, used=5 * GIB)
        driver.fault("nvmlDeviceGetComputeRunningProcesses_v3", code, 0)
        assert asker.usage(driver.uuids[0]) == {"processes": [], "memory_used": 5 * GIB, "memory_free": FREE - 5 * GIB}

    def test_a_mig_instance(self, mig_driver: Driver, asker: Asker) -> None:
        """Its own processes, its own memory."""
        assert asker.usage(fake_uuid("MIG", 0)) == {
            "processes": [{"pid": 815, "memory": 3 * GIB}],
            "memory_used": 3 * GIB,
            "memory_free": 7 * GIB,
        }
        assert asker.usage(fake_uuid("MIG", 1)) == {"processes": [], "memory_used": 0, "memory_free": 20 * GIB}

    def test_clients_of_mps_are_processes_that_compute(self, driver: Driver, asker: Asker) -> None:
        """Whether NVML lists them among the others as well or not."""
        driver.replace(0, processes=((1, GIB), (815, None)), mps=((815, 2 * GIB), (816, GIB)))
        assert asker.usage(driver.uuids[0])["processes"] == [
            {"pid": 815, "memory": None},
            {"pid": 816, "memory": GIB},
            {"pid": 1, "memory": GIB},
        ]

    def test_programs_that_only_draw_are_apart(self, driver: Driver, asker: Asker) -> None:
        """One that computes too is among those."""
        driver.replace(0, processes=((815, GIB),), graphics=((815, GIB), (77, 2 * GIB), (78, None)))
        answer = asker.usage(driver.uuids[0])
        assert answer["processes"] == [{"pid": 815, "memory": GIB}]
        assert answer["graphics"] == [{"pid": 77, "memory": 2 * GIB}, {"pid": 78, "memory": None}]

    @pytest.mark.parametrize("code", [NOT_SUPPORTED, FUNCTION_NOT_FOUND, NO_PERMISSION, UNKNOWN])
    def test_where_neither_is_told_there_are_none(self, driver: Driver, asker: Asker, code: int) -> None:
        """That is no reason to do without the device."""
        driver.replace(0, graphics=((77, GIB),), mps=((816, GIB),))
        driver.fault("nvmlDeviceGetGraphicsRunningProcesses_v3", code)
        driver.fault("nvmlDeviceGetMPSComputeRunningProcesses_v3", code)
        assert asker.usage(driver.uuids[0]) == UNUSED

    def test_it_sees_changes(self, driver: Driver, asker: Asker) -> None:
        """In a process that goes on."""
        for used in (0, GIB, 0):
            driver.replace(0, used=used, processes=((815, used),) if used else ())
            answer = asker.usage(driver.uuids[0])
            memory = (answer["memory_used"], answer["memory_free"])
            assert (memory, len(answer["processes"])) == ((used, FREE - used), bool(used))

    def test_a_forked_child_may_ask(self, driver: Driver, asker: Asker) -> None:
        """Before and after its parent has."""
        assert asker.in_fork(driver.uuids[0]) == UNUSED
        driver.replace(0, used=GIB)
        assert asker.usage(driver.uuids[0])["memory_used"] == GIB
        used = {"processes": [], "memory_used": GIB, "memory_free": FREE - GIB}
        assert asker.in_fork(driver.uuids[0]) == used

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (GPU_IS_LOST, "is lost (it fell off the bus: see 'dmesg', then reset or reboot)"),
            (RESET_REQUIRED, "needs a reset ('nvidia-smi --gpu-reset')"),
            (UNKNOWN, "does not answer: Unknown Error"),
        ],
    )
    def test_a_device_that_fails(self, driver: Driver, asker: Asker, code: int, words: str) -> None:
        """Its words; when it answers again all is well."""
        driver.lose(0, code)
        assert asker.usage(driver.uuids[0]) == words
        assert asker.usage(driver.uuids[1]) == UNUSED
        driver.find(0)
        assert asker.usage(driver.uuids[0]) == UNUSED

    def test_a_device_that_is_gone(self, driver: Driver, asker: Asker) -> None:
        """Taken out while the run goes on."""
        gone, stays = driver.uuids
        driver.gpus = driver.gpus[1:]
        assert asker.usage(gone) == "is gone"
        assert asker.usage(stays) == UNUSED
