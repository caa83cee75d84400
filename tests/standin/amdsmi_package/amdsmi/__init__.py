"""A stand-in for amdsmi, AMD's Python module: the signatures, shapes and errors of version 7.0.2.

Everything that it answers comes from the JSON file named by GPUPOOL_STANDIN_AMDSMI, which is read again at every call.
As the real one it knows its GPUs by handles alone, and says "N/A" for numbers that the driver does not tell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

__version__ = "7.0.2+standin"

T = TypeVar("T")

INVAL, NOT_SUPPORTED, NO_PERM, NOT_FOUND, NOT_INIT, DRIVER_NOT_LOADED = 1, 2, 10, 31, 32, 34
_TEXTS = {
    NOT_SUPPORTED: "AMDSMI_STATUS_NOT_SUPPORTED - Feature not supported",
    NO_PERM: "AMDSMI_STATUS_NO_PERM - Permission Denied",
    NOT_FOUND: "AMDSMI_STATUS_NOT_FOUND - Device Not found",
    NOT_INIT: "AMDSMI_STATUS_NOT_INIT - Device not initialized",
    DRIVER_NOT_LOADED: "AMDSMI_STATUS_DRIVER_NOT_LOADED - Driver not loaded",
}
_inits = 0


class AmdSmiException(Exception):
    """Base of all."""


class AmdSmiLibraryException(AmdSmiException):
    """What the library answers."""

    def __init__(self, err_code: int) -> None:
        super().__init__(abs(err_code))
        self.err_code = abs(err_code)
        self.err_info = _TEXTS.get(self.err_code, "AMDSMI_STATUS_UNKNOWN_ERROR - An unknown error occurred")

    def __str__(self) -> str:
        return f"Error code:\n\t{self.err_code} | {self.err_info}"


class AmdSmiParameterException(AmdSmiException):
    """An argument of a wrong type."""

    def __init__(self, receivedValue: object, expectedType: type, msg: str | None = None) -> None:
        super().__init__(msg)
        self.err_code = None
        self.err_msg = f"Invalid parameter:\nActual type: {type(receivedValue)}\nExpected type: {expectedType}"

    def __str__(self) -> str:
        return self.err_msg


class AmdSmiInitFlags(IntEnum):
    """What is to be started."""

    INIT_AMD_GPUS = 2


class AmdSmiMemoryType(IntEnum):
    """Which memory."""

    VRAM = 0
    VIS_VRAM = 1
    GTT = 2


class AmdSmiTemperatureType(IntEnum):
    """Which sensor."""

    EDGE = 0
    HOTSPOT = 1
    VRAM = 2


class AmdSmiTemperatureMetric(IntEnum):
    """Which of its values."""

    CURRENT = 0
    MAX = 1


class _Handle:
    """What the real one's pointer is: another one for the same GPU at each call, and equal to none."""

    def __init__(self, place: int) -> None:
        self._place = place


def _state() -> dict[str, Any]:
    state: dict[str, Any] = json.loads(Path(os.environ["GPUPOOL_STANDIN_AMDSMI"]).read_text())
    return state


def _of_library(function: Callable[..., T]) -> Callable[..., T]:
    """Fail as told, or where the library was not started."""

    @wraps(function)
    def ask(*args: Any) -> T:
        if not _inits:
            raise AmdSmiLibraryException(NOT_INIT)
        state = _state()
        faults = dict(state["faults"])
        if args and isinstance(args[0], _Handle):
            if args[0]._place >= len(state["gpus"]):
                raise AmdSmiLibraryException(NOT_FOUND)
            faults |= state["gpus"][args[0]._place]["faults"]
        if function.__name__ in faults:
            raise AmdSmiLibraryException(faults[function.__name__])
        return function(*args)

    return ask


def _gpu(processor_handle: object) -> dict[str, Any]:
    if not isinstance(processor_handle, _Handle):
        raise AmdSmiParameterException(processor_handle, _Handle)
    gpu: dict[str, Any] = _state()["gpus"][processor_handle._place]
    return gpu


def amdsmi_init(flag: AmdSmiInitFlags = AmdSmiInitFlags.INIT_AMD_GPUS) -> None:
    global _inits
    if not isinstance(flag, AmdSmiInitFlags):
        raise AmdSmiParameterException(flag, AmdSmiInitFlags)
    if code := _state()["init"]:
        raise AmdSmiLibraryException(code)
    _inits += 1


def amdsmi_shut_down() -> None:
    global _inits
    if not _inits:
        raise AmdSmiLibraryException(NOT_INIT)
    _inits -= 1


@_of_library
def amdsmi_get_processor_handles() -> list[_Handle]:
    return [_Handle(place) for place in range(len(_state()["gpus"]))]


@_of_library
def amdsmi_get_gpu_device_uuid(processor_handle: _Handle) -> str:
    return str(_gpu(processor_handle)["uuid"])


@_of_library
def amdsmi_get_gpu_enumeration_info(processor_handle: _Handle) -> dict[str, Any]:
    gpu = _gpu(processor_handle)
    place = processor_handle._place
    return {
        "drm_render": 128 + place,
        "drm_card": place,
        "hsa_id": gpu["hip_id"] + 2,
        "hip_id": gpu["hip_id"],
        "hip_uuid": gpu["hip_uuid"],
    }


