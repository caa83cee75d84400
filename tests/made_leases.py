"""Leases without pytest: requests, a machine that is used as told, and other processes that lease."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from standin import Driver
from standin.leaser import Leaser

from pytest_gpupool.devices.probe import GpuProcess, Usage
from pytest_gpupool.leases.admission import Blocker
from pytest_gpupool.leases.lease import Lease, Request
from pytest_gpupool.leases.locking.lock_directory import LockDirectory
from pytest_gpupool.values.device import Device, Size

GIB = 2**30
NOBODY = 65534
HANGS = 300.0  # seconds that nothing takes which works

GPUS = tuple(
    Device(id=f"GPU-{number:08x}-{os.getpid()}", kind="gpu", index=number, name="NVIDIA H200", memory_total=141 * GIB)
    for number in range(3)
)
ZERO = GPUS[0]
IDLE = Usage(processes=(), memory_used=0)

# Modules are imported before anything may be given up that importing needs.
LEASER = """
import json, os, signal, subprocess, sys
from pathlib import Path
import filelock, pytest_gpupool.devices.probe
from pytest_gpupool.leases.acquisition import acquire, try_lease
from pytest_gpupool.leases.lease import Lease, Request
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.values.errors import GpupoolError
from pytest_gpupool.leases.locking.locks import LockFile
from pytest_gpupool.values.device import Device

class Idle:
    def usage(self, device):
        return pytest_gpupool.devices.probe.Usage(processes=(), memory_used=0)

def lease():
    try:
        directory = lock_directory(sys.argv[1], {})
        request = Request(
            devices=tuple(map(Device.from_wire, json.loads(sys.argv[2]))),
            lock_dir=directory, worker="gw7", run="run-1", first=0, busy_memory=None,
        )
        answer = try_lease(request, Idle())
    except GpupoolError as error:
        return None, str(error)
    if isinstance(answer, Lease):
        return answer, "leased " + answer.devices[0].id
    return None, "; ".join(map(str, answer))

def say(text):
    print(text, flush=True)
"""
LEASES = "held, text = lease()\nsay(text)\nsys.stdin.read()\n"

Requests = Callable[..., Request]
Processes = Callable[..., "Process"]
Leasers = Callable[..., Leaser]


class Machine:
    """A machine of which each device is used as told; records what it was asked."""

    def __init__(self, **usage: Usage | Exception) -> None:
        self.usages = {GPUS[int(name[3:])].id: value for name, value in usage.items()}
        self.asked: list[str] = []

    def usage(self, device: Device) -> Usage:
        """What leases ask."""
        self.asked.append(device.id)
        answer = self.usages.get(device.id, IDLE)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Process:
    """Another process of this host."""

    def __init__(self, lock_dir: Path, devices: Sequence[Device], source: str) -> None:
        wire = json.dumps([device.to_wire() for device in devices])
        self._process = subprocess.Popen(
            [sys.executable, "-c", LEASER + source, str(lock_dir), wire],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def says(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def kill(self) -> None:
        """SIGKILL it, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Let it end by itself, and wait until it is gone."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def starting(lock_dir: Path) -> Iterator[Processes]:
    """Give what starts processes, and kill them at the end."""
    with ExitStack() as stack:

        def start(source: str = LEASES, *, devices: Sequence[Device] = GPUS[:1], where: Path = lock_dir) -> Process:
            process = Process(where, devices, source)
            stack.callback(process.kill)
            return process

        yield start


@contextmanager
def starting_leasers(driver: Driver, lock_dir: Path) -> Iterator[Leasers]:
    """Give what starts workers on a driver, and kill them at the end."""
    with ExitStack() as stack:

        def start(**keys: str) -> Leaser:
            worker = Leaser(driver.environ(), lock_dir, **keys)
            stack.callback(worker.kill)
            return worker

        yield start


def request(
    lock_dir: LockDirectory, *devices: Device, first: int = 0, busy_memory: str | None = "512MiB", **keys: Any
) -> Request:
    """A request for devices, the first GPU alone if not said otherwise."""
    size = None if busy_memory is None else Size.parse(busy_memory)
    return Request(
        devices=devices or (ZERO,), lock_dir=lock_dir, worker="gw0", run="run-1", first=first, busy_memory=size, **keys
    )


def leased(answer: Lease | tuple[Blocker, ...]) -> Lease:
    """The lease that must be there."""
    assert isinstance(answer, Lease), [str(blocker) for blocker in answer]
    return answer


def refused(answer: Lease | tuple[Blocker, ...]) -> list[str]:
    """The lines that say why there is none."""
    assert not isinstance(answer, Lease)
    return [str(blocker) for blocker in answer]


def for_nothing(answer: Lease | tuple[Blocker, ...]) -> bool:
    """Whether no waiting can help."""
    assert not isinstance(answer, Lease)
    return all(blocker.for_good for blocker in answer)


def note_file(directory: Path, device: Device = ZERO) -> Path:
    """Where it is noted who has a device alone."""
    return directory / f"{device.id}.json"


def noted(directory: Path, device: Device = ZERO) -> dict[str, Any] | None:
    """What is noted of who has a device alone, None for nobody."""
    text = note_file(directory, device).read_text()
    note: dict[str, Any] | None = json.loads(text) if text else None
    return note


def locked(directory: Path, devices: Sequence[Device] = GPUS) -> list[int]:
    """The numbers of the devices that somebody holds at this moment, by the locks alone."""
    held = []
    for number, device in enumerate(devices):
        path = lock_file(directory, device)
        if path.exists():
            with path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(number)
    return held


def lock_file(directory: Path, device: Device = ZERO) -> Path:
    """Where the lock of a device lies."""
    return directory / f"{device.id}.lock"


def using(*processes: tuple[int, int | None], used: int | None) -> Usage:
    """A device with these processes, each with its memory."""
    return Usage(processes=tuple(GpuProcess(pid=pid, memory=memory) for pid, memory in processes), memory_used=used)


def never(*args: object) -> NoReturn:
    raise AssertionError(f"called with {args}")


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that comes by itself. Fails where it never does."""
    deadline = time.monotonic() + HANGS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
