"""NVML: what NVIDIA's library knows of this host's GPUs. The only importer of pynvml.

NVML ignores CUDA_VISIBLE_DEVICES: what is visible is the business of the room ``visible``.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import ModuleType
from typing import Any, TypeVar

from ...values.device import Device
from ..probe import DeviceFailed, GpuProcess, Survey, Usage

T = TypeVar("T")

_NO_DRIVER = "no NVIDIA driver here: libnvidia-ml.so.1 is not found"
_BITS = 64  # of one number of a set of cores


def survey() -> Survey:
    """Look at every GPU and MIG instance of this host. Never raises: what is wrong is in the answer."""
    try:
        with running() as nvml:
            return _survey(nvml)
    except DeviceFailed as failed:
        return Survey(problem=str(failed), vendor="nvidia", absent=failed.args[0] == _NO_DRIVER)


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
                raise DeviceFailed(_device_words(error), for_good=error.value in _lost(nvml)) from None


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
        raise DeviceFailed(_NO_DRIVER) from None
    import pynvml

    module: ModuleType = pynvml
    return module


def _survey(nvml: Any) -> Survey:
    found = _Found(nvml)
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise DeviceFailed(_init_words(error)) from None
    for number in range(count):
        found.look_at(number)
    if count and found.closed == count:
        raise DeviceFailed(_closed_words(count))
    return Survey(
        devices=tuple(found.devices),
        broken=tuple(f"GPU {index} {words}; the pool goes on without it" for index, words in found.broken.items()),
        driver=_driver(nvml),
        vendor="nvidia",
        by_uuid=found.why_by_uuid(),
        exclusive=found.exclusive,
    )


class _Found:
    """What a survey has found so far.

    NVML counts devices that this process may not open, as where a cluster gives a job some of a host's GPUs by a
    cgroup. CUDA does without them and numbers the others from 0, and so does ``CUDA_VISIBLE_DEVICES`` there.
    """

    def __init__(self, nvml: Any) -> None:
        self.closed = 0
        """Devices that this process may not open."""
        self.devices: list[Device] = []
        self.broken: dict[int, str] = {}
        self.exclusive: dict[str, str] = {}
        self._nvml = nvml
        self._with_mig: list[int] = []

    def look_at(self, number: int) -> None:
        """Add the GPU that NVML has under that number, or its MIG instances."""
        nvml, index = self._nvml, number - self.closed
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
        except nvml.NVMLError as error:
            if error.value == nvml.NVML_ERROR_NO_PERMISSION:
                self.closed += 1
            else:
                self.broken[index] = _device_words(error)
            return
        try:
            uuid = nvml.nvmlDeviceGetUUID(handle)
            if _mig_is_on(nvml, handle):
                self._with_mig.append(index)
                self.devices += _instances(nvml, handle, index, uuid)
                return
            device = _gpu(nvml, handle, index, uuid)
            mode = _compute_mode(nvml, handle)
        except nvml.NVMLError as error:
            self.broken[index] = _device_words(error)
            return
        self.devices.append(device)
        if mode in (nvml.NVML_COMPUTEMODE_EXCLUSIVE_THREAD, nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS):
            self.exclusive[uuid] = (
                f"is in compute mode EXCLUSIVE_PROCESS, which lets one process at a time use it: set it back "
                f"('nvidia-smi -i {index} -c 0'), or start MPS ('nvidia-cuda-mps-control -d')"
            )

    def why_by_uuid(self) -> str | None:
        """Say why CUDA may number the GPUs otherwise than NVML; None where it does not."""
        if self.broken:
            return f"GPU {min(self.broken)} does not answer, and CUDA may number the others without it"
        if self._with_mig:
            return f"GPU {self._with_mig[0]} is in MIG mode, and CUDA may number the others without it"
        return None


def _gpu(nvml: Any, handle: Any, index: int, uuid: str) -> Device:
    return Device(
        id=uuid,
        kind="gpu",
        index=index,
        name=nvml.nvmlDeviceGetName(handle),
        memory_total=_memory_total(nvml, handle),
    )


def _compute_mode(nvml: Any, handle: Any) -> int | None:
    return _told(nvml, lambda: int(nvml.nvmlDeviceGetComputeMode(handle)))


def _told(nvml: Any, question: Callable[[], T]) -> T | None:
    """Return the answer to a question that is no reason to do without the device, unless that is lost."""
    try:
        return _asked(nvml, question)
    except nvml.NVMLError as error:
        if error.value in _lost(nvml):
            raise
        return None


def _lost(nvml: Any) -> tuple[int, ...]:
    return nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED, nvml.NVML_ERROR_NOT_FOUND


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
    computing = _processes(_asked(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)))
    # Whether the first list has the clients of MPS, too, depends on the driver.
    clients = _processes(_told(nvml, lambda: nvml.nvmlDeviceGetMPSComputeRunningProcesses(handle)))
    graphics = _processes(_told(nvml, lambda: nvml.nvmlDeviceGetGraphicsRunningProcesses(handle)))
    memory = _asked(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2))
    processes = {process.pid: process for process in (*clients, *computing)}
    return Usage(
        processes=tuple(processes.values()),
        # A program may do both.
        graphics=tuple(process for process in graphics if process.pid not in processes),
        memory_used=None if memory is None else int(memory.used),
        memory_free=None if memory is None else int(memory.free),
        forbidden=_forbidden(nvml, handle),
    )


def _processes(found: Any) -> list[GpuProcess]:
    return [GpuProcess(pid=process.pid, memory=process.usedGpuMemory) for process in found or ()]


def _forbidden(nvml: Any, handle: Any) -> str | None:
    if _compute_mode(nvml, handle) != nvml.NVML_COMPUTEMODE_PROHIBITED:
        return None
    index = nvml.nvmlDeviceGetIndex(handle)
    return f"its compute mode is PROHIBITED, which lets no program use it ('nvidia-smi -i {index} -c 0' ends that)"


def cores(device: Device) -> frozenset[int] | None:
    """Return the numbers of the cores near a device, a MIG instance's GPU; None where NVML does not tell."""
    try:
        with running() as nvml:
            return _cores(nvml, device)
    except DeviceFailed:
        return None


