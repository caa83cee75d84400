"""amdsmi: what AMD's library knows of this host's GPUs. The only importer of amdsmi.

amdsmi counts GPUs by their place on the bus, as ``amd-smi list`` shows them; ROCm's programs count them by the kernel's
topology. It ignores ROCR_VISIBLE_DEVICES.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from ...processes.cpu import limits
from ...values.device import Device
from ..probe import DeviceFailed, GpuProcess, Survey, Usage

T = TypeVar("T")

_KERNEL_DRIVER = "/dev/kfd"
_UNKNOWN = "N/A"  # what amdsmi gives for a number that the driver does not know
_NO_MODULE = (
    "there is an AMD GPU here, but the Python module amdsmi is not installed: pip install 'pytest-gpupool[rocm]'"
)


def survey() -> Survey:
    """Look at every GPU of this host. Never raises: what is wrong is in the answer."""
    has_driver = os.path.exists(_KERNEL_DRIVER)  # noqa: PTH110 - a worker has no other need of pathlib here
    if importlib.util.find_spec("amdsmi") is None:
        return Survey(vendor="amd", problem=_NO_MODULE if has_driver else "no AMD driver here", absent=not has_driver)
    try:
        with running() as smi:
            return _survey(smi)
    except DeviceFailed as failed:
        return Survey(vendor="amd", problem=str(failed), absent=not has_driver)


class SmiProbe:
    """Asks amdsmi, which it starts for each question."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep amdsmi running meanwhile. Where it does not start, do without."""
        with ExitStack() as stack:
            with suppress(DeviceFailed):
                stack.enter_context(running())
            yield

    def usage(self, device: Device) -> Usage:
        """Return who uses the device. Raises DeviceFailed where it does not answer."""
        with running() as smi:
            try:
                return _usage(smi, *find(smi, device))
            except smi.AmdSmiException as error:
                raise DeviceFailed(f"does not answer: {words(error)}") from None


@contextmanager
def running() -> Iterator[Any]:
    """Give the module amdsmi, with the library running meanwhile. Raises DeviceFailed where it does not start."""
    smi = start()
    try:
        yield smi
    finally:
        stop(smi)


def start() -> Any:
    """Start amdsmi, until as many calls of :func:`stop`; return the module. Raises DeviceFailed."""
    smi = _load()
    try:
        smi.amdsmi_init()
    except smi.AmdSmiException as error:
        raise DeviceFailed(f"amdsmi does not start: {words(error)} (try 'amd-smi list')") from None
    return smi


def stop(smi: Any) -> None:
    """Stop amdsmi."""
    with suppress(smi.AmdSmiException):
        smi.amdsmi_shut_down()


def find(smi: Any, device: Device) -> tuple[int, Any]:
    """Return a device's number and its handle. Raises DeviceFailed where it is gone."""
    for number, handle in enumerate(smi.amdsmi_get_processor_handles()):
        with suppress(smi.AmdSmiException):
            if _id(smi, handle) == device.id:
                return number, handle
    raise DeviceFailed("is gone", for_good=True)


def told(smi: Any, question: Callable[[], T]) -> T | None:
    """Return amdsmi's answer, None where this device or driver has none."""
    try:
        return question()
    except (smi.AmdSmiException, AttributeError):  # an older amdsmi lacks the function
        return None


def number(value: object) -> int | None:
    """Return a number as amdsmi tells it, None for its words of not knowing."""
    return value if isinstance(value, int) else None


def words(error: Any) -> str:
    """Return what an error of amdsmi's says, in one line."""
    # AMDSMI_STATUS_NO_PERM - Permission Denied
    return str(getattr(error, "err_info", None) or error).rpartition(" - ")[2].strip() or type(error).__name__


def processes(smi: Any, place: int, handle: Any) -> tuple[list[GpuProcess], list[GpuProcess]]:
    """Return who computes on a device, and who only draws."""
    listed = {known["pid"]: _process(known) for known in smi.amdsmi_get_gpu_process_list(handle)}
    computing = told(smi, lambda: {known["process_id"] for known in smi.amdsmi_get_gpu_compute_process_info()})
    if computing is None:
        return list(listed.values()), []
    # The first list lacks other users' processes; the kernel's own tells of all that compute, and where.
    hidden = [pid for pid in computing - listed.keys() if place in _places(smi, pid)]
    drawing = [process for pid, process in listed.items() if pid not in computing]
    others = [GpuProcess(pid=pid, memory=None) for pid in hidden]
    return [process for pid, process in listed.items() if pid in computing] + others, drawing


