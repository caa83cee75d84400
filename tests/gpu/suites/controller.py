"""A conftest.py that imports torch, and notes what the controller sees of CUDA."""

from __future__ import annotations

import os
from pathlib import Path

import torch

if "PYTEST_XDIST_WORKER" not in os.environ:
    Path("controller").write_text(str(torch.cuda.device_count()), encoding="utf-8")
