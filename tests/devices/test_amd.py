"""AMD's devices are found, watched and named through amdsmi, as NVIDIA's are through NVML."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from standin.asker import Asker
from standin.rocm import AMDSMI_PATH, Rocm, amd_gpus

from pytest_gpupool.devices.amd.vendor import Amd
from pytest_gpupool.devices.amd.visible import export, read_environment, shows_exactly
from pytest_gpupool.devices.probe import Survey
from pytest_gpupool.values.device import Device, cpu_device

GIB = 2**30
NOT_SUPPORTED, NO_PERM, DRIVER_NOT_LOADED = 2, 10, 34

PRELUDE = """
import json, sys
from dataclasses import asdict
from pytest_gpupool.devices import vendors
from pytest_gpupool.devices.pool import discover
from pytest_gpupool.devices.probe import DeviceFailed
from pytest_gpupool.values.errors import UsageProblem

def found():
    return asdict(vendors.survey())

def usage(number):
    device = devices[number]
    try:
        return asdict(vendors.of([device]).probe().usage(device))
    except DeviceFailed as failed:
        return [str(failed), failed.for_good]

def refusal(spec):
    try:
        discover(spec)
    except UsageProblem as problem:
        return str(problem)

def cores(number):
    near = vendors.of(devices).cores(devices[number])
    return None if near is None else sorted(near)

devices = vendors.survey().devices
meter = vendors.of(devices).meter(devices, clock=lambda: 5.0)
"""

# From amdsmi_interface.py of version 7.0.2.
SIGNATURES = {
    "amdsmi_init": ["flag"],
    "amdsmi_shut_down": [],
    "amdsmi_get_processor_handles": [],
    "amdsmi_get_gpu_device_uuid": ["processor_handle"],
    "amdsmi_get_gpu_enumeration_info": ["processor_handle"],
    "amdsmi_get_gpu_asic_info": ["processor_handle"],
    "amdsmi_get_gpu_driver_info": ["processor_handle"],
    "amdsmi_get_gpu_memory_total": ["processor_handle", "mem_type"],
    "amdsmi_get_gpu_memory_usage": ["processor_handle", "mem_type"],
    "amdsmi_get_gpu_process_list": ["processor_handle"],
    "amdsmi_get_gpu_compute_process_info": [],
    "amdsmi_get_gpu_compute_process_gpus": ["pid"],
    "amdsmi_get_gpu_activity": ["processor_handle"],
    "amdsmi_get_energy_count": ["processor_handle"],
    "amdsmi_get_power_info": ["processor_handle"],
    "amdsmi_get_temp_metric": ["processor_handle", "sensor_type", "metric"],
    "amdsmi_get_violation_status": ["processor_handle"],
    "amdsmi_topo_get_numa_node_number": ["processor_handle"],
}


@pytest.fixture
def rocm(tmp_path: Path) -> Rocm:
    """A machine of two GPUs."""
    return Rocm(tmp_path / "amdsmi.json", amd_gpus(2))


@pytest.fixture
def ask(rocm: Rocm) -> Iterator[Callable[..., Any]]:
    """Asks a process of a user of that machine, which starts with the first question."""
    with ExitStack() as stack:
        started: list[Asker] = []

        def ask(source: str, **environ: str) -> Any:
            if not started:
                started.append(Asker({**rocm.environ(), **environ}, PRELUDE))
                stack.callback(started[0].end)
            return started[0].ask(source)

        yield ask


def device(rocm: Rocm, number: int) -> dict[str, Any]:
    """A GPU as the survey has it."""
    return {
        "id": rocm.uuids[number],
        "kind": "gpu",
        "index": number,
        "name": "AMD Instinct MI300X",
        "memory_total": 192 * GIB,
        "legacy_id": rocm.gpus[number].hip_uuid,
        "vendor": "amd",
    }


def test_the_stand_in_has_the_signatures_of_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is used of it."""
    monkeypatch.syspath_prepend(AMDSMI_PATH)
    import amdsmi

    try:
        functions = {name: value for name, value in vars(amdsmi).items() if name.startswith("amdsmi_")}
        assert {name: list(inspect.signature(function).parameters) for name, function in functions.items()} == (
            SIGNATURES
        )
    finally:
        del sys.modules["amdsmi"]


