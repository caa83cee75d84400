"""The meter: what amdsmi says of devices again and again.

A question that a device does not answer is asked again: amdsmi tells no difference between "never" and "not now". What
its readings mean: bytes, per cent, °C; energy is a counter in steps of so many microjoules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ...processes.own import clock
from ...values.device import Device
from ..probe import DeviceFailed, GpuProcess
from ..readings import Count, Levels
from . import smi as backend

_MICRO = 1e-6


class Meter:
    """Reads devices. It belongs to the process and the thread that open it."""

    def __init__(self, devices: Sequence[Device], *, clock: Callable[[], float] = clock.monotonic) -> None:
        self._devices = [device for device in devices if device.is_gpu]
        self._clock = clock
        self._found: dict[str, tuple[int, Any]] = {}
        self._is_open = False
        self._smi: Any = None
        self.lost = False

    def open(self) -> None:
        """Start amdsmi. Where it does not start, nothing is known of any device; a second call does nothing."""
        if self._is_open:
            return
        self._is_open = True
        try:
            self._smi = backend.start()
        except DeviceFailed:
            return
        for device in self._devices:
            try:
                self._found[device.id] = backend.find(self._smi, device)
            except DeviceFailed:
                self.lost = True

    def close(self) -> None:
        """Stop amdsmi; a second call does nothing."""
        self._found = {}
        if self._smi is not None:
            backend.stop(self._smi)
            self._smi = None

    def energy(self) -> dict[str, Count]:
        """Return how much energy (J) the GPUs have used, or how much they use (W), by their ids."""
        counts = ((id_, self._energy(handle)) for id_, (_, handle) in self._found.items())
        return {id_: count for id_, count in counts if count is not None}

    def levels(self) -> dict[str, Levels]:
        """Return what each device says now, by its id."""
        return {id_: self._levels(handle) for id_, (_, handle) in self._found.items()}

    def processes(self) -> dict[str, tuple[GpuProcess, ...]]:
        """Return the processes that compute on each device that tells, by its id."""
        found = ((id_, self._computing(place, handle)) for id_, (place, handle) in self._found.items())
        return {id_: tuple(computing) for id_, computing in found if computing is not None}

    def _computing(self, place: int, handle: Any) -> list[GpuProcess] | None:
        both = backend.told(self._smi, lambda: backend.processes(self._smi, place, handle))
        return None if both is None else both[0]

    def _energy(self, handle: Any) -> Count | None:
        smi, moment = self._smi, self._clock()
        known = backend.told(smi, lambda: smi.amdsmi_get_energy_count(handle))
        if known is not None:
            steps = known.get("energy_accumulator", known.get("power"))  # its name before ROCm 6.2
            return Count(moment, total=steps * known["counter_resolution"] * _MICRO)
        power = backend.told(smi, lambda: smi.amdsmi_get_power_info(handle)) or {}
        watts = backend.number(power.get("average_socket_power"))
        if watts is None:
            watts = backend.number(power.get("current_socket_power"))
        return None if watts is None else Count(moment, rate=float(watts))

    def _levels(self, handle: Any) -> Levels:
        smi = self._smi
        activity = backend.told(smi, lambda: smi.amdsmi_get_gpu_activity(handle)) or {}
        busy = backend.number(activity.get("gfx_activity"))
        return Levels(
            memory=backend.told(smi, lambda: int(smi.amdsmi_get_gpu_memory_usage(handle, smi.AmdSmiMemoryType.VRAM))),
            utilization=None if busy is None else float(busy),
            temperature=self._temperature(handle),
            throttled=self._throttled(handle),
        )

    def _temperature(self, handle: Any) -> float | None:
        smi = self._smi
        # Large GPUs have no sensor at the edge.
        for sensor in (smi.AmdSmiTemperatureType.HOTSPOT, smi.AmdSmiTemperatureType.EDGE):
            question = partial(smi.amdsmi_get_temp_metric, handle, sensor, smi.AmdSmiTemperatureMetric.CURRENT)
            celsius = backend.told(smi, question)
            if celsius is not None:
                return float(celsius)
        return None

    def _throttled(self, handle: Any) -> bool | None:
        smi = self._smi
        known = backend.told(smi, lambda: smi.amdsmi_get_violation_status(handle)) or {}
        # Not the power limit, which a large GPU at work is always at.
        reasons = ("active_prochot_thrm", "active_socket_thrm", "active_vr_thrm", "active_hbm_thrm")
        told = [known[reason] for reason in reasons if isinstance(known.get(reason), bool)]
        return any(told) if told else None
