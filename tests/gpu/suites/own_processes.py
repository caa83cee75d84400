"""Tests that use CUDA in a process of their own, and one that uses it in the worker, from which no fork is good."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch

from pytest_gpupool import Gpu, RecordMetric

isolated = pytest.mark.gpupool(isolate=True)
Tell = Callable[[str, object], None]


def works(gpu: Gpu, record_property: Tell) -> None:
    """The device computes, and the process is told."""
    assert float(torch.ones(1000, device=gpu.device).sum()) == 1000
    record_property("pid", os.getpid())


@isolated
def test_child(gpu: Gpu, record_property: Tell, record_metric: RecordMetric) -> None:
    works(gpu, record_property)
    record_metric("answer", 42)


@isolated
def test_assert_in_child(gpu: Gpu) -> None:
    table = torch.zeros(10, 4, device=gpu.device)
    torch.nn.functional.embedding(torch.tensor([100], device=gpu.device), table)
    torch.cuda.synchronize()


@isolated
def test_after_assert(gpu: Gpu, record_property: Tell) -> None:
    works(gpu, record_property)


def test_in_worker(gpu: Gpu, record_property: Tell) -> None:
    works(gpu, record_property)


@isolated
def test_after_worker(gpu: Gpu, record_property: Tell) -> None:
    works(gpu, record_property)