def _cores(nvml: Any, device: Device) -> frozenset[int] | None:
    size = -(-max(os.cpu_count() or 1, *(core + 1 for core in os.sched_getaffinity(0))) // _BITS)
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(device.id)
        if device.kind == "mig":
            handle = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
        words = list(nvml.nvmlDeviceGetCpuAffinity(handle, size))
    except nvml.NVMLError:
        return None
    bits = ((place * _BITS + bit, word >> bit & 1) for place, word in enumerate(words) for bit in range(_BITS))
    return frozenset(core for core, is_near in bits if is_near) or None


def _driver(nvml: Any) -> str | None:
    try:
        return str(nvml.nvmlSystemGetDriverVersion())
    except nvml.NVMLError:
        return None


def _init_words(error: Any) -> str:
    import pynvml

    known = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: _NO_DRIVER,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded (try 'nvidia-smi')",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
            "Failed to initialize NVML: Driver/library version mismatch "
            "(after an update: reboot, or load the new module)"
        ),
        pynvml.NVML_ERROR_NO_PERMISSION: "no permission to use the NVIDIA driver (see /dev/nvidia*)",
    }
    return known.get(error.value, f"NVML does not start: {error} (try 'nvidia-smi')")


def _closed_words(count: int) -> str:
    which = "the GPU" if count == 1 else f"any of the {count} GPUs"
    return f"no permission to open {which} here (see /dev/nvidia*; a job of a cluster has to ask for GPUs)"


def _device_words(error: Any) -> str:
    import pynvml

    known = {
        pynvml.NVML_ERROR_GPU_IS_LOST: "is lost (it fell off the bus: see 'dmesg', then reset or reboot)",
        pynvml.NVML_ERROR_RESET_REQUIRED: "needs a reset ('nvidia-smi --gpu-reset')",
        pynvml.NVML_ERROR_NOT_FOUND: "is gone",
    }
    return known.get(error.value, f"does not answer: {error}")
