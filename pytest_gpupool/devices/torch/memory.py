"""Memory: what torch takes of devices in this process. Asks without loading anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from .presence import initialised_cuda


def torch_peak(modules: Mapping[str, ModuleType] | None = None) -> int | None:
    """Return the most bytes that torch has held on a device since :func:`forget_peak`, None where it used none."""
    cuda = initialised_cuda(modules)
    if cuda is None:
        return None
    with suppress(Exception):  # after a sticky error any call may fail
        return max((int(cuda.max_memory_reserved(number)) for number in range(cuda.device_count())), default=None)
    return None


def forget_peak(modules: Mapping[str, ModuleType] | None = None) -> None:
    """Let torch begin a new peak."""
    cuda = initialised_cuda(modules)
    with suppress(Exception):
        for number in range(cuda.device_count() if cuda is not None else 0):
            cuda.reset_peak_memory_stats(number)


def give_back_cache(modules: Mapping[str, ModuleType] | None = None) -> None:
    """Let torch return the memory that it keeps for later, which others on the device may need."""
    cuda = initialised_cuda(modules)
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
    later = None if initialised_cuda(modules) is not None else getattr(cuda, "_lazy_call", None)
    cap() if later is None else later(cap)
