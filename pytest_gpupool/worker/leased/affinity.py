"""Affinity: a worker runs on the cores near its devices, from which their memory and their bus are nearest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ...devices import vendors
from ...processes.own.system import os
from ...values.device import Device

Cores = frozenset[int]


def near(devices: Sequence[Device], usable: Cores) -> tuple[Cores | None, str | None]:
    """Return those of the cores that are near any of these devices, or None and why there are none."""
    vendor = vendors.of(devices)
    found: set[int] = set()
    for device in devices:
        cores = vendor.cores(device)
        if cores is None:
            return None, f"{vendor.library} does not say which cores are near {device.label}"
        found |= cores
    if not usable & found:
        return None, f"this process may use none of the cores near {', '.join(device.label for device in devices)}"
    return usable & found, None


def problem_of(devices: Sequence[Device]) -> str | None:
    """Say why workers of these devices cannot be pinned to cores, of the first one for which that is so."""
    usable = _usable()
    if usable is None:
        return "this system pins no process to cores"
    if not devices:
        return "there is no GPU"
    return next(filter(None, (near([device], usable)[1] for device in devices)), None)


class Pin:
    """Pins this process, and all that it starts from now on, to cores; later ones are chosen from its first cores."""

    def __init__(self) -> None:
        self._before = _usable()

    def to(self, devices: Sequence[Device]) -> int | None:
        """Pin it near these devices; return to how many cores, None where it stays as it was at first."""
        gpus = [device for device in devices if device.is_gpu]
        if self._before is None or not gpus:
            return None
        cores, _ = near(gpus, self._before)
        _run_on(self._before if cores is None else cores)
        return None if cores is None else len(cores)

    def restore(self) -> None:
        """Let it run again where it could at first."""
        if self._before is not None:
            _run_on(self._before)


def _run_on(cores: Cores) -> None:
    with suppress(OSError):  # they may have been taken from this container since
        os.sched_setaffinity(0, cores)


def _usable() -> Cores | None:
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
