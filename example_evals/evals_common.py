"""What several example evaluations share: seeding, timing, data and mini-batches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor


class Split(NamedTuple):
    """Inputs and targets to train on, and others held out."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor

    def to(self, device: str) -> Split:
        """Return the split with its tensors on `device`."""
        return Split(*(tensor.to(device) for tensor in self))


def seed_everything(seed: int) -> torch.Generator:
    """Seed torch's global generators and return a CPU generator with the same seed.

    Initial weights and dropout use the global generators. Draws from the returned generator are the
    same whatever the device.
    """
    # The number of CPU threads changes the order of floating-point sums, and with it the metrics.
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def minibatches(size: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices 0 .. size - 1 in random order, `batch_size` at a time."""
    order = torch.randperm(size, generator=generator)
    for start in range(0, size, batch_size):
        yield order[start : start + batch_size]


class Stopwatch:
    """Measures wall-clock seconds, with the work queued on the device included."""

    def __init__(self, device: str) -> None:
        """Start measuring."""
        self._device = device
        self._start = self._now()

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return self._now() - self._start

    def _now(self) -> float:
        # CUDA kernels run asynchronously: without this, only their launches would be timed.
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def digits_split() -> Split:
    """Return scikit-learn's 8x8 digits, pixels scaled to [0, 1], with a quarter held out."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    train_x, test_x, train_y, test_y = map(torch.from_numpy, parts)
    return Split(train_x.float(), train_y, test_x.float(), test_y)
