"""Vendors: who made the devices. The one room that names them all; a pool has devices of one vendor.

Importing this loads none of them: a worker on a host of one vendor loads nothing of the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..values.device import Device, cpu_device
from .probe import Survey
from .vendor import Vendor


def named(name: str) -> Vendor:
    """Return the vendor of that name; the first one where the name is lost, as in records of earlier versions."""
    if name == "amd":
        from .amd.vendor import Amd

        return Amd()
    from .nvidia.vendor import Nvidia

    return Nvidia()


def of(devices: Sequence[Device]) -> Vendor:
    """Return the vendor of these devices; the first one where there are none, or CPU slots.

    Its variable is the one that hides GPUs: ROCm's programs, too, obey CUDA_VISIBLE_DEVICES.
    """
    return named(devices[0].vendor if devices else "")


def survey() -> Survey:
    """Look at the devices of the first vendor of which there are any; what is wrong is in the answer."""
    surveys = []
    for vendor in _all():
        found = vendor.survey()
        if found.devices or found.broken:
            return found
        surveys.append(found)
    here = [found for found in surveys if not found.absent] or surveys[:1]
    # Where one library works, and finds nothing, that is the answer.
    working = [found for found in here if not found.problem]
    return working[0] if working else replace(here[0], problem="; ".join(str(found.problem) for found in here))


def visible_devices(environ: Mapping[str, str] | None = None) -> tuple[Device, ...]:
    """Return what a program with this environment would see: devices of one vendor, else one CPU slot."""
    host = survey()
    found = named(host.vendor).visible(os.environ if environ is None else environ, host.devices)
    return found.devices or (cpu_device(0),)


def is_service(name: bytes) -> bool:
    """Say whether a process of that name is a vendor's own, through which others' work reaches a device."""
    return any(name.startswith(beginning) for vendor in _all() for beginning in vendor.services)


def sticky_error(text: str) -> str | None:
    """Return the error in a failure's text after which its process can use its device no more, None without one."""
    return next((error for vendor in _all() if (error := vendor.sticky_error(text))), None)


def memory_error(text: str) -> str | None:
    """Return the error in an exception's text by which a device had no memory left, None without one."""
    return next((error for vendor in _all() if (error := vendor.memory_error(text))), None)


def lost_error(text: str) -> str | None:
    """Return the error in an exception's text by which a device has failed, None without one."""
    return next((error for vendor in _all() if (error := vendor.lost_error(text))), None)


def _all() -> Iterator[Vendor]:
    yield from (named(name) for name in ("nvidia", "amd"))
