"""Tests that run out of memory: one because another has left some in its process, one for good."""

from __future__ import annotations

import torch

from pytest_gpupool import Gpu

HELD: list[torch.Tensor] = []


def most_of(gpu: Gpu, part: float) -> torch.Tensor:
    """So much of the device's memory."""
    assert gpu.memory_total is not None
    return torch.empty(int(part * gpu.memory_total), dtype=torch.uint8, device=gpu.device)


def test_leaves_memory(gpu: Gpu) -> None:
    HELD.append(most_of(gpu, 0.6))


def test_needs_what_is_left(gpu: Gpu) -> None:
    most_of(gpu, 0.6)


def test_needs_too_much(gpu: Gpu) -> None:
    most_of(gpu, 2.0)


def test_small(gpu: Gpu) -> None:
    most_of(gpu, 0.01)