class TestSurvey:
    """One look at the host."""

    def test_it_finds_every_gpu(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """With amd-smi's index, its UUID, ROCm's name for it, and the driver's version."""
        assert ask("found()") == {
            "devices": [device(rocm, 0), device(rocm, 1)],
            "broken": [],
            "problem": None,
            "driver": "6.14.14",
            "vendor": "amd",
            "absent": False,
            "by_uuid": None,
            "exclusive": {},
        }

    def test_a_gpu_that_does_not_answer(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """The pool goes on without it, and names the others by UUID."""
        rocm.replace(0, faults={"amdsmi_get_gpu_asic_info": NO_PERM})
        found = ask("found()")
        assert found["devices"] == [device(rocm, 1)]
        assert found["broken"] == ["GPU 0 does not answer: Permission Denied; the pool goes on without it"]
        assert found["by_uuid"] == "GPU 0 does not answer, and ROCm may number the others without it"

    def test_where_rocm_counts_otherwise(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """By the kernel's topology, not by the bus."""
        rocm.replace(0, hip_id=1)
        rocm.replace(1, hip_id=0)
        assert ask("found()")["by_uuid"] == "ROCm numbers the GPUs otherwise than amd-smi"

    def test_an_older_amdsmi_does_not_tell_rocms_name(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """It is made of the serial number."""
        rocm.fault("amdsmi_get_gpu_enumeration_info", NOT_SUPPORTED)
        rocm.replace(0, serial="0xF59A3CEE4F2A0000")
        assert [known["legacy_id"] for known in ask("found()")["devices"]] == ["GPU-f59a3cee4f2a0000", None]

    def test_it_does_not_start(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """Of the two vendors that are not there the first one's words are said."""
        rocm.fail_init(DRIVER_NOT_LOADED)
        found = ask("found()")
        assert found["devices"] == []
        assert found["problem"] == "no NVIDIA driver here: libnvidia-ml.so.1 is not found"

    def test_a_module_without_its_library(self, tmp_path: Path, ask: Callable[..., Any]) -> None:
        """It prints, and raises whatever comes to hand; nothing of that is seen."""
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "amdsmi.py").write_text("print('Unable to find libamd_smi.so')\n{}['libamd_smi.so']\n")
        words = ask("vendors.named('amd').survey().problem", PYTHONPATH=str(tmp_path / "broken"))
        assert words == ("amdsmi cannot be loaded, is ROCm's amd-smi-lib installed? KeyError('libamd_smi.so')")

    def test_without_the_module(self, ask: Callable[..., Any]) -> None:
        """Nothing is here of that make."""
        assert ask("vendors.named('amd').survey().problem", PYTHONPATH="") == "no AMD driver here"


class TestPool:
    """A pool of AMD's devices."""

    def test_it_is_found(self, ask: Callable[..., Any]) -> None:
        """And said."""
        assert ask("discover('auto').describe()") == "2 GPUs (AMD Instinct MI300X)"

    def test_the_environments_list(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """ROCR_VISIBLE_DEVICES leaves some."""
        ids = ask("[one.id for one in discover('auto').devices]", ROCR_VISIBLE_DEVICES="1")
        assert ids == [rocm.uuids[1]]

    def test_what_hip_would_hide_besides(self, ask: Callable[..., Any]) -> None:
        """Is said, since it is left alone."""
        assert ask("discover('auto').notes", HIP_VISIBLE_DEVICES="1") == [
            "HIP_VISIBLE_DEVICES=1 is applied by HIP to each worker's devices, numbered from 0, and may hide them: "
            "unset it, and list devices in ROCR_VISIBLE_DEVICES"
        ]

    def test_all_hidden(self, ask: Callable[..., Any]) -> None:
        """The reason names the variable."""
        reason = ask("discover('auto').no_gpu", ROCR_VISIBLE_DEVICES="-1")
        assert reason == "ROCR_VISIBLE_DEVICES=-1 hides all 2"

    def test_a_list_that_cannot_be(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """The error names the variable, or AMD's tool."""
        assert ask("refusal('1')", ROCR_VISIBLE_DEVICES="0") == (
            f"--gpupool-devices=1: GPU 1 is hidden by ROCR_VISIBLE_DEVICES; there are: 0 ({rocm.uuids[0]})"
        )
        for number in (1, 0):
            rocm.remove(number)
        assert ask("refusal('1')") == (
            "--gpupool-devices=1: no device '1' here; no GPU is visible here (see 'amd-smi list')"
        )


class TestUsage:
    """Who uses a device at this moment."""

    def test_processes_and_memory(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """Who computes is told by the kernel, also of other users; who is not among them only draws."""
        rocm.replace(0, used=5 * GIB, processes=((815, 3 * GIB), (77, GIB)))
        rocm.compute(p815=(0,), p816=(0, 1), p817=(1,))
        assert ask("usage(0)") == {
            "processes": [{"pid": 815, "memory": 3 * GIB}, {"pid": 816, "memory": None}],
            "memory_used": 5 * GIB,
            "memory_free": 187 * GIB,
            "graphics": [{"pid": 77, "memory": GIB}],
            "forbidden": None,
        }

    def test_where_the_kernel_does_not_tell_all_compute(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """Rather one too many is in the way."""
        rocm.replace(0, processes=((77, GIB),))
        rocm.fault("amdsmi_get_gpu_compute_process_info", NOT_SUPPORTED)
        assert ask("usage(0)")["processes"] == [{"pid": 77, "memory": GIB}]

    def test_a_device_that_fails(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """Its words; when it answers again all is well."""
        assert ask("usage(0)")["memory_used"] == 0
        rocm.replace(0, faults={"amdsmi_get_gpu_process_list": NO_PERM})
        assert ask("usage(0)") == ["does not answer: Permission Denied", False]
        rocm.replace(0, faults={})
        assert ask("usage(0)")["memory_used"] == 0

    def test_a_device_that_is_gone(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """Waiting cannot help."""
        assert ask("usage(0)")["memory_used"] == 0
        rocm.remove(0)
        assert ask("usage(0)") == ["is gone", True]
        assert ask("usage(1)")["memory_used"] == 0


class TestMeter:
    """What a device says again and again."""

    def test_levels(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """Bytes, per cent, °C; the power limit is no throttling."""
        rocm.replace(0, used=GIB, activity=97, throttled=("ppt_pwr",))
        rocm.replace(1, activity="N/A", temperatures={"EDGE": 30}, throttled=("hbm_thrm",))
        ask("meter.open()")
        assert ask("[list(meter.levels()[one.id]) for one in devices]") == [
            [GIB, 97.0, 41.0, False],
            [0, None, 30.0, True],
        ]
        assert ask("meter.lost") is False

    def test_energy(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """A counter, else the power."""
        rocm.replace(1, faults={"amdsmi_get_energy_count": NOT_SUPPORTED})
        ask("meter.open()")
        first, second = ask("[list(meter.energy()[one.id]) for one in devices]")
        assert first == [5.0, pytest.approx(1000.0), None]
        assert second == [5.0, None, 140.0]

    def test_processes(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """Those that compute."""
        rocm.replace(0, processes=((815, GIB), (77, GIB)))
        rocm.compute(p815=(0,))
        ask("meter.open()")
        assert ask("[[one.pid for one in meter.processes()[known.id]] for known in devices]") == [[815], []]

    def test_without_the_library_nothing_is_known(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """Nor is it an error."""
        assert ask("len(devices)") == 2
        rocm.fail_init(DRIVER_NOT_LOADED)
        ask("meter.open()")
        assert ask("[meter.levels(), meter.energy(), meter.processes()]") == [{}, {}, {}]
        ask("meter.close()")

    def test_a_gpu_that_says_nothing(self, rocm: Rocm, ask: Callable[..., Any]) -> None:
        """Each question has its own answer."""
        asked = ("memory_usage", "activity", "process_list")
        faults = {f"amdsmi_get_gpu_{name}": NOT_SUPPORTED for name in asked}
        others = ("temp_metric", "violation_status", "energy_count", "power_info")
        assert ask("len(devices)") == 2
        rocm.replace(0, faults=faults | {f"amdsmi_get_{name}": NOT_SUPPORTED for name in others})
        ask("meter.open()")
        assert ask("list(meter.levels()[devices[0].id])") == [None, None, None, None]
        assert ask("[sorted(meter.energy()), sorted(meter.processes())]") == [[rocm.uuids[1]], [rocm.uuids[1]]]


def test_cores(rocm: Rocm, ask: Callable[..., Any]) -> None:
    """Those of the memory node; none where that is not told."""
    rocm.replace(1, faults={"amdsmi_topo_get_numa_node_number": NOT_SUPPORTED})
    near = Path("/sys/devices/system/node/node0/cpulist")
    assert bool(ask("cores(0)")) == near.exists()
    assert ask("cores(1)") is None


GPUS = tuple(
    Device(id=f"GPU-{number}", kind="gpu", index=number, name="MI", legacy_id=f"GPU-f59a3cee4f2a{number:04x}")
    for number in range(3)
)
FIRST, SECOND, THIRD = (str(gpu.legacy_id) for gpu in GPUS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        (" 1 , 2", [1, 2]),
        ("0x1", [1]),
        ("01", [1]),
        ("+1", [1]),
        (f"{THIRD},0", [2, 0]),
        (SECOND.lower(), [1]),
        (SECOND.upper().replace("GPU", "gpu"), [1]),
        ("1,", [1]),
        ("0,-1,1", [0]),
    ],
)
def test_a_good_list(value: str | None, expected: list[int]) -> None:
    """By ROCR's rules, which are not CUDA's: spellings may be mixed, and small letters are large ones."""
    visible = read_environment(value, GPUS)
    assert ([one.index for one in visible.devices], visible.warning) == (expected, None)


@pytest.mark.parametrize(
    ("value", "expected", "token", "why"),
    [
        ("0,7,1", [0], "7", "names no device here"),
        ("1gpu", [], "1gpu", "names no device here"),
        ("08", [], "08", "names no device here"),
        ("0,0,1", [0], "0", "names a device again"),
        (f"0,{FIRST}", [0], FIRST, "names a device again"),
        ("GPU-f59a", [], "GPU-f59a", "names no device here"),
        ("GPU-", [], "GPU-", "names no device here"),
        (f"{FIRST}0", [], f"{FIRST}0", "names no device here"),
    ],
)
def test_a_bad_entry_ends_the_list(value: str, expected: list[int], token: str, why: str) -> None:
    """And so does one that names a device again: CUDA would see none then."""
    visible = read_environment(value, GPUS)
    assert [one.index for one in visible.devices] == expected
    assert visible.warning == (f"ROCR_VISIBLE_DEVICES={value}: {token!r} {why}, and ROCm ignores what comes after it")


def test_what_shows_exactly_some_devices() -> None:
    """Either spelling of them, in their order."""
    pair = (GPUS[2], GPUS[0])
    for listed in ("2,0", f"{THIRD},{FIRST}"):
        assert shows_exactly(pair, {"ROCR_VISIBLE_DEVICES": listed})
    for other in ("0,2", "2", "2,0,1", "-1", None):
        assert not shows_exactly(pair, {"ROCR_VISIBLE_DEVICES": other})
    assert shows_exactly((), {"ROCR_VISIBLE_DEVICES": "-1"})


def test_export() -> None:
    """ROCR_VISIBLE_DEVICES and nothing else, by number or by ROCm's UUID; an old GPU has none."""
    assert export((GPUS[2], GPUS[0]), "index") == {"ROCR_VISIBLE_DEVICES": "2,0"}
    assert export((GPUS[2], GPUS[0]), "uuid") == {"ROCR_VISIBLE_DEVICES": f"{THIRD},{FIRST}"}
    old = Device(id="GPU-x", kind="gpu", index=5, name="old")
    assert export((old, GPUS[0]), "uuid") == {"ROCR_VISIBLE_DEVICES": f"5,{FIRST}"}
    for nothing in ((), (cpu_device(0),)):
        assert export(nothing, "index") == {"ROCR_VISIBLE_DEVICES": "-1"}


def test_doubts() -> None:
    """Numbers where the two count otherwise."""
    host = Survey(devices=GPUS, by_uuid="the reason", vendor="amd")
    assert Amd().doubts({"ROCR_VISIBLE_DEVICES": "1"}, host) == (
        "ROCR_VISIBLE_DEVICES=1 is read by amd-smi's numbers (the reason): list UUIDs there",
    )
    assert Amd().doubts({"ROCR_VISIBLE_DEVICES": FIRST}, host) == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("E   RuntimeError: HIP error: unspecified launch failure", "unspecified launch failure"),
        ("E   RuntimeError: hipErrorLaunchFailure", "hipErrorLaunchFailure"),
        ("E   RuntimeError: HIP out of memory. Tried to allocate 2 GiB", None),
        ("E   RuntimeError: an illegal memory access was encountered", None),
    ],
)
def test_sticky_errors(text: str, error: str | None) -> None:
    """After them a process can use its device no more; running out of memory is none."""
    assert Amd().sticky_error(text) == error
