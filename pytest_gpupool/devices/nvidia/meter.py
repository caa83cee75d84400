"""The meter: what NVML says of devices again and again, at little cost.

A question that a device does not support is asked once. One that fails otherwise has no answer this time; where the
device is lost, that is known until it answers again.

A MIG instance is asked for its memory and its processes alone: utilisation NVML does not have, and the clocks, the
power and the temperature are those of the whole GPU, on which others work as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ...processes.own import clock
from ...values.device import Device
from ..probe import DeviceFailed, GpuProcess
from ..readings import Count, Levels
from . import nvml as backend

THROTTLING = {
    0x08: "the hardware slows the clocks down, to a half or less",
    0x20: "the driver slows the clocks down, because the GPU or its memory is too hot",
    0x40: "the hardware slows the clocks down, because it is too hot",
    0x80: "the hardware slows the clocks down, because the power supply asks for it",
}
"""NVML's reasons for other clocks (NvmlClocksEventReasons in its API reference) that mean something is wrong.

Not among them: an idle GPU (0x01), clocks that were set (0x02, 0x100) or are kept in step with others' (0x10), limits
of the board or of its voltage (0x200, 0x400), and the power limit (0x04), which a large GPU at work is always at.
"""

_THROTTLING = sum(THROTTLING)

_OF_MIG = ("memory", "processes")
_OF_GPU = (*_OF_MIG, "utilization", "temperature", "reasons", "energy", "power")


class Meter:
    """Reads devices. It belongs to the process and the thread that open it."""

    def __init__(self, devices: Sequence[Device], *, clock: Callable[[], float] = clock.monotonic) -> None:
        self._devices = [device for device in devices if device.is_gpu]
        self._clock = clock
        self._gauges: list[_Gauge] = []
        self._is_open = False
        # Not a context manager: a child that this process forks would stop its parent's NVML when it forgets that.
        self._nvml: Any = None

    def open(self) -> None:
        """Start NVML. Where it does not start, nothing is known of any device; a second call does nothing."""
        if self._is_open:
            return
        self._is_open = True
        try:
            self._nvml = backend.start()
        except DeviceFailed:
            return
        self._gauges = [_Gauge(self._nvml, device) for device in self._devices]

    def close(self) -> None:
        """Stop NVML; a second call does nothing."""
        self._gauges = []
        if self._nvml is not None:
            backend.stop(self._nvml)
            self._nvml = None

    @property
    def lost(self) -> bool:
        """Whether a device was lost when it was asked last."""
        return any(gauge.lost for gauge in self._gauges)

    def energy(self) -> dict[str, Count]:
        """Return how much energy (J) the whole GPUs have used, by their ids; how much they use (W) where that is known.

        One that tells neither is not among them, nor is a MIG instance.
        """
        counts = ((gauge.device.id, gauge.energy(self._clock)) for gauge in self._gauges if gauge.device.kind == "gpu")
        return {id_: count for id_, count in counts if count is not None}

    def levels(self) -> dict[str, Levels]:
        """Return what each device says now, by its id."""
        return {gauge.device.id: gauge.levels() for gauge in self._gauges}

    def processes(self) -> dict[str, tuple[GpuProcess, ...]]:
        """Return the compute processes on each device that tells, by its id; a display's are no compute processes.

        The driver takes milliseconds for it on some machines, with a lock of its own held.
        """
        found = ((gauge.device.id, gauge.ask("processes")) for gauge in self._gauges)
        return {id_: processes for id_, processes in found if processes is not None}


class _Gauge:
    """One device."""

    def __init__(self, nvml: Any, device: Device) -> None:
        self.device = device
        self.lost = False
        self._nvml = nvml
        self._queries: dict[str, Callable[[], Any]] = {}  # none while the device has not been found
        self._unsupported = {*_OF_GPU}.difference(_OF_GPU if device.kind == "gpu" else _OF_MIG)

    def energy(self, clock: Callable[[], float]) -> Count | None:
        moment = clock()
        total = self.ask("energy")
        if total is not None:
            return Count(moment, total=total)
        # Only where there is no counter: one that fails this time says more the next time.
        power = self.ask("power") if "energy" in self._unsupported else None
        return None if power is None else Count(moment, rate=power)

    def levels(self) -> Levels:
        reasons = self.ask("reasons")
        return Levels(
            memory=self.ask("memory"),
            utilization=self.ask("utilization"),
            temperature=self.ask("temperature"),
            throttled=None if reasons is None else bool(reasons & _THROTTLING),
        )

    def ask(self, name: str) -> Any:
        """Return the answer, None where there is none."""
        if name in self._unsupported:
            return None
        nvml = self._nvml
        try:
            if not self._queries:
                self._queries = _queries(nvml, nvml.nvmlDeviceGetHandleByUUID(self.device.id))
            answer = self._queries[name]()
        except nvml.NVMLLibraryMismatchError:  # an old driver lacks this version of the question
            self._unsupported.add(name)
            return None
        except nvml.NVMLError as error:
            self._failed(name, error.value)
            return None
        self.lost = False
        return answer

    def _failed(self, name: str, code: int) -> None:
        nvml = self._nvml
        if code in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED):
            self.lost = True
        elif not self._queries:
            self.lost = self.lost or code == nvml.NVML_ERROR_NOT_FOUND
        elif code in (
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
            nvml.NVML_ERROR_NO_PERMISSION,
        ):
            self._unsupported.add(name)


def _queries(nvml: Any, handle: Any) -> dict[str, Callable[[], Any]]:
    def function(*names: str, args: Sequence[Any] = ()) -> Callable[[], Any]:
        return _first_known(nvml, [partial(known, handle, *args) for known in _bound(nvml, names)])

    sensor = (nvml.NVML_TEMPERATURE_GPU,)
    memory = function("nvmlDeviceGetMemoryInfo", args=(nvml.nvmlMemory_v2,))  # without what the driver keeps for itself
    utilization = function("nvmlDeviceGetUtilizationRates")
    processes = function("nvmlDeviceGetComputeRunningProcesses")
    energy = function("nvmlDeviceGetTotalEnergyConsumption")
    power = function("nvmlDeviceGetPowerUsage")
    return {
        "memory": lambda: int(memory().used),
        "utilization": lambda: float(utilization().gpu),
        "temperature": function("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV", args=sensor),
        "reasons": function("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"),
        "energy": lambda: energy() / 1000,
        "power": lambda: power() / 1000,
        "processes": lambda: tuple(GpuProcess(pid=one.pid, memory=one.usedGpuMemory) for one in processes()),
    }


def _bound(nvml: Any, names: Sequence[str]) -> list[Callable[..., Any]]:
    # Now, not when they are called: a test may put its own in their place, and is not to be asked.
    return [getattr(nvml, name) for name in names if hasattr(nvml, name)]


def _first_known(nvml: Any, functions: list[Callable[[], Any]]) -> Callable[[], Any]:
    """Return what asks the first of these functions that the driver has: their names change over the years."""

    def ask() -> Any:
        while functions:
            try:
                return functions[0]()
            except nvml.NVMLError as error:
                if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
                    raise
                del functions[0]
        raise nvml.NVMLError(nvml.NVML_ERROR_FUNCTION_NOT_FOUND)

    return ask