@_of_library
def amdsmi_get_gpu_asic_info(processor_handle: _Handle) -> dict[str, Any]:
    gpu = _gpu(processor_handle)
    return {
        "market_name": gpu["name"],
        "vendor_id": "0x1002",
        "vendor_name": "Advanced Micro Devices Inc. [AMD/ATI]",
        "subvendor_id": "0x1002",
        "device_id": "0x74a1",
        "rev_id": "0x00",
        "asic_serial": gpu["serial"],
        "oam_id": processor_handle._place,
        "num_compute_units": 304,
        "target_graphics_version": "gfx942",
        "subsystem_id": "0x74a1",
    }


@_of_library
def amdsmi_get_gpu_driver_info(processor_handle: _Handle) -> dict[str, Any]:
    _gpu(processor_handle)
    return {"driver_name": "amdgpu", "driver_version": "6.14.14", "driver_date": "2015/01/01 00:00"}


@_of_library
def amdsmi_get_gpu_memory_total(processor_handle: _Handle, mem_type: AmdSmiMemoryType) -> int:
    if not isinstance(mem_type, AmdSmiMemoryType):
        raise AmdSmiParameterException(mem_type, AmdSmiMemoryType)
    return int(_gpu(processor_handle)["memory"])


@_of_library
def amdsmi_get_gpu_memory_usage(processor_handle: _Handle, mem_type: AmdSmiMemoryType) -> int:
    if not isinstance(mem_type, AmdSmiMemoryType):
        raise AmdSmiParameterException(mem_type, AmdSmiMemoryType)
    return int(_gpu(processor_handle)["used"])


@_of_library
def amdsmi_get_gpu_process_list(processor_handle: _Handle) -> list[dict[str, Any]]:
    return [
        {
            "name": "python3",
            "pid": pid,
            "mem": memory,
            "engine_usage": {"gfx": 0, "enc": 0},
            "memory_usage": {"gtt_mem": 0, "cpu_mem": 0, "vram_mem": memory},
            "cu_occupancy": "N/A",
        }
        for pid, memory in _gpu(processor_handle)["processes"]
    ]


@_of_library
def amdsmi_get_gpu_compute_process_info() -> list[dict[str, int]]:
    return [
        {"process_id": pid, "vram_usage": 0, "sdma_usage": 0, "cu_occupancy": 0} for pid, _ in _state()["computing"]
    ]


@_of_library
def amdsmi_get_gpu_compute_process_gpus(pid: int) -> list[int]:
    found = [places for known, places in _state()["computing"] if known == pid]
    if not found:
        raise AmdSmiLibraryException(NOT_FOUND)
    return [int(place) for place in found[0]]


@_of_library
def amdsmi_get_gpu_activity(processor_handle: _Handle) -> dict[str, Any]:
    return {"gfx_activity": _gpu(processor_handle)["activity"], "umc_activity": 0, "mm_activity": "N/A"}


@_of_library
def amdsmi_get_energy_count(processor_handle: _Handle) -> dict[str, Any]:
    # In steps of 15.3 microjoules, as those of an MI300X are.
    steps = int(_gpu(processor_handle)["energy"] / 15.3e-6)
    return {"energy_accumulator": steps, "counter_resolution": 15.3, "timestamp": 0}


@_of_library
def amdsmi_get_power_info(processor_handle: _Handle) -> dict[str, Any]:
    watts = _gpu(processor_handle)["power"]
    return {
        "socket_power": watts,
        "current_socket_power": watts,
        "average_socket_power": "N/A",
        "gfx_voltage": "N/A",
        "soc_voltage": "N/A",
        "mem_voltage": "N/A",
        "power_limit": 750_000_000,
    }


@_of_library
def amdsmi_get_temp_metric(
    processor_handle: _Handle, sensor_type: AmdSmiTemperatureType, metric: AmdSmiTemperatureMetric
) -> int:
    if not isinstance(sensor_type, AmdSmiTemperatureType):
        raise AmdSmiParameterException(sensor_type, AmdSmiTemperatureType)
    if not isinstance(metric, AmdSmiTemperatureMetric):
        raise AmdSmiParameterException(metric, AmdSmiTemperatureMetric)
    sensors = _gpu(processor_handle)["temperatures"]
    if sensor_type.name not in sensors:
        raise AmdSmiLibraryException(NOT_SUPPORTED)
    return int(sensors[sensor_type.name])


@_of_library
def amdsmi_get_violation_status(processor_handle: _Handle) -> dict[str, Any]:
    names = ("prochot_thrm", "ppt_pwr", "socket_thrm", "vr_thrm", "hbm_thrm")
    throttled = _gpu(processor_handle)["throttled"]
    known = {f"active_{name}": name in throttled for name in names}
    return {"reference_timestamp": 0, "violation_timestamp": 0, **known, "active_vr_thrm": "N/A"}


@_of_library
def amdsmi_topo_get_numa_node_number(processor_handle: _Handle) -> int:
    return int(_gpu(processor_handle)["numa"])
