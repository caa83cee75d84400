"""A stand-in for torch.cuda: what it sees of CUDA_VISIBLE_DEVICES when initialised stays so."""

from __future__ import annotations

import os
from itertools import takewhile
from pathlib import Path

_initialised_with: int | None = None


def _visible() -> int:
    """The number of devices CUDA would show a process that initialised it now."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _all()
    return len(list(takewhile(lambda entry: entry and not entry.startswith("-"), visible.split(","))))


def _all() -> int:
    state = os.environ.get("GPUPOOL_STANDIN_NVML")
    if state is None:
        return 0
    return sum(line.startswith("gpu ") for line in Path(state).read_text().splitlines())


def init() -> None:
    """Initialise CUDA; a second call does nothing."""
    global _initialised_with
    if _initialised_with is None:
        _initialised_with = _visible()


def is_initialized() -> bool:
    """Whether this process has initialised CUDA."""
    return _initialised_with is not None


def device_count() -> int:
    """The number of devices, which does not change once CUDA is initialised."""
    return _visible() if _initialised_with is None else _initialised_with


def is_available() -> bool:
    """Whether there is any device; asking does not initialise CUDA."""
    return device_count() > 0
