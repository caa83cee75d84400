"""Torch in this process: whether it is loaded and uses devices, and the memory that it takes of them.

Asks without loading anything. torch calls its devices ``cuda``, whoever made them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any


def is_initialised(modules: Mapping[str, ModuleType] | None = None) -> bool:
    """Return whether torch has begun to compute on devices in this process."""
    asked = getattr((sys.modules if modules is None else modules).get("torch.cuda"), "is_initialized", None)
    return bool(asked is not None and asked())


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


def has_torch(modules: Mapping[str, ModuleType] | None = None) -> bool:
    """Return whether torch is loaded in this process."""
    return "torch.cuda" in (sys.modules if modules is None else modules)


def torch_peak(modules: Mapping[str, ModuleType] | None = None) -> int | None:
    """Return the most bytes that torch has held on a device since :func:`forget_peak`, None where it used none."""
    cuda = _torch_cuda(modules)
    if cuda is None:
        return None
    with suppress(Exception):  # after a sticky error any call may fail
        return max((int(cuda.max_memory_reserved(number)) for number in range(cuda.device_count())), default=None)
    return None


def forget_peak(modules: Mapping[str, ModuleType] | None = None) -> None:
    """Let torch begin a new peak."""
    cuda = _torch_cuda(modules)
    with suppress(Exception):
        for number in range(cuda.device_count() if cuda is not None else 0):
            cuda.reset_peak_memory_stats(number)


def give_back_cache(modules: Mapping[str, ModuleType] | None = None) -> None:
    """Let torch return the memory that it keeps for later, which others on the device may need."""
    cuda = _torch_cuda(modules)
    if cuda is not None:
        with suppress(Exception):
            cuda.empty_cache()


def cap_memory(fraction: float, modules: Mapping[str, ModuleType] | None = None) -> None:
    """Hold torch to that fraction of each device's memory, from the first use of CUDA on."""
    cuda: Any = (sys.modules if modules is None else modules).get("torch.cuda")
    if cuda is None or not hasattr(cuda, "set_per_process_memory_fraction"):
        return

    def cap() -> None:
        with suppress(Exception):
            for number in range(cuda.device_count()):
                cuda.set_per_process_memory_fraction(fraction, number)

    # Set at once it would initialise CUDA for a test that may never use it; torch keeps calls for that moment.
    later = None if _torch_cuda(modules) is not None else getattr(cuda, "_lazy_call", None)
    cap() if later is None else later(cap)


def _torch_cuda(modules: Mapping[str, ModuleType] | None) -> Any:
    """Return torch.cuda where torch has initialised CUDA in this process."""
    cuda: Any = (sys.modules if modules is None else modules).get("torch.cuda")
    asked = getattr(cuda, "is_initialized", None)  # a suite may put something else in its place
    return cuda if asked is not None and asked() else None


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
