"""NVML: what NVIDIA's library knows of this host's GPUs. The only importer of pynvml.

NVML ignores CUDA_VISIBLE_DEVICES: what is visible is the business of the room ``visible``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import ModuleType
from typing import Any, TypeVar

from ..values.device import Device
from .probe import DeviceFailed, GpuProcess, Survey, Usage

T = TypeVar("T")


def survey() -> Survey:
    """Look at every GPU and MIG instance of this host. Never raises: what is wrong is in the answer."""
    try:
        with running() as nvml:
            return _survey(nvml)
    except DeviceFailed as failed:
        return Survey(problem=str(failed))


class NvmlProbe:
    """Asks NVML, which it starts for each question (state inherited by fork may fail)."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep NVML running meanwhile: to start it takes longer than to ask. Where it does not start, do without."""
        with ExitStack() as stack:
            with suppress(DeviceFailed):
                stack.enter_context(running())
            yield

    def usage(self, device: Device) -> Usage:
        """Return who uses the device. Raises DeviceFailed where it does not answer."""
        with running() as nvml:
            try:
                return _usage(nvml, nvml.nvmlDeviceGetHandleByUUID(device.id))
            except nvml.NVMLError as error:
                lost = (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED, nvml.NVML_ERROR_NOT_FOUND)
                raise DeviceFailed(_device_words(error), for_good=error.value in lost) from None


@contextmanager
def running() -> Iterator[Any]:
    """Give the module pynvml, with NVML running meanwhile. Raises DeviceFailed where it does not start."""
    nvml = start()
    try:
        yield nvml
    finally:
        stop(nvml)


def start() -> Any:
    """Start NVML, until as many calls of :func:`stop`; return the module pynvml. Raises DeviceFailed."""
    nvml = _load()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise DeviceFailed(_init_words(error)) from None
    return nvml


def stop(nvml: Any) -> None:
    """Stop NVML. A lost GPU can make that fail as well; there is nothing left to do then."""
    with suppress(nvml.NVMLError):
        nvml.nvmlShutdown()


def _load() -> ModuleType:
    # Before pynvml, a large module, is imported: most machines without a GPU have no such library.
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        raise DeviceFailed("no NVIDIA driver here: libnvidia-ml.so.1 is not found") from None
    import pynvml

    module: ModuleType = pynvml
    return module


def _survey(nvml: Any) -> Survey:
    devices: list[Device] = []
    broken: list[str] = []
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise DeviceFailed(_init_words(error)) from None
    for index in range(count):
        try:
            devices += _devices_at(nvml, index)
        except nvml.NVMLError as error:
            broken.append(f"GPU {index} {_device_words(error)}; the pool goes on without it")
    return Survey(devices=tuple(devices), broken=tuple(broken), driver=_driver(nvml))


def _devices_at(nvml: Any, index: int) -> list[Device]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    uuid = nvml.nvmlDeviceGetUUID(handle)
    if _mig_is_on(nvml, handle):
        return list(_instances(nvml, handle, index, uuid))
    return [
        Device(
            id=uuid,
            kind="gpu",
            index=index,
            name=nvml.nvmlDeviceGetName(handle),
            memory_total=_memory_total(nvml, handle),
        )
    ]


def _asked(nvml: Any, question: Callable[[], T]) -> T | None:
    """Return NVML's answer, None where this device or driver does not support the question."""
    try:
        return question()
    except nvml.NVMLLibraryMismatchError:  # how pynvml calls a driver too old for a function that has versions
        return None
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
            return None
        raise


def _memory_total(nvml: Any, handle: Any) -> int | None:
    memory = _asked(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    return None if memory is None else int(memory.total)  # None on a GPU that shares the host's memory


def _mig_is_on(nvml: Any, handle: Any) -> bool:
    modes = _asked(nvml, lambda: nvml.nvmlDeviceGetMigMode(handle))
    return modes is not None and modes[0] == nvml.NVML_DEVICE_MIG_ENABLE  # the other is the pending one


def _instances(nvml: Any, parent: Any, index: int, parent_uuid: str) -> Iterator[Device]:
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(parent)):
        try:
            handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, number)
        except nvml.NVMLError as error:
            if error.value == nvml.NVML_ERROR_NOT_FOUND:
                continue  # the numbers of instances may have gaps
            raise
        gpu_instance = nvml.nvmlDeviceGetGpuInstanceId(handle)
        compute_instance = nvml.nvmlDeviceGetComputeInstanceId(handle)
        yield Device(
            id=nvml.nvmlDeviceGetUUID(handle),
            kind="mig",
            index=index,
            name=nvml.nvmlDeviceGetName(handle),
            memory_total=_memory_total(nvml, handle),
            legacy_id=f"MIG-{parent_uuid}/{gpu_instance}/{compute_instance}",
        )


def _usage(nvml: Any, handle: Any) -> Usage:
    processes = _asked(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    memory = _asked(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2))
    return Usage(
        processes=tuple(GpuProcess(pid=process.pid, memory=process.usedGpuMemory) for process in processes),
        memory_used=None if memory is None else int(memory.used),
        memory_free=None if memory is None else int(memory.free),
    )


def _driver(nvml: Any) -> str | None:
    try:
        return str(nvml.nvmlSystemGetDriverVersion())
    except nvml.NVMLError:
        return None


def _init_words(error: Any) -> str:
    import pynvml

    known = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver here: libnvidia-ml.so.1 is not found",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded (try 'nvidia-smi')",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
            "the NVIDIA driver and its library differ in version (after an update: reboot, or load the new module)"
        ),
        pynvml.NVML_ERROR_NO_PERMISSION: "no permission to use the NVIDIA driver (see /dev/nvidia*)",
    }
    return known.get(error.value, f"NVML does not start: {error} (try 'nvidia-smi')")


def _device_words(error: Any) -> str:
    import pynvml

    known = {
        pynvml.NVML_ERROR_GPU_IS_LOST: "is lost (it fell off the bus: see 'dmesg', then reset or reboot)",
        pynvml.NVML_ERROR_RESET_REQUIRED: "needs a reset ('nvidia-smi --gpu-reset')",
        pynvml.NVML_ERROR_NOT_FOUND: "is gone",
    }
    return known.get(error.value, f"does not answer: {error}")
