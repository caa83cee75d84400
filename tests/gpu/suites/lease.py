"""What CUDA itself sees of a worker's lease."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import torch

from pytest_gpupool import Gpu

NAMES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPUPOOL_DEVICES", "GPUPOOL_RUN", "OMP_NUM_THREADS")


def test_lease(gpu: Gpu, record_property: Callable[[str, object], None]) -> None:
    """It computes on the device, and tells what it finds."""
    assert float(torch.ones(1000, device=gpu.device).sum()) == 1000
    properties = torch.cuda.get_device_properties(0)
    seen = {
        "count": torch.cuda.device_count(),
        "uuid": str(properties.uuid),
        "name": torch.cuda.get_device_name(0),
        "memory": properties.total_memory,
        "lease": {"ids": gpu.ids, "names": gpu.names, "memory": gpu.memory_total, "device": gpu.device},
        "environment": {name: os.environ.get(name) for name in NAMES},
    }
    record_property("seen", json.dumps(seen))
