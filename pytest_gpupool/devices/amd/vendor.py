"""AMD, as a vendor: its words, and which of its rooms answers what. Importing it loads none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...processes.own import clock
from ...values.device import Device, Export
from ..probe import LibraryProbe, Survey
from ..vendor import Meter, Visible


class Amd:
    """See :class:`vendor.Vendor`."""

    name = "amd"
    runtime = "HIP"
    library = "amdsmi"
    tool = "amd-smi list"
    variable = "ROCR_VISIBLE_DEVICES"
    services: tuple[bytes, ...] = ()

    def survey(self) -> Survey:
        """Ask amdsmi."""
        from .smi import survey

        return survey()

    def probe(self) -> LibraryProbe:
        """Return amdsmi's."""
        from .smi import SmiProbe

        return SmiProbe()

    def meter(self, devices: Sequence[Device], *, clock: Callable[[], float] = clock.monotonic) -> Meter:
        """Return amdsmi's."""
        from .meter import Meter

        return Meter(devices, clock=clock)

    def cores(self, device: Device) -> frozenset[int] | None:
        """Ask amdsmi for the memory node, and the kernel for its cores."""
        from .smi import cores

        return cores(device)

    def visible(self, environ: Mapping[str, str], devices: Sequence[Device]) -> Visible:
        """Apply ROCR_VISIBLE_DEVICES, by ROCR's rules."""
        from .visible import read_environment

        return read_environment(environ.get(self.variable), devices)

    def doubts(self, environ: Mapping[str, str], host: Survey) -> tuple[str, ...]:
        """Name HIP's own filters, which this leaves alone."""
        from .visible import doubts

        return doubts(environ, host.by_uuid)

    def export(self, devices: Sequence[Device], how: Export) -> dict[str, str]:
        """Write ROCR_VISIBLE_DEVICES, and nothing else."""
        from .visible import export

        return export(devices, how)

    def has_server(self, environ: Mapping[str, str]) -> bool:
        """There is none."""
        return False

    def is_initialised(self) -> bool:
        """Ask torch, where it is loaded: HIP itself cannot be asked without beginning to use it."""
        from ..torch.presence import is_initialised

        return is_initialised()

    def strangers(self, devices: Sequence[Device]) -> tuple[str, ...] | None:
        """HIP's devices have no UUIDs that could be asked for without its headers' layouts: that is not told."""
        return None

    def shows_exactly(self, devices: Sequence[Device], environ: Mapping[str, str | None]) -> bool:
        """Compare ROCR_VISIBLE_DEVICES with what it could be."""
        from .visible import shows_exactly

        return shows_exactly(devices, environ)

    def sticky_error(self, text: str) -> str | None:
        """Look for HIP's."""
        from .faults import FAULTS

        return FAULTS.find(text)

    def memory_error(self, text: str) -> str | None:
        """Look for HIP's, and those of its libraries."""
        from .faults import MEMORY

        return MEMORY.find(text)

    def lost_error(self, text: str) -> str | None:
        """Look for HIP's."""
        from .faults import LOST

        return LOST.find(text)
