"""Data-parallel training: two ranks, each on half of every batch, end with what one process on all of it has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from evals_common import digits_split
from torch import Tensor, distributed
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from pytest_gpupool import Gpu, RecordMetric, TorchRun

STEPS, BATCH_SIZE, LEARNING_RATE = 60, 96, 0.5
GPUS = len(list(Path("/dev").glob("nvidia[0-9]*")))


def train(device: str = "cpu") -> tuple[float, Tensor]:
    """Return the accuracy and the weights of a linear classifier of digits; of a rank among several on its share."""
    torch.set_num_threads(1)
    ranks, rank = (distributed.get_world_size(), distributed.get_rank()) if distributed.is_initialized() else (1, 0)
    if torch.cuda.is_available():
        device = f"cuda:{torch.cuda.current_device()}"
    data = digits_split().to(device)
    torch.manual_seed(0)
    # In double precision, so that another order of sums changes nothing that one could see.
    model = torch.nn.Linear(64, 10).double().to(device)
    # It averages the gradients of all ranks, whose shares are of one size.
    trained = DistributedDataParallel(model) if ranks > 1 else model
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        batch = torch.randperm(len(data.train_x), generator=generator)[:BATCH_SIZE]
        share = batch[rank::ranks].to(device)
        optimizer.zero_grad()
        cross_entropy(trained(data.train_x[share].double()), data.train_y[share]).backward()
        optimizer.step()
    accuracy = (model(data.test_x.double()).argmax(dim=1) == data.test_y).double().mean()
    return float(accuracy), torch.cat([one.detach().cpu().flatten() for one in model.parameters()])


@pytest.mark.skipif(GPUS == 1, reason="two ranks need two GPUs, or none")
@pytest.mark.gpupool(gpus=2)
def test_two_ranks_match_one(torchrun: TorchRun, gpu: Gpu, record_metric: RecordMetric) -> None:
    """The weights are the same in both ranks, and the same as without ranks."""
    (accuracy, weights), (_, weights_of_1) = torchrun(train).returned
    _, expected = train(gpu.device)

    record_metric("accuracy", accuracy, higher_is_better=True, n=450)
    assert torch.equal(weights, weights_of_1)
    torch.testing.assert_close(weights, expected, rtol=1e-9, atol=1e-12)
