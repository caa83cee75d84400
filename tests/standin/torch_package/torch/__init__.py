"""A stand-in for torch that records who imports it, where, and with what environment.

Each import appends one JSON line to the file named by GPUPOOL_STANDIN_TORCH_LOG, if that is set.
"""

from __future__ import annotations

import json
import os
import sys
from types import FrameType

__version__ = "2.0.0+standin"

RECORDED = (
    "PYTEST_XDIST_WORKER",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "GPUPOOL_DEVICES",
    "GPUPOOL_RUN",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
)


def _importer() -> str | None:
    """The name of the module whose code is importing this one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_own_or_machinery(frame):
        frame = frame.f_back
    return None if frame is None else str(frame.f_globals.get("__name__"))


def _is_own_or_machinery(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return package in (__name__, "importlib", "_frozen_importlib", "_frozen_importlib_external")


def _record(path: str) -> None:
    entry: dict[str, object] = {"pid": os.getpid(), "importer": _importer()}
    entry.update({name: os.environ.get(name) for name in RECORDED})
    # One write to a file opened for appending: lines of several processes do not mix.
    target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(target, f"{json.dumps(entry)}\n".encode())
    finally:
        os.close(target)


if _log := os.environ.get("GPUPOOL_STANDIN_TORCH_LOG"):
    _record(_log)

int8 = "int8"


class Tensor:
    """A stand-in for a tensor, of which only the size counts."""

    def __init__(self, size: int) -> None:
        self.size = size

    def zero_(self) -> None:
        """Fill it, which keeps the device busy."""
        cuda.compute(0.001)
        cuda._record("zero_", bytes=self.size)


def empty(size: int, *, dtype: str, device: str) -> Tensor:
    """Return a tensor of so many bytes on a device."""
    assert (dtype, device) == (int8, "cuda")
    cuda.init()
    return Tensor(size)


from . import cuda as cuda  # noqa: E402 - only after the record: it must be of torch's own import
from .cuda import OutOfMemoryError as OutOfMemoryError  # noqa: E402
