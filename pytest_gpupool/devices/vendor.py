"""The vendor: all that the pool asks of whoever made the devices. ``nvidia.vendor`` and ``amd.vendor`` answer.

For another vendor write a part beside these two, and name it in the room ``vendors``; nothing else has to change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..values.device import Device, Export
from .probe import GpuProcess, LibraryProbe, Survey
from .readings import Count, Levels


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """The devices that an environment's list leaves, in the list's order, and what to warn of."""

    devices: tuple[Device, ...]
    warning: str | None = None


class Meter(Protocol):
    """Reads devices again and again, at little cost. It belongs to the process and the thread that open it."""

    def open(self) -> None:
        """Start the library. Where it does not start, nothing is known of any device; a second call does nothing."""

    def close(self) -> None:
        """Stop the library; a second call does nothing."""

    @property
    def lost(self) -> bool:
        """Whether a device was lost when it was asked last."""

    def energy(self) -> dict[str, Count]:
        """Return how much energy (J) the devices that tell have used, by their ids."""

    def levels(self) -> dict[str, Levels]:
        """Return what each device says now, by its id."""

    def processes(self) -> dict[str, tuple[GpuProcess, ...]]:
        """Return the processes that compute on each device that tells, by its id."""


class Vendor(Protocol):
    """A maker of devices: its library, its environment variable, its words."""

    name: str
    """What :attr:`Device.vendor` has."""
    runtime: str
    """What its programs compute with, as their errors call it."""
    library: str
    """What tells of its devices, as people call it."""
    tool: str
    """The program that shows them to people."""
    variable: str
    """The environment variable that names the visible devices."""
    services: tuple[bytes, ...]
    """How the names of its own programs begin through which others' work reaches a device, 15 bytes at most."""

    def survey(self) -> Survey:
        """Look at every device of this host. Never raises: what is wrong is in the answer."""

    def probe(self) -> LibraryProbe:
        """Return what tells who uses a device, and whether it still answers."""

    def meter(self, devices: Sequence[Device], *, clock: Callable[[], float]) -> Meter:
        """Return what reads these devices."""

    def cores(self, device: Device) -> frozenset[int] | None:
        """Return the numbers of the cores near a device, None where that is not known."""

    def visible(self, environ: Mapping[str, str], devices: Sequence[Device]) -> Visible:
        """Return those of the host's devices that a program with this environment sees."""

    def doubts(self, environ: Mapping[str, str], host: Survey) -> tuple[str, ...]:
        """Return what else in this environment may name or hide devices otherwise than meant, and what to set."""

    def export(self, devices: Sequence[Device], how: Export) -> dict[str, str]:
        """Return the variables that make exactly these devices visible, in this order; none of them hides all."""

    def has_server(self, environ: Mapping[str, str]) -> bool:
        """Return whether a server of the vendor's lets programs use a device together that lets one process in."""

    def is_initialised(self) -> bool:
        """Return whether this process has begun to compute on devices: it then sees its devices for good.

        Asks without loading anything.
        """

    def strangers(self, devices: Sequence[Device]) -> tuple[str, ...] | None:
        """Return the ids of devices that this process sees for good and that are not among these.

        None while it sees none for good, or where that cannot be told.
        """

    def shows_exactly(self, devices: Sequence[Device], environ: Mapping[str, str | None]) -> bool:
        """Return whether these variables, however spelled, show these devices and no others, in this order."""

    def sticky_error(self, text: str) -> str | None:
        """Return the error in a failure's text after which its process can use its device no more, None without one."""

    def memory_error(self, text: str) -> str | None:
        """Return the error in an exception's text by which a device had no memory left, None without one."""

    def lost_error(self, text: str) -> str | None:
        """Return the error in an exception's text by which a device has failed, None without one."""
