"""The probe: what any vendor's library is asked of devices, and the answers. A vendor's own room does the asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..values.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one look at the host found.

    ``problem`` says why no vendor's library could be asked; ``broken`` has a line for each GPU that does not answer.
    """

    devices: tuple[Device, ...] = ()
    broken: tuple[str, ...] = ()
    problem: str | None = None
    driver: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that has memory on a device; ``memory`` is in bytes, None where that is not told (containers)."""

    pid: int
    memory: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Who uses a device at this moment.

    ``memory_used`` and ``memory_free`` are in bytes, neither with what the driver keeps for itself; None where the
    driver (before R510) cannot tell that apart from what is used.
    """

    processes: tuple[GpuProcess, ...]
    memory_used: int | None
    memory_free: int | None = None


class DeviceFailed(Exception):
    """A device does not answer; the text says how, ``for_good`` whether waiting can help."""

    def __init__(self, text: str, *, for_good: bool = False) -> None:
        super().__init__(text)
        self.for_good = for_good


class Probe(Protocol):
    """What leases ask of the machine; tests may stand in for it."""

    def usage(self, device: Device) -> Usage:
        """Return who uses the device. Raises DeviceFailed where it does not answer."""
