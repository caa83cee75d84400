"""Whether CUDA is already initialised in this process, which then sees its GPUs for good.

Asks without loading anything: neither torch nor the driver's library.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from types import ModuleType

_NOT_INITIALIZED = 3  # CUDA_ERROR_NOT_INITIALIZED of cuda.h


def is_initialised(modules: Mapping[str, ModuleType] | None = None) -> bool:
    """Return whether torch or anything else in this process has called cuInit."""
    torch_cuda = (sys.modules if modules is None else modules).get("torch.cuda")
    asked = getattr(torch_cuda, "is_initialized", None)
    return bool(asked is not None and asked()) or _driver_is_initialised()


def importer_of_torch(modules: Mapping[str, ModuleType] | None = None) -> str | None:
    """Return the name of the module that loaded torch, None where torch is not loaded or it cannot be told.

    ``sys.modules`` keeps the order in which imports ended: who imported torch comes next after it, and has it, or a
    part of it, among its names.
    """
    modules = sys.modules if modules is None else modules
    if "torch" not in modules:
        return None
    names = list(modules)
    later = names.index("torch") + 1
    for name in names[later:] + names[:later]:
        if name.partition(".")[0] != "torch" and any(map(_is_of_torch, _values(modules[name]))):
            return name
    return None


def _values(module: object) -> list[object]:
    # sys.modules may hold anything.
    names = getattr(module, "__dict__", None)
    return list(names.values()) if isinstance(names, dict) else []


def _is_of_torch(value: object) -> bool:
    try:
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    except Exception:  # a lazy object's attributes may do anything
        return False
    return isinstance(name, str) and (name == "torch" or name.startswith("torch."))


def _driver_is_initialised() -> bool:
    try:
        driver = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        return False
    count = ctypes.c_int()
    return int(driver.cuDeviceGetCount(ctypes.byref(count))) != _NOT_INITIALIZED
