"""A kernel that does not end, before a test that uses the same GPU."""

from __future__ import annotations

import torch

from pytest_gpupool import Gpu

FOREVER = 10**14
"""Cycles: half a day."""


def test_before(gpu: Gpu) -> None:
    assert float(torch.ones(1000, device=gpu.device).sum()) == 1000


def test_hangs(gpu: Gpu) -> None:
    torch.cuda._sleep(FOREVER)
    torch.cuda.synchronize()


def test_after(gpu: Gpu) -> None:
    assert float(torch.ones(1000, device=gpu.device).sum()) == 1000
