"""The stand-in GPU machine is what its users take it for: the real pynvml and ctypes say so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import pytest
from standin import (
    FUNCTIONS,
    TORCH_LOG_VARIABLE,
    TORCH_PATH,
    BuildError,
    Driver,
    Gpu,
    Mig,
    NoCompiler,
    System,
    build,
    fake_uuid,
)

GIB = 2**30
UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND = 1, 2, 3, 6
INSUFFICIENT_SIZE, DRIVER_NOT_LOADED, GPU_IS_LOST = 7, 9, 15
LIB_RM_VERSION_MISMATCH, ARGUMENT_VERSION_MISMATCH, UNKNOWN = 18, 25, 999
NO_INSTANCE = 0xFFFFFFFF

# A statement or an expression a line in, as JSON; a JSON answer a line out.
CHILD = """
import ctypes, json, os, sys, threading
import pynvml as n
from pynvml import *

def plain(value):
    if isinstance(value, ctypes.Structure):
        return {name: getattr(value, name) for name, *_ in value._fields_}
    return vars(value) if hasattr(value, "__dict__") else str(value)

names = globals()
for line in sys.stdin:
    source = json.loads(line)
    try:
        try:
            answer = {"value": eval(compile(source, "probe", "eval"), names)}
        except SyntaxError:
            answer = {"value": exec(source, names)}
    except NVMLError as error:
        answer = {"error": error.value}
    print(json.dumps(answer, default=plain), flush=True)
"""


class Probe:
    """A live process that evaluates what it is asked with the real pynvml."""

    def __init__(self, environ: dict[str, str], *, init: bool = True) -> None:
        command = [sys.executable, "-c", CHILD]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, text=True)
        if init:
            self.ask("nvmlInit()")

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # Killed, for a test that failed may have left threads running in it.
        self._child.kill()
        self._child.communicate()

    def ask(self, source: str) -> Any:
        """The value of an expression (None of a statement) that raises no NVMLError."""
        answer = self._exchange(source)
        assert "error" not in answer, f"{source} raised {answer}"
        return answer["value"]

    def error(self, source: str) -> int:
        """The code of the NVMLError that an expression raises."""
        answer = self._exchange(source)
        assert "error" in answer, f"{source} gave {answer}"
        return cast(int, answer["error"])

    def _exchange(self, source: str) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(json.dumps(source), file=self._child.stdin, flush=True)
        return cast("dict[str, Any]", json.loads(self._child.stdout.readline()))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the compiled libraries."""
    try:
        return build(tmp_path_factory.mktemp("standin"))
    except NoCompiler as error:
        pytest.skip(str(error))


@pytest.fixture
def driver(library: Path, tmp_path: Path) -> Driver:
    """A driver of two GPUs."""
    return Driver.with_gpus(library, tmp_path / "nvml", 2)


def mig_gpu() -> Gpu:
    """A GPU in MIG mode with two MIG devices."""
    first = Mig(fake_uuid("MIG", 0), gi=7, ci=0, used=GIB, reserved=1, processes=((10, 100),))
    second = Mig(fake_uuid("MIG", 1), name="Stand-in GPU MIG 2g.20gb", memory=20 * GIB, gi=3, ci=1)
    return Gpu(fake_uuid("GPU", 0), mig_enabled=True, mig=(first, second))


@pytest.fixture
def mig_driver(library: Path, tmp_path: Path) -> Driver:
    """A driver of one GPU with two MIG devices, and of one without MIG."""
    return Driver(library, tmp_path / "nvml", [mig_gpu(), Gpu(fake_uuid("GPU", 1), mig_capable=False)])


@pytest.fixture
def start() -> Iterator[Callable[..., Probe]]:
    """Starts probes, and ends them after the test."""
    with ExitStack() as probes:
        yield lambda driver, **options: probes.enter_context(Probe(driver.environ(), **options))


@pytest.fixture
def probe(driver: Driver, start: Callable[..., Probe]) -> Probe:
    """A process that has NVML initialised and the handles of both GPUs in `a` and `b`."""
    probe = start(driver)
    probe.ask("a, b = (nvmlDeviceGetHandleByIndex(i) for i in range(2))")
    return probe


@pytest.fixture
def mig_probe(mig_driver: Driver, start: Callable[..., Probe]) -> Probe:
    """A process with the handles of the GPUs in `a` and `b` and of the MIG devices in `m` and `o`."""
    probe = start(mig_driver)
    probe.ask("a, b = (nvmlDeviceGetHandleByIndex(i) for i in range(2))")
    probe.ask("m, o = (nvmlDeviceGetMigDeviceHandleByIndex(a, i) for i in range(2))")
    return probe


