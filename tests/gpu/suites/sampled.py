"""A busy GPU, looked at by nvidia-smi meanwhile."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable

import torch

from pytest_gpupool import Gpu

SECONDS = 8.0
QUERY = "memory.used,utilization.gpu,temperature.gpu,power.draw"


class Smi(threading.Thread):
    """Asks nvidia-smi again and again."""

    def __init__(self, device: str) -> None:
        super().__init__(daemon=True)
        self.rows: list[list[float | None]] = []
        self._command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits", "-i", device]
        self._over = threading.Event()

    def run(self) -> None:
        """Until somebody says so."""
        while not self._over.is_set():
            done = subprocess.run(self._command, capture_output=True, text=True, check=True)
            self.rows.append([number(text) for text in done.stdout.split(",")])
            self._over.wait(0.2)

    def stop(self) -> list[list[float | None]]:
        """Say so; return what it has told."""
        self._over.set()
        self.join()
        return self.rows


def number(text: str) -> float | None:
    """None of what this GPU does not tell: ``[N/A]``, ``[Not Supported]``."""
    try:
        return float(text)
    except ValueError:
        return None


def test_warm(gpu: Gpu) -> None:
    a = torch.zeros(1024, 1024, device=gpu.device)
    torch.matmul(a, a)
    torch.cuda.synchronize()


def test_busy(gpu: Gpu, record_property: Callable[[str, object], None]) -> None:
    assert gpu.memory_total is not None
    held = torch.ones(gpu.memory_total // 4, dtype=torch.uint8, device=gpu.device)
    a = torch.randn(4096, 4096, device=gpu.device)
    smi = Smi(gpu.ids[0])
    smi.start()
    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        for _ in range(20):
            torch.matmul(a, a)
        torch.cuda.synchronize()
    record_property("smi", json.dumps(smi.stop()))
    del held
