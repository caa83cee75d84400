"""The probe: what any vendor's library is asked of devices, and the answers. A vendor's own rooms do the asking."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from ..values.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one look at the host found. All of it is of one vendor, whose name is ``vendor``.

    ``problem`` says why its library could not be asked; ``absent`` that nothing here is of its make; ``broken`` has a
    line for each GPU that does not answer. ``by_uuid`` says why a program may number the devices otherwise than the
    library, so that only their UUIDs name them for sure; None where the numbers agree. ``exclusive`` has, by the ids of
    devices that one process at a time may use, how that is called and ended.
    """

    devices: tuple[Device, ...] = ()
    broken: tuple[str, ...] = ()
    problem: str | None = None
    driver: str | None = None
    vendor: str = ""
    absent: bool = False
    by_uuid: str | None = None
    exclusive: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that uses a device; ``memory`` is in bytes, None where that is not told (containers).

    In a container ``pid`` may be the number that the process has outside.
    """

    pid: int
    memory: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Who uses a device at this moment.

    ``processes`` compute on it, those that do so through a server of the vendor's (MPS) included; ``graphics`` are
    those that only draw. ``memory_used`` and ``memory_free`` are in bytes, neither with what the driver keeps for
    itself; None where the driver (before R510) cannot tell that apart from what is used. ``forbidden`` says why no
    program at all may use it, and how that is ended.
    """

    processes: tuple[GpuProcess, ...]
    memory_used: int | None
    memory_free: int | None = None
    graphics: tuple[GpuProcess, ...] = ()
    forbidden: str | None = None


class DeviceFailed(Exception):
    """A device does not answer; the text says how, ``for_good`` whether waiting can help."""

    def __init__(self, text: str, *, for_good: bool = False) -> None:
        super().__init__(text)
        self.for_good = for_good


class Probe(Protocol):
    """What leases ask of the machine; tests may stand in for it."""

    def usage(self, device: Device) -> Usage:
        """Return who uses the device. Raises DeviceFailed where it does not answer."""


class LibraryProbe(Probe, Protocol):
    """A probe that asks a vendor's library, which it starts for each question."""

    def kept(self) -> AbstractContextManager[None]:
        """Keep the library running meanwhile: to start it takes longer than to ask."""