class TestBuild:
    """The libraries are compiled, or the reason is said."""

    @pytest.mark.usefixtures("library")
    def test_the_sources_give_no_warning(self, tmp_path: Path) -> None:
        """Both libraries compile where every warning is an error."""
        build(tmp_path, "-Werror")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["libcuda.so.1", "libnvidia-ml.so.1"]

    def test_without_a_compiler_the_error_says_so(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """The message names the compiler that is missing."""
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(NoCompiler, match="need a C compiler, and there is no 'cc'"):
            build(tmp_path)

    @pytest.mark.usefixtures("library")
    def test_a_refusal_of_the_compiler_is_quoted(self, tmp_path: Path) -> None:
        """What the compiler said is in the error."""
        with pytest.raises(BuildError, match=r"could not compile nvml\.c:\n.*no-such-option"):
            build(tmp_path, "--no-such-option")

    def test_the_library_has_every_function_it_lists(self, probe: Probe) -> None:
        """Each name in FUNCTIONS is a symbol of the library."""
        assert {"nvmlInitWithFlags", "nvmlDeviceGetCount_v2", "nvmlDeviceGetMemoryInfo_v2"} < FUNCTIONS
        names = sorted(FUNCTIONS)
        assert probe.ask(f"[name for name in {names} if not hasattr(n.nvmlLib, name)]") == []


class TestDescriptions:
    """What is described in Python could be a real machine."""

    def test_uuids_have_real_shape_and_are_told_apart_by_a_prefix(self) -> None:
        """Sixteen GPUs have sixteen first digits, the same every time."""
        uuids = [fake_uuid("GPU", number) for number in range(16)]
        assert uuids == [fake_uuid("GPU", number) for number in range(16)]
        assert len({uuid[:5] for uuid in uuids}) == 16
        assert {tuple(map(len, uuid.split("-"))) for uuid in uuids} == {(3, 8, 4, 4, 4, 12)}

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"uuid": "0"}, "does not begin with 'GPU-'"),
            ({"used": 80 * GIB}, "more memory than it has"),
            ({"name": "two\nlines"}, "not one line"),
            ({"mig": (Mig("MIG-1"),)}, "only with mig_enabled=True"),
            ({"mig_enabled": True, "mig_capable": False}, "cannot have MIG enabled"),
        ],
    )
    def test_a_gpu_that_cannot_be_is_refused(self, fields: dict[str, Any], message: str) -> None:
        """The mistake is named where the description is made."""
        with pytest.raises(ValueError, match=message):
            Gpu(**{"uuid": "GPU-1", **fields})

    def test_a_fault_of_an_unknown_function_is_refused(self, driver: Driver) -> None:
        """A misspelt name does not pass silently."""
        with pytest.raises(ValueError, match="has no function 'nvmlDeviceGetCount'"):
            driver.unsupported("nvmlDeviceGetCount")
        with pytest.raises(ValueError, match="has no function 'nvmlDeviceGetCount'"):
            driver.hang(0, "nvmlDeviceGetCount")

    def test_the_environment_keeps_an_inherited_library_path(self, driver: Driver) -> None:
        """The stand-in's directory comes first."""
        environ = driver.environ({"LD_LIBRARY_PATH": "/elsewhere", "KEPT": "1"})
        assert environ["LD_LIBRARY_PATH"] == f"{driver.library}:/elsewhere"
        assert environ["KEPT"] == "1"
        assert driver.environ({})["LD_LIBRARY_PATH"] == str(driver.library)


class TestInitialisation:
    """NVML starts, ends, and fails to start."""

    @pytest.mark.parametrize(
        "call",
        [
            "nvmlDeviceGetCount()",
            "nvmlDeviceGetHandleByIndex(0)",
            "nvmlDeviceGetHandleByUUID('GPU-1')",
            "nvmlDeviceGetName(h)",
            "nvmlSystemGetDriverVersion()",
            "nvmlShutdown()",
        ],
    )
    def test_before_init_every_call_says_so(
        self,
        driver: Driver,
        start: Callable[..., Probe],
        call: str,
    ) -> None:
        """And after the last shutdown again, even for a handle that was good."""
        probe = start(driver)
        probe.ask("h = nvmlDeviceGetHandleByIndex(0)")
        probe.ask("nvmlShutdown()")
        assert probe.error(call) == UNINITIALIZED

    def test_without_the_library_loaded_pynvml_itself_says_so(
        self,
        driver: Driver,
        start: Callable[..., Probe],
    ) -> None:
        """The probe can be asked before NVML is loaded."""
        assert start(driver, init=False).error("nvmlDeviceGetCount()") == UNINITIALIZED

    def test_inits_are_counted(self, probe: Probe) -> None:
        """NVML is closed by as many shutdowns as there were inits."""
        probe.ask("nvmlInit()")
        probe.ask("nvmlShutdown()")
        assert probe.ask("nvmlDeviceGetCount()") == 2
        probe.ask("nvmlShutdown()")
        assert probe.error("nvmlDeviceGetCount()") == UNINITIALIZED
        assert probe.ask("n.nvmlLib.nvmlInit_v2()") == 0
        assert probe.ask("nvmlDeviceGetCount()") == 2

    @pytest.mark.parametrize("code", [DRIVER_NOT_LOADED, LIB_RM_VERSION_MISMATCH, UNKNOWN])
    def test_init_fails_with_the_given_code(
        self,
        driver: Driver,
        start: Callable[..., Probe],
        code: int,
    ) -> None:
        """Until it is made to succeed again, in the same process."""
        driver.fail_init(code)
        probe = start(driver, init=False)
        assert probe.error("nvmlInit()") == code
        assert probe.error("nvmlDeviceGetCount()") == UNINITIALIZED
        driver.fail_init(0)
        probe.ask("nvmlInit()")
        assert probe.ask("nvmlDeviceGetCount()") == 2

    def test_without_a_state_file_there_is_no_driver(
        self,
        driver: Driver,
        start: Callable[..., Probe],
    ) -> None:
        """A file that goes later makes every call fail."""
        probe = start(driver)
        driver.state.unlink()
        assert probe.error("nvmlDeviceGetCount()") == UNKNOWN
        assert start(driver, init=False).error("nvmlInit()") == DRIVER_NOT_LOADED

    def test_a_line_that_is_not_understood_fails_every_call(self, driver: Driver, probe: Probe) -> None:
        """No state is taken for less than it says."""
        driver.state.write_text(driver.state.read_text() + "colour green\n")
        assert probe.error("nvmlDeviceGetCount()") == UNKNOWN
        assert probe.error("nvmlInit()") == UNKNOWN

    def test_error_strings(self, probe: Probe) -> None:
        """NVML's words for a code, and for one it does not know."""
        assert probe.ask("nvmlErrorString(0)") == "Success"
        assert probe.ask("nvmlErrorString(15)") == "GPU is lost"
        assert probe.ask("nvmlErrorString(18)") == "Driver/library version mismatch"
        assert probe.ask("nvmlErrorString(12345)") == "Unknown Error"


