"""A real GPU and a torch that computes on it, or in one sentence why there is none; what runs pytest on it.

torch is never imported here: another process is asked, and only where there is a GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import LIMIT, Host

from pytest_gpupool.devices.nvidia.nvml import NvmlProbe
from pytest_gpupool.devices.pool import Pool, discover
from pytest_gpupool.values.device import Device
from pytest_gpupool.values.errors import UsageProblem

SUITES = Path(__file__).parent / "gpu" / "suites"
"""What runs on the GPU: a file for each subject, type-checked as all code is."""

ASK_TORCH = """
import json
import torch

seen = {"version": torch.__version__, "cuda": torch.version.cuda, "devices": 0, "error": None}
if torch.version.cuda is not None:
    try:
        torch.cuda.init()
        seen["devices"] = torch.cuda.device_count()
    except Exception as error:
        seen["error"] = str(error).splitlines()[0]
print(json.dumps(seen))
"""

NO_TORCH = "torch is not installed here: pip install -c constraints.txt -e '.[examples,dev]'"


@dataclass(frozen=True, kw_only=True)
class Torch:
    """What torch says of itself: its version, the CUDA that it was built for, the devices that it sees."""

    version: str
    cuda: str | None
    devices: int
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The NVIDIA GPUs and MIG instances that this process may use, and torch, which computes on them."""

    devices: tuple[Device, ...]
    driver: str | None
    torch: Torch

    def __str__(self) -> str:
        """Name it in one line."""
        names = ", ".join(dict.fromkeys(device.name for device in self.devices))
        torch = f"torch {self.torch.version} (CUDA {self.torch.cuda})"
        return f"{len(self.devices)} × {names}, driver {self.driver or 'unknown'}, {torch}"

    @property
    def gpus(self) -> tuple[Device, ...]:
        """The whole GPUs."""
        return tuple(device for device in self.devices if device.kind == "gpu")

    @property
    def instances(self) -> tuple[Device, ...]:
        """The MIG instances."""
        return tuple(device for device in self.devices if device.kind == "mig")


def ask_torch(python: str = sys.executable, environ: Mapping[str, str] | None = None) -> Torch | None:
    """What torch says of itself in a process of its own; None where it is not installed.

    A torch that cannot be loaded is one without CUDA, with its last words as the error.
    """
    ask = [python, "-c", ASK_TORCH]
    done = subprocess.run(ask, env=environ, capture_output=True, text=True, check=False, timeout=LIMIT)
    if done.returncode == 0:
        return Torch(**json.loads(done.stdout.splitlines()[-1]))
    last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
    missing = last == "ModuleNotFoundError: No module named 'torch'"
    return None if missing else Torch(version="?", cuda=None, devices=0, error=last)


def why_not(pool: Pool, torch: Callable[[], Torch | None]) -> str | None:
    """Why nothing can be checked on a real GPU here; None where it can. torch is asked last, as that takes seconds."""
    if pool.is_cpu:
        return f"no GPU to check: {pool.no_gpu}"
    if not all(device.id.startswith(("GPU-", "MIG-")) for device in pool.devices):
        return f"no NVIDIA GPU to check, but {pool.describe()}"
    seen = torch()
    if seen is None:
        return NO_TORCH
    if seen.cuda is None:
        return f"torch {seen.version} is built without CUDA" + (f": {seen.error}" if seen.error else "")
    if seen.error is not None:
        return f"CUDA does not start in torch {seen.version}: {seen.error}"
    return None if seen.devices else f"torch {seen.version} (CUDA {seen.cuda}) sees no GPU, and NVML sees one"


def find() -> Machine | str:
    """The machine, or why there is nothing to check."""
    try:
        pool = discover("auto")
    except UsageProblem as problem:
        return str(problem)
    asked: list[Torch | None] = []

    def torch() -> Torch | None:
        asked.append(ask_torch())
        return asked[-1]

    reason = why_not(pool, torch)
    if reason is not None:
        return reason
    assert asked[0] is not None
    return Machine(devices=pool.devices, driver=pool.driver, torch=asked[0])


class GpuHost(Host):
    """This host, with its GPUs and its lock directory: a check waits for its turn as any run does."""

    def __init__(self, directory: Path, machine: Machine) -> None:
        super().__init__(directory, None)
        self.machine = machine

    @property
    def device(self) -> Device:
        """What the checks of one device run on."""
        return self.machine.devices[0]

    def environ(self, **changes: str | None) -> dict[str, str]:
        """The user's own, with the devices and the lock directory that it names, if any."""
        environ = super().environ()
        del environ["GPUPOOL_LOCK_DIR"]
        environ |= {name: value for name, value in os.environ.items() if name.startswith(("GPUPOOL_", "CUDA_"))}
        for name, value in changes.items():
            environ.pop(name, None)
            if value is not None:
                environ[name] = value
        return environ

    def command(self, *args: str, **keys: Any) -> list[str]:
        """As a host's, on the first device where the arguments name none, and never on a CPU slot."""
        named = any(arg.startswith("--gpupool-devices=") for arg in args)
        one = () if named else (f"--gpupool-devices={self.device.id}",)
        return super().command("--gpupool-require=1", "--gpupool-wait=120", *one, *args, **keys)

    def suite(self, name: str, as_name: str = "test_suite.py") -> None:
        """Put one of the suites into the project."""
        self.write(as_name, (SUITES / f"{name}.py").read_text(encoding="utf-8"))

    def used(self) -> int:
        """The bytes of the first device that are in use at this moment, as NVML has it."""
        used = NvmlProbe().usage(self.device).memory_used
        assert used is not None
        return used

    def until_used(self, fits: Callable[[int], bool]) -> int:
        """Wait until what is in use is as it should be, and return that, or after a long time what it is then."""
        deadline = time.monotonic() + LIMIT / 5
        while not fits(used := self.used()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return used
