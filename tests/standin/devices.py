"""The devices a stand-in driver has, and the lines that describe them in its state file."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

GIB = 2**30

Process = tuple[int, int | None]
"""A process id and the bytes it uses on the device, None where NVML does not say."""

Fault = tuple[str, int]
"""The name of an NVML function and the code with which it fails."""


def fake_uuid(kind: str, number: int) -> str:
    """A device UUID of real shape, the same at every call of a process; the first 16 differ in their first digit.

    Two processes that test have different ones, since a lease excludes all of the host by this id.
    """
    digest = uuid.UUID(bytes=hashlib.sha256(f"{kind} {number}".encode()).digest()[:16], version=4)
    return f"{kind}-{number * 7 % 16:x}{str(digest)[1:-8]}{os.getpid():08x}"


@dataclass(frozen=True)
class Mig:
    """A MIG device of a GPU."""

    uuid: str
    name: str = "Stand-in GPU MIG 1g.10gb"
    memory: int = 10 * GIB
    used: int = 0
    reserved: int = 0
    gi: int = 1
    ci: int = 0
    processes: tuple[Process, ...] = ()
    graphics: tuple[Process, ...] = ()
    mps: tuple[Process, ...] = ()
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        _check(self, "MIG-")

    def lines(self) -> Iterator[str]:
        """The lines of the state file."""
        yield f"mig {self.uuid}"
        yield from _common_lines(self)
        yield f"gi {self.gi}"
        yield f"ci {self.ci}"


@dataclass(frozen=True)
class Gpu:
    """A GPU; `lost` and `lookup` are the codes with which its handle, and looking that up, fail.

    `reasons` are the bits of why its clocks are as they are, `hangs` the functions that do not return for it. `cores`
    are those near it, None where NVML does not tell; `mps` are clients of MPS.
    """

    uuid: str
    name: str = "Stand-in GPU"
    memory: int = 80 * GIB
    used: int = 0
    reserved: int = GIB // 2
    processes: tuple[Process, ...] = ()
    graphics: tuple[Process, ...] = ()
    mps: tuple[Process, ...] = ()
    faults: tuple[Fault, ...] = ()
    mig: tuple[Mig, ...] = ()
    mig_capable: bool = True
    mig_enabled: bool = False
    mig_pending: bool | None = None
    lost: int | None = None
    lookup: int | None = None
    utilization: int = 0
    memory_utilization: int = 0
    temperature: int = 40
    power: int = 70_000
    energy: int = 1_000_000
    reasons: int = 0
    compute_mode: int = 0
    cores: tuple[int, ...] | None = None
    hangs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self, "GPU-")
        if self.mig and not self.mig_enabled:
            raise ValueError("a GPU has MIG devices only with mig_enabled=True")
        if self.mig_enabled and not self.mig_capable:
            raise ValueError("a GPU that is not MIG-capable cannot have MIG enabled")

    def lines(self) -> Iterator[str]:
        """The lines of the state file, those of the MIG devices last."""
        yield f"gpu {self.uuid}"
        yield from _common_lines(self)
        yield from _mode_lines(self)
        yield from _sensor_lines(self)
        for device in self.mig:
            yield from device.lines()


def _check(device: Gpu | Mig, prefix: str) -> None:
    if not device.uuid.startswith(prefix):
        raise ValueError(f"the UUID {device.uuid!r} does not begin with {prefix!r}")
    if device.used + device.reserved > device.memory:
        raise ValueError(f"{device.uuid} uses more memory than it has")
    if not device.name or "\n" in device.name:
        raise ValueError(f"the name {device.name!r} is not one line of text")


def _common_lines(device: Gpu | Mig) -> Iterator[str]:
    yield f"name {device.name}"
    yield f"memory {device.memory}"
    yield f"used {device.used}"
    yield f"reserved {device.reserved}"
    yield from (_process_line("compute", process) for process in device.processes)
    yield from (_process_line("graphics", process) for process in device.graphics)
    yield from (_process_line("mps", process) for process in device.mps)
    yield from (f"fault {function} {code}" for function, code in device.faults)


def _process_line(kind: str, process: Process) -> str:
    pid, used = process
    return f"{kind} {pid} {'-' if used is None else used}"


def _mode_lines(gpu: Gpu) -> Iterator[str]:
    pending = gpu.mig_enabled if gpu.mig_pending is None else gpu.mig_pending
    yield f"mig-capable {gpu.mig_capable:d}"
    yield f"mig-enabled {gpu.mig_enabled:d}"
    yield f"mig-pending {pending:d}"
    yield f"lost {gpu.lost or 0}"
    yield f"lookup {gpu.lookup or 0}"


def _sensor_lines(gpu: Gpu) -> Iterator[str]:
    yield f"utilization {gpu.utilization}"
    yield f"memory-utilization {gpu.memory_utilization}"
    yield f"temperature {gpu.temperature}"
    yield f"power {gpu.power}"
    yield f"energy {gpu.energy}"
    yield f"reasons {gpu.reasons}"
    yield f"compute-mode {gpu.compute_mode}"
    yield from (f"core {core}" for core in gpu.cores or ())
    yield from (f"hang {function}" for function in gpu.hangs)
