"""Workers of the stand-in machine: processes that lease as told, through real locks and the real pynvml."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# A list of a name and keys in, as JSON; what the function of that name returns out.
CHILD = """
import json, os, signal, subprocess, sys
from pathlib import Path
from pytest_gpupool.leases.acquisition import try_lease
from pytest_gpupool.leases.lease import Lease, Request
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.leases.occupancy import free_slots
from pytest_gpupool.values.device import Size
from pytest_gpupool.devices.nvidia.nvml import NvmlProbe, survey

held = None
children = []
lock_dir, run, worker = lock_directory(sys.argv[1], {}), sys.argv[2], sys.argv[3]
devices = survey().devices

def lease(*, only=None, busy="512MiB", first=0, avoid=(), **keys):
    global held
    chosen = devices if only is None else tuple(devices[number] for number in only)
    request = Request(
        devices=chosen, lock_dir=lock_dir, worker=worker, run=run, first=first, avoid=frozenset(avoid),
        busy_memory=None if busy is None else Size.parse(busy), **keys,
    )
    answer = try_lease(request, NvmlProbe())
    if not isinstance(answer, Lease):
        return said(answer)
    held = answer
    return [device.index for device in held.devices]

def admit(*, need):
    return said(held.admit(Size.parse(need), NvmlProbe()))

def note(*, test):
    held.note(test)

def release():
    held.release()

def free(*, slots):
    return free_slots(devices, lock_dir, slots)

def child():
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    children.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=pipe, stdout=nowhere, stderr=nowhere))
    return children[-1].pid

def said(blockers):
    return [[blocker.device.index, blocker.reason, blocker.pid, blocker.for_good] for blocker in blockers]

for line in sys.stdin:
    name, keys = json.loads(line)
    print(json.dumps(globals()[name](**keys)), flush=True)
"""


class Leaser:
    """A live worker; each method has it do one thing, and gives its answer.

    Devices are the indices of the driver's GPUs, blockers lists of index, reason, pid and whether for good.
    """

    def __init__(self, environ: Mapping[str, str], lock_dir: Path, *, run: str = "run-1", worker: str = "gw0") -> None:
        command = [sys.executable, "-c", CHILD, str(lock_dir), run, worker]
        self._process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def ask(self, name: str, **keys: Any) -> Any:
        """What a function of the worker's returns."""
        self.send(name, **keys)
        return self.answer()

    def send(self, name: str, **keys: Any) -> None:
        """Have it call a function; :meth:`answer` waits for what that returns."""
        assert self._process.stdin is not None
        print(json.dumps([name, keys]), file=self._process.stdin, flush=True)

    def answer(self) -> Any:
        """What the function that was sent last returns."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the worker has ended"
        return json.loads(line)

    def lease(self, **keys: Any) -> Any:
        """Its devices, or the blockers. Keys are those of a request, and `only`, a list of indices."""
        return self.ask("lease", **keys)

    def admit(self, need: str) -> Any:
        """The blockers that keep a test waiting for so much memory; none where it may start."""
        return self.ask("admit", need=need)

    def note(self, test: str | None) -> None:
        """It says which test it runs."""
        self.ask("note", test=test)

    def release(self) -> None:
        """It gives its devices back."""
        self.ask("release")

    def kill(self) -> None:
        """SIGKILL it, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
