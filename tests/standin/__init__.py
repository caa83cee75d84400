"""Stand-ins for a GPU machine: NVML and CUDA driver libraries, and a torch that records its import.

The NVML library is loaded by the real ``pynvml``, so what is tested is the code a user runs. Every
answer comes from a state file that a `Driver` rewrites; running processes see each change at once.
"""

from __future__ import annotations

from pathlib import Path

from standin.devices import Gpu, Mig, Process, fake_uuid
from standin.driver import FUNCTIONS, STATE_VARIABLE, Driver, System
from standin.toolchain import BuildError, NoCompiler, build

TORCH_PATH = Path(__file__).parent / "torch_package"
"""The directory to put on PYTHONPATH for ``import torch`` to give the recording stand-in."""

TORCH_LOG_VARIABLE = "GPUPOOL_STANDIN_TORCH_LOG"
"""Names the file to which each import of the stand-in torch appends a JSON line."""

__all__ = [
    "FUNCTIONS",
    "STATE_VARIABLE",
    "TORCH_LOG_VARIABLE",
    "TORCH_PATH",
    "BuildError",
    "Driver",
    "Gpu",
    "Mig",
    "NoCompiler",
    "Process",
    "System",
    "build",
    "fake_uuid",
]
