"""Several GPUs, or MIG instances: each worker has one of its own, a test of two has both."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from patience import lines, say, until

from pytest_gpupool import Gpu

Tell = Callable[[str, object], None]


def uuids() -> list[str]:
    """Of the devices that CUDA sees, in its order."""
    return [str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())]


@pytest.mark.parametrize("case", range(2))
def test_one(case: int, gpu: Gpu, record_property: Tell) -> None:
    say("here", str(case))
    until(lambda: len(lines("here")) >= 2, "the other one does not run at the same time")
    record_property("seen", json.dumps({"cuda": uuids(), "lease": gpu.ids}))


@pytest.mark.gpupool(gpus=2, stage=1)
def test_two(gpu: Gpu, record_property: Tell) -> None:
    record_property("seen", json.dumps({"cuda": uuids(), "lease": gpu.ids}))
    first, second = (torch.full((1000,), float(number), device=device) for number, device in enumerate(gpu.devices, 1))
    assert float((first.to(gpu.devices[1]) + second).sum()) == 3000
