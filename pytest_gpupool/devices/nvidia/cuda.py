"""CUDA in this process: whether it is initialised, so that the process sees its GPUs for good, and which these are.

Asks without loading anything: neither torch nor the driver's library.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

from ...values.device import Device
from ..torch import presence

_NOT_INITIALIZED = 3  # CUDA_ERROR_NOT_INITIALIZED of cuda.h
_UUID_BYTES = 16
_UUID = re.compile("-".join(f"[0-9a-fA-F]{{{digits}}}" for digits in (8, 4, 4, 4, 12)))


def is_initialised(modules: Mapping[str, ModuleType] | None = None) -> bool:
    """Return whether torch or anything else in this process has called cuInit."""
    return presence.is_initialised(modules) or _driver_is_initialised()


def strangers(devices: Sequence[Device]) -> tuple[str, ...] | None:
    """Return the ids of those devices that CUDA sees in this process and that are not among ``devices``.

    None while CUDA is not initialised. A device of which the driver does not tell is left out.
    """
    seen = _uuids_seen()
    if seen is None:
        return None
    # Of a MIG instance an old driver tells the GPU's; its legacy id has that.
    own = {found.lower() for device in devices for found in _UUID.findall(f"{device.id} {device.legacy_id}")}
    kinds = {device.kind for device in devices}
    prefix = "MIG-" if kinds == {"mig"} else "GPU-"
    return tuple(f"{prefix}{uuid}" for uuid in seen if uuid not in own)


def _driver_is_initialised() -> bool:
    driver = _loaded_driver()
    return driver is not None and int(driver.cuDeviceGetCount(ctypes.byref(ctypes.c_int()))) != _NOT_INITIALIZED


def _uuids_seen() -> list[str] | None:
    """Return the UUIDs of what CUDA sees, None while it is not initialised."""
    driver, count = _loaded_driver(), ctypes.c_int()
    if driver is None:
        return None
    error = int(driver.cuDeviceGetCount(ctypes.byref(count)))
    if error == _NOT_INITIALIZED:
        return None
    return [] if error else list(_uuids(driver, count.value))


def _uuids(driver: ctypes.CDLL, count: int) -> Iterator[str]:
    ask = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid  # the older one knows no MIG instance
    for ordinal in range(count):
        device, uuid = ctypes.c_int(), (ctypes.c_ubyte * _UUID_BYTES)()
        if not driver.cuDeviceGet(ctypes.byref(device), ordinal) and not ask(ctypes.byref(uuid), device):
            digits = bytes(uuid).hex()
            yield "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _loaded_driver() -> ctypes.CDLL | None:
    """Return the driver's library where this process has loaded it; it is not loaded for the question."""
    try:
        return ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        return None