class TestSystem:
    """NVML's answers about the machine."""

    def test_versions(self, library: Path, tmp_path: Path, start: Callable[..., Probe]) -> None:
        """The versions are those of the state."""
        system = System(driver="1.2.3", nvml="4.5.6", cuda=13010)
        probe = start(Driver(library, tmp_path / "nvml", system=system))
        assert probe.ask("nvmlSystemGetDriverVersion()") == "1.2.3"
        assert probe.ask("nvmlSystemGetNVMLVersion()") == "4.5.6"
        assert probe.ask("nvmlSystemGetCudaDriverVersion()") == 13010
        assert probe.ask("nvmlSystemGetCudaDriverVersion_v2()") == 13010

    def test_some_versions_need_no_init(self, probe: Probe) -> None:
        """NVML's own and CUDA's, as in NVML."""
        probe.ask("nvmlShutdown()")
        assert probe.ask("nvmlSystemGetNVMLVersion()") == "12.570.86.15"
        assert probe.ask("nvmlSystemGetCudaDriverVersion_v2()") == 12080

    def test_a_buffer_that_is_too_short_is_refused(self, probe: Probe) -> None:
        """The version with its end does not fit into as many bytes as it has letters."""
        probe.ask("buffer = ctypes.create_string_buffer(9)")
        assert probe.ask("n.nvmlLib.nvmlSystemGetDriverVersion(buffer, 9)") == INSUFFICIENT_SIZE
        assert probe.ask("n.nvmlLib.nvmlSystemGetDriverVersion(None, 9)") == INVALID_ARGUMENT

    def test_a_machine_may_have_no_gpu(
        self,
        library: Path,
        tmp_path: Path,
        start: Callable[..., Probe],
    ) -> None:
        """NVML starts and counts none."""
        assert start(Driver(library, tmp_path / "nvml")).ask("nvmlDeviceGetCount()") == 0


class TestDevices:
    """NVML's answers about one GPU."""

    def test_a_gpu_is_found_by_index_and_by_uuid(self, driver: Driver, probe: Probe) -> None:
        """Both look-ups give the same handle every time."""
        assert probe.ask("nvmlDeviceGetCount()") == 2
        assert probe.ask("[nvmlDeviceGetUUID(h) for h in (a, b)]") == list(driver.uuids)
        assert probe.ask("[nvmlDeviceGetIndex(h) for h in (a, b)]") == [0, 1]
        probe.ask(f"c = nvmlDeviceGetHandleByUUID({driver.uuids[1]!r})")
        probe.ask("again = nvmlDeviceGetHandleByIndex(1)")
        assert probe.ask("len({ctypes.addressof(h.contents) for h in (b, c, again)})") == 1
        assert probe.ask("ctypes.addressof(a.contents) != ctypes.addressof(b.contents)")

    def test_a_gpu_that_is_not_there_is_not_found(self, probe: Probe) -> None:
        """An index too high is an invalid argument, a strange UUID or a mere prefix is not found."""
        assert probe.error("nvmlDeviceGetHandleByIndex(2)") == INVALID_ARGUMENT
        assert probe.error("nvmlDeviceGetHandleByUUID('GPU-strange')") == NOT_FOUND
        assert probe.error("nvmlDeviceGetHandleByUUID(nvmlDeviceGetUUID(a)[:12])") == NOT_FOUND

    def test_a_strange_handle_is_refused(self, probe: Probe) -> None:
        """So is none."""
        assert probe.error("nvmlDeviceGetName(ctypes.pointer(ctypes.c_int(0)))") == INVALID_ARGUMENT
        assert probe.error("nvmlDeviceGetName(None)") == INVALID_ARGUMENT

    def test_name(self, driver: Driver, probe: Probe) -> None:
        """A name may have spaces."""
        driver.replace(1, name="NVIDIA H100 80GB HBM3")
        assert probe.ask("[nvmlDeviceGetName(h) for h in (a, b)]") == [
            "Stand-in GPU",
            "NVIDIA H100 80GB HBM3",
        ]

    def test_the_first_memory_query_counts_the_reserved_as_used(self, driver: Driver, probe: Probe) -> None:
        """The second has it apart; both agree on what is free."""
        driver.replace(0, memory=100, used=30, reserved=7)
        assert probe.ask("nvmlDeviceGetMemoryInfo(a)") == {"total": 100, "free": 63, "used": 37}
        second = probe.ask("nvmlDeviceGetMemoryInfo(a, version=nvmlMemory_v2)")
        assert {**second, "version": 2} == {"version": 2, "total": 100, "free": 63, "used": 30, "reserved": 7}

    def test_a_strange_version_of_the_memory_query_is_refused(self, probe: Probe) -> None:
        """The version goes with the layout."""
        assert probe.error("nvmlDeviceGetMemoryInfo(a, version=1)") == ARGUMENT_VERSION_MISMATCH

    def test_sensors(self, driver: Driver, probe: Probe) -> None:
        """Each is what the state says."""
        driver.replace(
            0, utilization=97, memory_utilization=12, temperature=66, power=350_000, energy=2**40, reasons=36
        )
        assert probe.ask("nvmlDeviceGetUtilizationRates(a)") == {"gpu": 97, "memory": 12}
        assert probe.ask("nvmlDeviceGetTemperature(a, NVML_TEMPERATURE_GPU)") == 66
        assert probe.error("nvmlDeviceGetTemperature(a, 5)") == INVALID_ARGUMENT
        if probe.ask("hasattr(n, 'nvmlDeviceGetTemperatureV')"):  # not in every version of pynvml
            assert probe.ask("nvmlDeviceGetTemperatureV(a, NVML_TEMPERATURE_GPU)") == 66
            assert probe.error("nvmlDeviceGetTemperatureV(a, 5)") == INVALID_ARGUMENT
        assert probe.ask("nvmlDeviceGetPowerUsage(a)") == 350_000
        assert probe.ask("nvmlDeviceGetTotalEnergyConsumption(a)") == 2**40
        assert probe.ask("nvmlDeviceGetCurrentClocksEventReasons(a)") == 36
        assert probe.ask("nvmlDeviceGetCurrentClocksThrottleReasons(a)") == 36