def cores(device: Device) -> frozenset[int] | None:
    """Return the numbers of the cores near a device, None where amdsmi does not tell."""
    try:
        with running() as smi:
            _, handle = find(smi, device)
            node = told(smi, lambda: smi.amdsmi_topo_get_numa_node_number(handle))
    except DeviceFailed:
        return None
    return None if node is None else limits.cores_of_node(node)


def _load() -> Any:
    # Without the library this prints, and raises what comes to hand (KeyError).
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            import amdsmi
        except Exception as error:
            raise DeviceFailed(f"amdsmi cannot be loaded, is ROCm's amd-smi-lib installed? {error!r}") from None
    return amdsmi


def _survey(smi: Any) -> Survey:
    devices: list[Device] = []
    broken: list[str] = []
    order: list[int | None] = []
    try:
        handles: Sequence[Any] = smi.amdsmi_get_processor_handles()
    except smi.AmdSmiException as error:
        raise DeviceFailed(f"amdsmi finds nothing: {words(error)} (try 'amd-smi list')") from None
    for place, handle in enumerate(handles):
        counted = _enumeration(smi, handle)
        try:
            devices.append(_device(smi, place, handle, counted.get("hip_uuid")))
        except smi.AmdSmiException as error:
            broken.append(f"GPU {place} does not answer: {words(error)}; the pool goes on without it")
            continue
        order.append(number(counted.get("hip_id", place)))
    return Survey(
        vendor="amd",
        devices=tuple(devices),
        broken=tuple(broken),
        driver=_driver(smi, handles),
        by_uuid=_why_by_uuid(devices, order, broken),
    )


def _why_by_uuid(devices: Sequence[Device], order: Sequence[int | None], broken: Sequence[str]) -> str | None:
    if broken:
        return f"{broken[0].partition(' does')[0]} does not answer, and ROCm may number the others without it"
    if any(place not in (device.index, None) for device, place in zip(devices, order, strict=True)):
        return "ROCm numbers the GPUs otherwise than amd-smi"
    return None


def _device(smi: Any, place: int, handle: Any, hip_uuid: str | None) -> Device:
    names = smi.amdsmi_get_gpu_asic_info(handle)
    serial = names["asic_serial"]
    return Device(
        id=_id(smi, handle),
        kind="gpu",
        index=place,
        name=names["market_name"],
        memory_total=told(smi, lambda: int(smi.amdsmi_get_gpu_memory_total(handle, smi.AmdSmiMemoryType.VRAM))),
        legacy_id=hip_uuid or (None if serial == _UNKNOWN else f"GPU-{int(serial, 16):016x}"),
        vendor="amd",
    )


def _id(smi: Any, handle: Any) -> str:
    return f"GPU-{smi.amdsmi_get_gpu_device_uuid(handle)}"


def _usage(smi: Any, place: int, handle: Any) -> Usage:
    vram = smi.AmdSmiMemoryType.VRAM
    used = told(smi, lambda: int(smi.amdsmi_get_gpu_memory_usage(handle, vram)))
    total = told(smi, lambda: int(smi.amdsmi_get_gpu_memory_total(handle, vram)))
    computing, drawing = processes(smi, place, handle)
    return Usage(
        processes=tuple(computing),
        graphics=tuple(drawing),
        memory_used=used,
        memory_free=None if used is None or total is None else max(0, total - used),
    )


def _process(known: dict[str, Any]) -> GpuProcess:
    memory = known.get("memory_usage", {}).get("vram_mem", known.get("mem"))
    return GpuProcess(pid=known["pid"], memory=number(memory))


def _places(smi: Any, pid: int) -> list[int]:
    return told(smi, lambda: list(smi.amdsmi_get_gpu_compute_process_gpus(pid))) or []


def _enumeration(smi: Any, handle: Any) -> dict[str, Any]:
    return told(smi, lambda: dict(smi.amdsmi_get_gpu_enumeration_info(handle))) or {}


def _driver(smi: Any, handles: Sequence[Any]) -> str | None:
    if not handles:
        return None
    known = told(smi, lambda: smi.amdsmi_get_gpu_driver_info(handles[0]))
    return None if known is None else str(known["driver_version"])
