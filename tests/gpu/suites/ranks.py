"""Ranks by torchrun, which compute together by NCCL."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_gpupool import TorchRun

Tell = Callable[[str, object], None]


def summed() -> tuple[str, str, float]:
    """The backend, the kind of device, and the sum of all ranks' numbers, counted from one."""
    import torch
    from torch import distributed

    total = torch.tensor([distributed.get_rank() + 1.0], device="cuda")
    distributed.all_reduce(total)
    return distributed.get_backend(), total.device.type, float(total)


def tell(done: Any, record_property: Tell) -> None:
    record_property("returned", json.dumps(done.returned))


def test_one_rank(torchrun: TorchRun, record_property: Tell) -> None:
    tell(torchrun(summed), record_property)


@pytest.mark.gpupool(gpus=2)
def test_two_ranks(torchrun: TorchRun, record_property: Tell) -> None:
    tell(torchrun(summed), record_property)