def test_compute_mode(driver: Driver, probe: Probe) -> None:
    """By NVML's numbers."""
    driver.replace(0, compute_mode=2)
    assert probe.ask("[nvmlDeviceGetComputeMode(a), nvmlDeviceGetComputeMode(b)]") == [2, 0]
    assert probe.ask("NVML_COMPUTEMODE_PROHIBITED") == 2


def test_cores(driver: Driver, probe: Probe) -> None:
    """Bits, as many words of them as are asked for; a machine may know none."""
    driver.replace(0, cores=(0, 2, 65))
    assert probe.ask("list(nvmlDeviceGetCpuAffinity(a, 3))") == [5, 2, 0]
    assert probe.ask("list(nvmlDeviceGetCpuAffinity(a, 1))") == [5]
    assert probe.error("nvmlDeviceGetCpuAffinity(b, 1)") == NOT_SUPPORTED


@pytest.mark.parametrize(
    ("kind", "field"),
    [("Compute", "processes"), ("Graphics", "graphics"), ("MPSCompute", "mps")],
    ids=["compute", "graphics", "mps"],
)
class TestProcesses:
    """The processes NVML finds on a GPU."""

    def test_processes_and_their_memory(self, driver: Driver, probe: Probe, kind: str, field: str) -> None:
        """Memory that is not available is None; without MIG there is no instance."""
        driver.replace(0, **{field: ((41, 5 * GIB), (42, None))})
        found = probe.ask(f"nvmlDeviceGet{kind}RunningProcesses(a)")
        assert [(process["pid"], process["usedGpuMemory"]) for process in found] == [
            (41, 5 * GIB),
            (42, None),
        ]
        assert {process["gpuInstanceId"] for process in found} == {NO_INSTANCE}
        assert {process["computeInstanceId"] for process in found} == {NO_INSTANCE}
        assert probe.ask(f"nvmlDeviceGet{kind}RunningProcesses(b)") == []

    def test_the_other_kind_is_not_among_them(
        self,
        driver: Driver,
        probe: Probe,
        kind: str,
        field: str,
    ) -> None:
        """Compute and graphics processes, and clients of MPS, are listed apart."""
        driver.replace(0, **{field: ((41, 1),)})
        for other in {"Compute", "Graphics", "MPSCompute"} - {kind}:
            assert probe.ask(f"nvmlDeviceGet{other}RunningProcesses(a)") == []

    @pytest.mark.parametrize("room", [0, 2])
    def test_a_short_buffer_is_told_the_count(
        self,
        driver: Driver,
        probe: Probe,
        kind: str,
        field: str,
        room: int,
    ) -> None:
        """With none and with one that is too small."""
        driver.replace(0, **{field: tuple((pid, None) for pid in range(40, 43))})
        probe.ask(f"count = ctypes.c_uint({room})")
        probe.ask(f"buffer = (c_nvmlProcessInfo_v3_t * {room})() if {room} else None")
        call = f"n.nvmlLib.nvmlDeviceGet{kind}RunningProcesses_v3(a, ctypes.byref(count), buffer)"
        assert probe.ask(call) == INSUFFICIENT_SIZE
        assert probe.ask("count.value") == 3

    def test_many_processes(self, driver: Driver, probe: Probe, kind: str, field: str) -> None:
        """All of a thousand are listed, in order."""
        driver.replace(0, **{field: tuple((pid, pid) for pid in range(1, 1001))})
        assert probe.ask(f"[p.pid for p in nvmlDeviceGet{kind}RunningProcesses(a)]") == list(range(1, 1001))


