"""NVIDIA, as a vendor: its words, and which of its rooms answers what. Importing it loads none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...processes import table
from ...processes.own import clock
from ...values.device import Device, Export
from ..probe import LibraryProbe, Survey
from ..vendor import Meter, Visible


class Nvidia:
    """See :class:`vendor.Vendor`."""

    name = "nvidia"
    runtime = "CUDA"
    library = "NVML"
    tool = "nvidia-smi"
    variable = "CUDA_VISIBLE_DEVICES"
    services: tuple[bytes, ...] = (
        b"nvidia-cuda-mps",
    )  # nvidia-cuda-mps-server and -control, cut to 15 characters as the kernel does

    def survey(self) -> Survey:
        """Ask NVML."""
        from .nvml import survey

        return survey()

    def probe(self) -> LibraryProbe:
        """Return NVML's."""
        from .nvml import NvmlProbe

        return NvmlProbe()

    def meter(self, devices: Sequence[Device], *, clock: Callable[[], float] = clock.monotonic) -> Meter:
        """Return NVML's."""
        from .meter import Meter

        return Meter(devices, clock=clock)

    def cores(self, device: Device) -> frozenset[int] | None:
        """Ask NVML."""
        from .nvml import cores

        return cores(device)

    def visible(self, environ: Mapping[str, str], devices: Sequence[Device]) -> Visible:
        """Apply CUDA_VISIBLE_DEVICES, by CUDA's rules."""
        from .visible import read_environment

        return read_environment(environ.get(self.variable), devices)

    def doubts(self, environ: Mapping[str, str], host: Survey) -> tuple[str, ...]:
        """Compare NVML's numbers with CUDA's."""
        from .visible import doubts

        return doubts(environ, host)

    def export(self, devices: Sequence[Device], how: Export) -> dict[str, str]:
        """Write CUDA_VISIBLE_DEVICES, and CUDA_DEVICE_ORDER with indices."""
        from .visible import export

        return export(devices, how)

    def has_server(self, environ: Mapping[str, str]) -> bool:
        """Look for MPS: its processes, or in a container the variable that says where they are to be spoken to."""
        if "CUDA_MPS_PIPE_DIRECTORY" in environ:
            return True
        return any(known.name.startswith(self.services) for known in table.all_processes().values())

    def is_initialised(self) -> bool:
        """Ask torch and the driver, where they are loaded."""
        from .cuda import is_initialised

        return is_initialised()

    def strangers(self, devices: Sequence[Device]) -> tuple[str, ...] | None:
        """Ask the driver, where it is loaded."""
        from .cuda import strangers

        return strangers(devices)

    def shows_exactly(self, devices: Sequence[Device], environ: Mapping[str, str | None]) -> bool:
        """Compare CUDA_VISIBLE_DEVICES with what it could be."""
        from .visible import shows_exactly

        return shows_exactly(devices, environ)

    def sticky_error(self, text: str) -> str | None:
        """Look for CUDA's."""
        from .faults import FAULTS

        return FAULTS.find(text)

    def memory_error(self, text: str) -> str | None:
        """Look for CUDA's, and those of its libraries."""
        from .faults import MEMORY

        return MEMORY.find(text)

    def lost_error(self, text: str) -> str | None:
        """Look for CUDA's."""
        from .faults import LOST

        return LOST.find(text)
