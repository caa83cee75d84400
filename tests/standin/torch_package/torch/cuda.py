"""A stand-in for torch.cuda: what it sees of CUDA_VISIBLE_DEVICES when initialised stays so.

Calls that change something are recorded as torch's import is, one JSON line each: ``call``, its arguments, and the pid.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from collections import Counter
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

_initialised_with: int | None = None
_later: list[Callable[[], object]] = []
_fraction = 1.0
_reserved: Counter[int] = Counter()
_peak: Counter[int] = Counter()


class OutOfMemoryError(RuntimeError):
    """A device has no memory left."""


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
    """Initialise CUDA, the driver's library too where there is one; a second call does nothing."""
    global _initialised_with
    if _initialised_with is None:
        _initialised_with = _visible()
        with contextlib.suppress(OSError):
            ctypes.CDLL("libcuda.so.1").cuInit(0)
        for call in _later:
            call()


def _lazy_call(call: Callable[[], object]) -> None:
    """Call at once where CUDA is initialised, else as soon as it is."""
    if is_initialized():
        call()
    else:
        _later.append(call)


def is_initialized() -> bool:
    """Whether this process has initialised CUDA."""
    return _initialised_with is not None


def device_count() -> int:
    """The number of devices, which does not change once CUDA is initialised."""
    return _visible() if _initialised_with is None else _initialised_with


def is_available() -> bool:
    """Whether there is any device; asking does not initialise CUDA."""
    return device_count() > 0


def set_per_process_memory_fraction(fraction: float, device: int = 0) -> None:
    """Hold this process to a part of a device's memory."""
    global _fraction
    init()
    _fraction = fraction
    _record("set_per_process_memory_fraction", device, fraction=fraction)


def max_memory_reserved(device: int = 0) -> int:
    """The most bytes that were reserved since the last reset."""
    return _peak[device]


def reset_peak_memory_stats(device: int = 0) -> None:
    """Begin a new peak with what is reserved now."""
    _peak[device] = _reserved[device]
    _record("reset_peak_memory_stats", device)


def empty_cache() -> None:
    """Return what is reserved: nothing of the stand-in's stays in use."""
    _reserved.clear()
    _record("empty_cache")


def reserve(size: int, device: int = 0) -> None:
    """Reserve that many bytes, as tensors of that size do in the real torch.

    Raises:
        OutOfMemoryError: the process would have more than its part of the device's memory.
    """
    init()
    if _reserved[device] + size > _fraction * _memory(device):
        raise OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size / 2**30:.2f} GiB. GPU {device} has …")
    _reserved[device] += size
    _peak[device] = max(_peak[device], _reserved[device])


class Properties:
    """What is known of a device."""

    L2_cache_size = 50 << 20


def get_device_properties(device: int) -> Properties:
    """The properties of a device."""
    assert 0 <= device < device_count()
    return Properties()


def current_device() -> int:
    """The device that is used where nobody names one."""
    return 0


def clock_rate() -> int:
    """The frequency of the device's processors in MHz."""
    return 1980


_queued, _done = 0.0, 0.0


def compute(seconds: float) -> None:
    """Queue work that takes the device so long by its own clock, and the host no time."""
    global _queued
    init()
    _queued += seconds


class Event:
    """A moment on the device's clock, known once the device has got there."""

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self._at = 0.0

    def record(self) -> None:
        """Be the moment when all that is queued is done."""
        self._at = _queued

    def synchronize(self) -> None:
        """Wait for it."""
        global _done
        _done = max(_done, self._at)

    def elapsed_time(self, end: Event) -> float:
        """The milliseconds from here to a later one.

        Raises:
            RuntimeError: nobody has waited for it.
        """
        if end._at > _done:
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return (end._at - self._at) * 1000


def _memory(device: int) -> float:
    """The bytes that a device has, as it is numbered here; all GPUs of a stand-in host have the same."""
    state = os.environ.get("GPUPOOL_STANDIN_NVML")
    lines = [] if state is None else Path(state).read_text().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("memory ")), float("inf"))


def _record(call: str, device: int | None = None, **values: float) -> None:
    if path := os.environ.get("GPUPOOL_STANDIN_TORCH_LOG"):
        target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(target, f"{json.dumps({'call': call, 'pid': os.getpid(), 'device': device, **values})}\n".encode())
        finally:
            os.close(target)