class TestMig:
    """NVML's answers about MIG devices and the GPUs that have them."""

    def test_mode(self, mig_driver: Driver, mig_probe: Probe) -> None:
        """On, off, about to be on, and not known to the hardware."""
        assert mig_probe.ask("nvmlDeviceGetMigMode(a)") == [1, 1]
        assert mig_probe.error("nvmlDeviceGetMigMode(b)") == NOT_SUPPORTED
        mig_driver.replace(1, mig_capable=True)
        assert mig_probe.ask("nvmlDeviceGetMigMode(b)") == [0, 0]
        mig_driver.replace(1, mig_pending=True)
        assert mig_probe.ask("nvmlDeviceGetMigMode(b)") == [0, 1]

    def test_most_devices(self, mig_probe: Probe) -> None:
        """Seven in MIG mode, otherwise none."""
        assert mig_probe.ask("[nvmlDeviceGetMaxMigDeviceCount(h) for h in (a, b)]") == [7, 0]

    def test_an_absent_mig_device_is_not_found(self, mig_probe: Probe) -> None:
        """Hardware without MIG does not support the question."""
        assert mig_probe.error("nvmlDeviceGetMigDeviceHandleByIndex(a, 2)") == NOT_FOUND
        assert mig_probe.error("nvmlDeviceGetMigDeviceHandleByIndex(b, 0)") == NOT_SUPPORTED

    def test_identity(self, mig_driver: Driver, mig_probe: Probe) -> None:
        """A MIG device has a UUID, a name, an index within its GPU and the ids of its instances."""
        assert mig_probe.ask("nvmlDeviceGetUUID(o)") == mig_driver.gpus[0].mig[1].uuid
        assert mig_probe.ask("nvmlDeviceGetName(o)") == "Stand-in GPU MIG 2g.20gb"
        assert mig_probe.ask("[nvmlDeviceGetIndex(h) for h in (m, o)]") == [0, 1]
        assert mig_probe.ask("[nvmlDeviceGetGpuInstanceId(h) for h in (m, o)]") == [7, 3]
        assert mig_probe.ask("[nvmlDeviceGetComputeInstanceId(h) for h in (m, o)]") == [0, 1]

    def test_mig_devices_are_not_counted_as_gpus(self, mig_probe: Probe) -> None:
        """The second GPU is the device of index 1."""
        assert mig_probe.ask("nvmlDeviceGetCount()") == 2
        assert mig_probe.ask("nvmlDeviceGetUUID(b)") == fake_uuid("GPU", 1)

    def test_a_mig_device_is_found_by_uuid(self, mig_probe: Probe) -> None:
        """The handle is the one found by index."""
        mig_probe.ask(f"c = nvmlDeviceGetHandleByUUID({fake_uuid('MIG', 1)!r})")
        assert mig_probe.ask("ctypes.addressof(c.contents) == ctypes.addressof(o.contents)")

    def test_handles_know_their_kind_and_their_gpu(self, mig_probe: Probe) -> None:
        """A GPU has no GPU above it and no instance ids."""
        assert mig_probe.ask("[nvmlDeviceIsMigDeviceHandle(h).value for h in (a, m)]") == [0, 1]
        mig_probe.ask("parent = nvmlDeviceGetDeviceHandleFromMigDeviceHandle(o)")
        assert mig_probe.ask("ctypes.addressof(parent.contents) == ctypes.addressof(a.contents)")
        for name in ("DeviceHandleFromMigDeviceHandle", "GpuInstanceId", "ComputeInstanceId"):
            assert mig_probe.error(f"nvmlDeviceGet{name}(a)") == INVALID_ARGUMENT

    def test_memory(self, mig_probe: Probe) -> None:
        """It is the MIG device's own."""
        assert mig_probe.ask("nvmlDeviceGetMemoryInfo(m)") == {
            "total": 10 * GIB,
            "free": 9 * GIB - 1,
            "used": GIB + 1,
        }
        assert mig_probe.ask("nvmlDeviceGetMemoryInfo(o, version=nvmlMemory_v2).used") == 0

    def test_processes_are_listed_by_instance(self, mig_driver: Driver, mig_probe: Probe) -> None:
        """A MIG device lists its own, the GPU all of them."""
        mig_driver.replace_mig(0, 1, processes=((20, None),))
        assert mig_probe.ask("[p.pid for p in nvmlDeviceGetComputeRunningProcesses(m)]") == [10]
        expected = [
            {"pid": 10, "usedGpuMemory": 100, "gpuInstanceId": 7, "computeInstanceId": 0},
            {"pid": 20, "usedGpuMemory": None, "gpuInstanceId": 3, "computeInstanceId": 1},
        ]
        assert mig_probe.ask("nvmlDeviceGetComputeRunningProcesses(a)") == expected

    def test_what_a_mig_device_does_not_answer(self, mig_probe: Probe) -> None:
        """It has no sensors and no MIG mode; its GPU has no utilization in MIG mode."""
        assert mig_probe.error("nvmlDeviceGetUtilizationRates(m)") == NOT_SUPPORTED
        assert mig_probe.error("nvmlDeviceGetUtilizationRates(a)") == NOT_SUPPORTED
        assert mig_probe.error("nvmlDeviceGetTemperature(m, 0)") == NOT_SUPPORTED
        assert mig_probe.error("nvmlDeviceGetPowerUsage(m)") == NOT_SUPPORTED
        assert mig_probe.error("nvmlDeviceGetTotalEnergyConsumption(m)") == NOT_SUPPORTED
        assert mig_probe.error("nvmlDeviceGetCurrentClocksEventReasons(m)") == NOT_SUPPORTED
        assert mig_probe.error("nvmlDeviceGetMigMode(m)") == NOT_SUPPORTED
        assert mig_probe.error("nvmlDeviceGetMaxMigDeviceCount(m)") == NOT_SUPPORTED

    def test_nor_its_gpus_mode_and_cores(self, mig_driver: Driver, mig_probe: Probe) -> None:
        """They are asked of its GPU."""
        mig_driver.replace(0, compute_mode=3, cores=(0,))
        assert mig_probe.error("nvmlDeviceGetComputeMode(m)") == NOT_SUPPORTED
        assert mig_probe.error("nvmlDeviceGetCpuAffinity(m, 1)") == NOT_SUPPORTED
        assert mig_probe.ask("nvmlDeviceGetComputeMode(a)") == 3

    def test_a_mig_device_goes_with_its_mode(self, mig_driver: Driver, mig_probe: Probe) -> None:
        """Its handle is then invalid; the GPU's stays good."""
        mig_driver.replace(0, mig=(), mig_enabled=False)
        assert mig_probe.error("nvmlDeviceGetUUID(m)") == INVALID_ARGUMENT
        assert mig_probe.error(f"nvmlDeviceGetHandleByUUID({fake_uuid('MIG', 0)!r})") == NOT_FOUND
        assert mig_probe.ask("nvmlDeviceGetMigMode(a)") == [0, 0]

    def test_mig_devices_are_lost_with_their_gpu(self, mig_driver: Driver, mig_probe: Probe) -> None:
        """Their handles fail, and cannot be looked up."""
        mig_driver.lose(0)
        assert mig_probe.error("nvmlDeviceGetMemoryInfo(m)") == GPU_IS_LOST
        assert mig_probe.error("nvmlDeviceGetMigDeviceHandleByIndex(a, 0)") == GPU_IS_LOST
        assert mig_probe.error(f"nvmlDeviceGetHandleByUUID({fake_uuid('MIG', 0)!r})") == GPU_IS_LOST

    def test_a_fault_of_a_gpu_is_one_of_its_mig_devices(self, mig_driver: Driver, mig_probe: Probe) -> None:
        """A fault of one MIG device is its own."""
        mig_driver.replace_mig(0, 1, faults=(("nvmlDeviceGetName", UNKNOWN),))
        assert mig_probe.ask("nvmlDeviceGetName(m)") == "Stand-in GPU MIG 1g.10gb"
        assert mig_probe.error("nvmlDeviceGetName(o)") == UNKNOWN
        mig_driver.unsupported("nvmlDeviceGetName", 0)
        assert mig_probe.error("nvmlDeviceGetName(m)") == NOT_SUPPORTED


