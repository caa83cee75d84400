"""Digits classifier: how learning rate, batch size and width change a small network's accuracy."""

from __future__ import annotations

import pytest
import torch
from evals_common import Split, digits_split, minibatches, seed_everything
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import pytest_gpupool
from pytest_gpupool import Gpu, Measure, RecordMetric

EPOCHS = 20


@pytest_gpupool.aggregate("mean_accuracy", of="accuracy", by=("hidden_size",), floor=0.93)
@pytest.mark.parametrize("hidden_size", [32, 128], ids="hidden{}".format)
@pytest.mark.parametrize("batch_size", [32, 128], ids="batch{}".format)
@pytest.mark.parametrize("learning_rate", [0.002, 0.005, 0.01], ids="lr{}".format)
def test_digits_classifier(
    learning_rate: float,
    batch_size: int,
    hidden_size: int,
    gpu: Gpu,
    measure: Measure,
    record_metric: RecordMetric,
) -> None:
    """A small network tells most held-out digits apart."""
    generator = seed_everything(0)
    digits = digits_split().to(gpu.device)
    model = make_classifier(hidden_size).to(gpu.device)

    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)

    for _ in range(EPOCHS):
        train_epoch(model, optimizer, digits, batch_size, generator)
    correct, losses = evaluate(model, digits.test_x, digits.test_y)
    accuracy, loss = correct.mean(), losses.mean()

    # With the value of each item a later run is compared item by item, which shows a smaller change.
    record_metric("accuracy", accuracy, kind="proportion", higher_is_better=True, samples=correct.cpu())
    record_metric("loss", loss, kind="mean", unit="nats", higher_is_better=False, samples=losses.cpu())
    # How fast a shared machine is differs from run to run.
    # Of the trained model, once more: what a worker's first test has to load is not in it.
    seconds = measure(
        train_epoch, model, optimizer, digits, batch_size, generator, name="epoch", rel_error=0.05, max_time=1
    )
    rate = len(digits.train_x) / seconds
    record_metric("training_rate", rate, kind="rate", unit="examples/s", higher_is_better=True, rtol=0.5)
    assert accuracy > 0.9
    assert loss < 0.5  # A uniform guess has ln(10) = 2.3.


def make_classifier(hidden_size: int) -> nn.Module:
    """Return an untrained network from 64 pixels to 10 classes."""
    return nn.Sequential(
        nn.Linear(64, hidden_size),
        nn.ReLU(),
        nn.Linear(hidden_size, hidden_size),
        nn.ReLU(),
        nn.Linear(hidden_size, 10),
    )


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    digits: Split,
    batch_size: int,
    generator: torch.Generator,
) -> None:
    """Train the model for an epoch."""
    for batch in minibatches(len(digits.train_x), batch_size, generator):
        optimizer.zero_grad()
        cross_entropy(model(digits.train_x[batch]), digits.train_y[batch]).backward()
        optimizer.step()


@torch.no_grad()
def evaluate(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each of the given items whether it was told right, 1 or 0, and its cross-entropy."""
    logits = model(inputs)
    return (logits.argmax(dim=1) == labels).float(), cross_entropy(logits, labels, reduction="none")
