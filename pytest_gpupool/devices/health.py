"""Health: notices devices that fall off the bus, and those that do not get their memory back from a dead worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..values.device import Device, Size
from ..values.texts import size_text
from .nvml import NvmlProbe
from .probe import DeviceFailed, Usage

LOOK_SECONDS = 2.0
"""How often every device is asked whether it is still there."""

RETURN_SECONDS = 5.0
"""How long the driver may take to free what a dead process had."""

_MEMORY_LOOK_SECONDS = 0.25
_END_SECONDS = 1.0  # a driver that hangs is not to hold up the end of the run


class Health:
    """Looks after the devices of a pool, from threads of its own.

    ``failed(device, reason)`` is called once for each device that is no good any more.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        allowed: Size | None,
        failed: Callable[[Device, str], None],
        *,
        look_seconds: float = LOOK_SECONDS,
        return_seconds: float = RETURN_SECONDS,
    ) -> None:
        self._devices = {device.id: device for device in devices}
        self._allowed = allowed
        self._failed = failed
        self._look_seconds = look_seconds
        self._return_seconds = return_seconds
        self._probe = NvmlProbe()
        self._lock = threading.Lock()
        self._reported: set[str] = set()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to look, from a thread, until :meth:`close`; the controller calls it once workers are wanted."""
        self._spawn(self._keep_looking)

    def look(self) -> list[tuple[Device, str]]:
        """Look once at every device, as a thread does now and then; return those that are lost, with the reason."""
        lost = []
        for device in self._devices.values():
            try:
                self._probe.usage(device)
            except DeviceFailed as failed:
                if failed.for_good:
                    lost.append((device, str(failed)))
        return lost

    def after_death(self, ids: Sequence[str]) -> None:
        """See, from a thread, whether these devices get back the memory that a worker had which has died."""
        for device in map(self._devices.get, ids):
            if device is not None and self._allowed is not None:
                self._spawn(lambda device=device: self._wait_for_memory(device))  # type: ignore[misc]

    def close(self) -> bool:
        """Stop looking; return whether NVML answered to the last."""
        self._closing.set()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        return not any(thread.is_alive() for thread in self._threads)

    def _spawn(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name="gpupool-health", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep_looking(self) -> None:
        with self._probe.kept():  # to start NVML takes longer than to ask it
            while not self._closing.wait(self._look_seconds):
                for device, reason in self.look():
                    self._report(device, reason)

    def _wait_for_memory(self, device: Device) -> None:
        assert self._allowed is not None
        allowed, remaining = self._allowed.of(device), self._return_seconds
        with suppress(DeviceFailed):  # what keeps looking will say it
            while (in_use := (usage := self._probe.usage(device)).memory_used or 0) > allowed:
                if remaining <= 0:
                    self._report(device, _kept_text(usage, in_use))
                    return
                remaining -= _MEMORY_LOOK_SECONDS
                if self._closing.wait(_MEMORY_LOOK_SECONDS):
                    return

    def _report(self, device: Device, reason: str) -> None:
        with self._lock:
            if device.id in self._reported:
                return
            self._reported.add(device.id)
        self._failed(device, reason)


def _kept_text(usage: Usage, in_use: int) -> str:
    pids = ", ".join(str(process.pid) for process in usage.processes)
    who = f" (NVML names pid {pids})" if pids else " (NVML names no process)"
    return f"did not give its memory back after its worker died: {size_text(in_use)} are still in use{who}"