EVERY_QUERY = (
    "nvmlDeviceGetIndex(a)",
    "nvmlDeviceGetUUID(a)",
    "nvmlDeviceGetName(a)",
    "nvmlDeviceGetMemoryInfo(a)",
    "nvmlDeviceGetMemoryInfo(a, version=nvmlMemory_v2)",
    "nvmlDeviceGetComputeRunningProcesses(a)",
    "nvmlDeviceGetGraphicsRunningProcesses(a)",
    "nvmlDeviceGetMigMode(a)",
    "nvmlDeviceGetMaxMigDeviceCount(a)",
    "nvmlDeviceGetMigDeviceHandleByIndex(a, 0)",
    "nvmlDeviceIsMigDeviceHandle(a)",
    "nvmlDeviceGetDeviceHandleFromMigDeviceHandle(a)",
    "nvmlDeviceGetGpuInstanceId(a)",
    "nvmlDeviceGetComputeInstanceId(a)",
    "nvmlDeviceGetUtilizationRates(a)",
    "nvmlDeviceGetTemperature(a, 0)",
    "nvmlDeviceGetPowerUsage(a)",
    "nvmlDeviceGetTotalEnergyConsumption(a)",
    "nvmlDeviceGetCurrentClocksEventReasons(a)",
    "nvmlDeviceGetCurrentClocksThrottleReasons(a)",
)


class TestFaults:
    """Each fault is there while it is switched on, and only where it is."""

    def test_a_lost_gpu_fails_every_call(self, driver: Driver, probe: Probe) -> None:
        """With a handle it had before, and in looking one up; the other GPU answers."""
        driver.lose(0)
        lookups = ("nvmlDeviceGetHandleByIndex(0)", f"nvmlDeviceGetHandleByUUID({driver.uuids[0]!r})")
        for call in (*EVERY_QUERY, *lookups):
            assert (call, probe.error(call)) == (call, GPU_IS_LOST)
        assert probe.ask("nvmlDeviceGetUUID(b)") == driver.uuids[1]
        assert probe.ask("nvmlDeviceGetCount()") == 2
        driver.find(0)
        assert probe.ask("nvmlDeviceGetUUID(a)") == driver.uuids[0]

    def test_handle_and_lookup_fail_apart(self, driver: Driver, probe: Probe) -> None:
        """With any code."""
        driver.lose(0, lookup=False)
        driver.lose(1, UNKNOWN, handle=False)
        probe.ask("nvmlDeviceGetHandleByIndex(0)")
        assert probe.error("nvmlDeviceGetName(a)") == GPU_IS_LOST
        assert probe.error("nvmlDeviceGetHandleByIndex(1)") == UNKNOWN
        assert probe.ask("nvmlDeviceGetName(b)") == "Stand-in GPU"

    def test_a_gpu_that_is_gone_is_lost(self, driver: Driver, probe: Probe) -> None:
        """The others move up; their handles stay theirs."""
        uuids = driver.uuids
        driver.gpus = driver.gpus[1:]
        assert probe.ask("nvmlDeviceGetCount()") == 1
        assert probe.error("nvmlDeviceGetName(a)") == GPU_IS_LOST
        assert probe.ask("[nvmlDeviceGetUUID(b), nvmlDeviceGetIndex(b)]") == [uuids[1], 0]

    def test_a_function_is_unsupported_on_a_gpu(self, driver: Driver, probe: Probe) -> None:
        """The other GPU supports it."""
        driver.unsupported("nvmlDeviceGetMemoryInfo_v2", 0)
        assert probe.error("nvmlDeviceGetMemoryInfo(a, version=nvmlMemory_v2)") == NOT_SUPPORTED
        assert probe.ask("nvmlDeviceGetMemoryInfo(b, version=nvmlMemory_v2).used") == 0
        assert probe.ask("nvmlDeviceGetMemoryInfo(a).total") == 80 * GIB

    @pytest.mark.parametrize("call", EVERY_QUERY)
    def test_any_function_is_unsupported_everywhere(self, driver: Driver, probe: Probe, call: str) -> None:
        """Each device function can be switched off."""
        for function in FUNCTIONS:
            driver.unsupported(function)
        assert probe.error(call) == NOT_SUPPORTED

    def test_a_fault_is_repaired(self, driver: Driver, probe: Probe) -> None:
        """A system function, with another code."""
        driver.fault("nvmlSystemGetDriverVersion", UNKNOWN)
        driver.fault("nvmlInitWithFlags", UNKNOWN)
        assert probe.error("nvmlSystemGetDriverVersion()") == UNKNOWN
        assert probe.error("nvmlInit()") == UNKNOWN
        driver.fault("nvmlSystemGetDriverVersion", 0)
        assert probe.ask("nvmlSystemGetDriverVersion()") == "570.86.15"

    def test_a_function_hangs_on_a_gpu(self, driver: Driver, probe: Probe) -> None:
        """Its callers wait, others do not; all go on when it answers again."""
        driver.hang(0, "nvmlDeviceGetPowerUsage")
        probe.ask("answers = []")
        probe.ask("thread = threading.Thread(target=lambda: answers.append(nvmlDeviceGetPowerUsage(a)))")
        probe.ask("thread.start()")
        assert probe.ask("nvmlDeviceGetPowerUsage(b)") == 70_000
        assert probe.ask("nvmlDeviceGetTemperature(a, 0)") == 40
        assert probe.ask("thread.is_alive(), answers") == [True, []]
        driver.hang(0)
        probe.ask("thread.join()")
        assert probe.ask("answers") == [70_000]

    def test_a_lookup_fault_of_one_gpu(self, driver: Driver, probe: Probe) -> None:
        """Looking up by index fails; by UUID it does not."""
        driver.fault("nvmlDeviceGetHandleByIndex_v2", UNKNOWN, 1)
        assert probe.error("nvmlDeviceGetHandleByIndex(1)") == UNKNOWN
        probe.ask("nvmlDeviceGetHandleByIndex(0)")
        probe.ask(f"nvmlDeviceGetHandleByUUID({driver.uuids[1]!r})")


class TestChange:
    """A change of the state reaches processes that are running."""

    def test_two_processes_see_a_change(self, driver: Driver, start: Callable[..., Probe]) -> None:
        """Both were running before it."""
        probes = [start(driver), start(driver)]
        for used in (0, GIB, 2 * GIB):
            driver.replace(1, used=used)
            driver.processes(1, (os.getpid(), used))
            for probe in probes:
                probe.ask("h = nvmlDeviceGetHandleByIndex(1)")
                assert probe.ask("nvmlDeviceGetMemoryInfo(h, version=nvmlMemory_v2).used") == used
                assert probe.ask("nvmlDeviceGetComputeRunningProcesses(h)[0].usedGpuMemory") == used

    def test_a_reader_sees_no_half_change(self, driver: Driver, start: Callable[..., Probe]) -> None:
        """While the state is rewritten, two processes with four threads each read it whole."""
        probes = [start(driver), start(driver)]
        for probe in probes:
            probe.ask("seen, stop, handle = set(), threading.Event(), nvmlDeviceGetHandleByIndex(1)")
            probe.ask(
                "def read():\n"
                "    while not stop.is_set():\n"
                "        try:\n"
                "            m = nvmlDeviceGetMemoryInfo(handle)\n"
                "            seen.add((nvmlDeviceGetCount(), m.total, m.total - m.used - m.free))\n"
                "        except NVMLError as error:\n"
                "            seen.add(error.value)\n"
            )
            probe.ask("threads = [threading.Thread(target=read) for _ in range(4)]")
            probe.ask("[thread.start() for thread in threads] and None")
        for used in range(200):
            driver.replace(1, used=used)
        for probe in probes:
            probe.ask("stop.set() or [thread.join() for thread in threads] and None")
            assert probe.ask("list(seen)") == [[2, 80 * GIB, 0]]

    def test_a_forked_child_keeps_its_handles(self, driver: Driver, probe: Probe) -> None:
        """Handles and the initialisation survive a fork, and the child sees changes too."""
        driver.replace(0, name="changed")
        # The child ends within the call: parent and child have the probe's pipes in common.
        probe.ask(
            "def forked():\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        os._exit(nvmlDeviceGetName(a) != 'changed')\n"
            "    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        )
        assert probe.ask("forked()") == 0


CUDA = """
import ctypes, os
library = ctypes.CDLL("libcuda.so.1")
count = ctypes.c_int(-1)
uuid = (ctypes.c_ubyte * 16)()

def counted():
    return library.cuDeviceGetCount(ctypes.byref(count)), count.value
"""

UUIDS = f"""{CUDA}
library.cuInit(0)
answers = []
for number in range(counted()[1]):
    assert library.cuDeviceGet(ctypes.byref(count), number) == 0
    both = [(ask(uuid, count), bytes(uuid).hex()) for ask in (library.cuDeviceGetUuid_v2, library.cuDeviceGetUuid)]
    answers.append([value for one in both for value in one])
print(__import__("json").dumps(answers))
"""


def run(source: str, environ: dict[str, str | None]) -> Any:
    """The JSON that a Python process prints; a variable that is None is not set for it."""
    merged = {**os.environ, **environ}
    kept = {name: value for name, value in merged.items() if value is not None}
    return json.loads(subprocess.check_output([sys.executable, "-c", source], env=kept, text=True))


class TestCuda:
    """The CUDA library fixes what it sees at cuInit."""

    @pytest.mark.parametrize(
        ("visible", "count"),
        [("0", 1), ("3,1", 2), ("GPU-1,MIG-2,GPU-3", 3), ("", 0), ("-1", 0), ("0,-1,1", 1), (None, 2)],
    )
    def test_the_count_is_that_of_the_visible_entries(
        self,
        driver: Driver,
        visible: str | None,
        count: int,
    ) -> None:
        """As they were at cuInit, before which the count fails; unset means all."""
        source = f"""{CUDA}
answers = [counted(), library.cuInit(0)]
os.environ["CUDA_VISIBLE_DEVICES"] = "0,1,2,3,4,5"
print(__import__("json").dumps([*answers, library.cuInit(0), counted()]))
"""
        answers = run(source, {**driver.environ(), "CUDA_VISIBLE_DEVICES": visible})
        assert answers == [[3, -1], 0, 0, [0, count]]

    def test_a_change_before_cuinit_counts(self, driver: Driver) -> None:
        """Loading the library fixes nothing."""
        source = f"""{CUDA}
os.environ["CUDA_VISIBLE_DEVICES"] = "0,1,2"
print([library.cuInit(0), counted()[1]])
"""
        assert run(source, {**driver.environ(), "CUDA_VISIBLE_DEVICES": "0"}) == [0, 3]

    @pytest.mark.parametrize("visible", [None, "1,0", "GPU-7", "-1"])
    def test_a_device_has_the_uuid_that_its_entry_names(self, driver: Driver, visible: str | None) -> None:
        """By index or by the beginning of the UUID; both versions of the question agree on GPUs."""
        environ = {**driver.environ(), "CUDA_VISIBLE_DEVICES": visible}
        named = {None: [0, 1], "1,0": [1, 0], "GPU-7": [1], "-1": []}[visible]
        uuids = [driver.uuids[number].removeprefix("GPU-").replace("-", "") for number in named]
        assert run(UUIDS, environ) == [[0, uuid, 0, uuid] for uuid in uuids]

    def test_of_a_mig_device_the_older_question_tells_the_gpu(self, mig_driver: Driver) -> None:
        """The newer one the instance."""
        gpu = mig_driver.gpus[0]
        environ: dict[str, str | None] = {**mig_driver.environ(), "CUDA_VISIBLE_DEVICES": gpu.mig[1].uuid}
        both = [uuid[4:].replace("-", "") for uuid in (gpu.mig[1].uuid, gpu.uuid)]
        assert run(UUIDS, environ) == [[0, both[0], 0, both[1]]]

    def test_an_entry_that_names_no_device_has_no_uuid(self, driver: Driver) -> None:
        """Nor has anything before cuInit, or out of range."""
        environ: dict[str, str | None] = {**driver.environ(), "CUDA_VISIBLE_DEVICES": "7"}
        source = f"""{CUDA}
before = [library.cuDeviceGet(ctypes.byref(count), 0), library.cuDeviceGetUuid(uuid, 0)]
library.cuInit(0)
print([*before, library.cuDeviceGet(ctypes.byref(count), 1), library.cuDeviceGetUuid_v2(uuid, 0)])
"""
        assert run(source, environ) == [3, 3, 101, 101]

    def test_the_version_needs_no_init(self, driver: Driver) -> None:
        """Wrong arguments are refused."""
        source = f"""{CUDA}
print([library.cuDriverGetVersion(ctypes.byref(count)), count.value, library.cuInit(1)])
"""
        assert run(source, {**driver.environ()}) == [0, 12080, 1]


@pytest.fixture
def torch_environ(tmp_path: Path) -> dict[str, str | None]:
    """What makes a process import the stand-in torch from tests of its own, and record that."""
    path = os.pathsep.join([str(TORCH_PATH), str(tmp_path)])
    return {"PYTHONPATH": path, TORCH_LOG_VARIABLE: str(tmp_path / "torch.jsonl")}


def recorded(environ: dict[str, str | None]) -> list[dict[str, Any]]:
    """The lines that the stand-in torch wrote."""
    return [json.loads(line) for line in Path(str(environ[TORCH_LOG_VARIABLE])).read_text().splitlines()]


class TestTorch:
    """The stand-in torch records its import and follows CUDA_VISIBLE_DEVICES."""

    def test_an_import_is_recorded(self, torch_environ: dict[str, str | None]) -> None:
        """With the process and the environment; what is not set is null; one import is one line."""
        environ = {name: f"<{name}>" for name in ("PYTEST_XDIST_WORKER", "GPUPOOL_DEVICES", "GPUPOOL_RUN")}
        unset = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        source = "import os, torch, torch.cuda; import torch; print(os.getpid())"
        pid = run(source, {**torch_environ, **environ, **dict.fromkeys(unset)})
        expected = {"pid": pid, "importer": "__main__", **environ, **dict.fromkeys(unset)}
        assert recorded(torch_environ) == [expected]

    @pytest.mark.parametrize(
        "statement",
        ["import torch", "import torch.cuda", "import importlib\nimportlib.import_module('torch')"],
    )
    def test_the_importer_is_the_module_that_imports(
        self,
        torch_environ: dict[str, str | None],
        tmp_path: Path,
        statement: str,
    ) -> None:
        """Not the import machinery, and not who imports that module."""
        (tmp_path / "middle.py").write_text(statement)
        run("import middle; print(1)", torch_environ)
        run("import middle; print(1)", torch_environ)
        assert [entry["importer"] for entry in recorded(torch_environ)] == ["middle", "middle"]

    def test_without_a_log_nothing_is_written(
        self,
        torch_environ: dict[str, str | None],
        tmp_path: Path,
    ) -> None:
        """The import works all the same."""
        source = "import json, torch; print(json.dumps(torch.__version__))"
        assert run(source, {**torch_environ, TORCH_LOG_VARIABLE: None}) == "2.0.0+standin"
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("visible", "count"),
        [("0", 1), ("3,1", 2), ("", 0), ("-1", 0), ("0,-1,1", 1), (None, 0)],
    )
    def test_cuda_is_what_init_saw(
        self,
        torch_environ: dict[str, str | None],
        visible: str | None,
        count: int,
    ) -> None:
        """Before init the count follows the variable, and asking does not initialise."""
        source = """
import json, os, torch
cuda = torch.cuda
before = [cuda.device_count(), cuda.is_available(), cuda.is_initialized()]
cuda.init()
os.environ["CUDA_VISIBLE_DEVICES"] = "0,1,2,3,4,5"
print(json.dumps([before, [cuda.device_count(), cuda.is_available(), cuda.is_initialized()]]))
"""
        environ = {**torch_environ, "CUDA_VISIBLE_DEVICES": visible, "GPUPOOL_STANDIN_NVML": None}
        assert run(source, environ) == [[count, count > 0, False], [count, count > 0, True]]

    def test_without_the_variable_every_gpu_is_visible(
        self,
        torch_environ: dict[str, str | None],
        driver: Driver,
    ) -> None:
        """The GPUs are those of the stand-in driver."""
        environ = {**driver.environ(), **torch_environ, "CUDA_VISIBLE_DEVICES": None}
        assert run("import torch; print(torch.cuda.device_count())", environ) == 2
