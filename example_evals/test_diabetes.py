"""Diabetes regression: ten random configurations of a residual network.

This is the shape of a random hyper-parameter search: many short, independent trainings. Compare the
wall-clock time of one worker (`pytest -n 1`) with that of many (`pytest -n 8`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from evals_common import Split, minibatches, seed_everything
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from pytest_gpupool import Gpu, RecordMetric

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adadelta": partial(torch.optim.Adadelta, lr=1.0),
    "Adam": partial(torch.optim.Adam, lr=0.01),
    "Adamax": partial(torch.optim.Adamax, lr=0.02),
}


@dataclass(frozen=True)
class Configuration:
    """One point of the search space."""

    optimizer: str
    width_exponent: int
    epochs: int
    batch_size: int
    dropout: float
    patience: int
    lr_factor: float

    def __str__(self) -> str:
        return f"{self.optimizer}-width{2**self.width_exponent}-epochs{self.epochs}-batch{self.batch_size}"


def draw_configuration(rng: random.Random) -> Configuration:
    """Draw one configuration at random."""
    return Configuration(
        optimizer=rng.choice(sorted(OPTIMIZERS)),
        width_exponent=rng.choice([2, 5]),
        epochs=rng.choice([40, 80, 120]),
        batch_size=rng.choice([16, 32, 64]),
        dropout=rng.choice([0.0, 0.1, 0.2]),
        patience=rng.choice([3, 5, 10]),
        lr_factor=rng.choice([0.2, 0.5]),
    )


def draw_configurations(count: int, seed: int) -> list[Configuration]:
    """Draw `count` configurations, the same ones in every process: xdist compares the workers' test ids."""
    rng = random.Random(seed)
    return [draw_configuration(rng) for _ in range(count)]


@pytest.mark.parametrize("configuration", draw_configurations(count=10, seed=0), ids=str)
def test_diabetes_regression(configuration: Configuration, gpu: Gpu, record_metric: RecordMetric) -> None:
    """A small residual network predicts disease progression better than the mean does."""
    generator = seed_everything(0)
    diabetes = diabetes_split().to(gpu.device)
    model = ResidualNetwork(2**configuration.width_exponent, configuration.dropout).to(gpu.device)

    validation_loss = train(model, diabetes, configuration, generator)
    mean_loss = mse_loss(torch.zeros_like(diabetes.test_y), diabetes.test_y)

    record_metric("validation_loss", validation_loss, kind="mean", higher_is_better=False, n=len(diabetes.test_y))
    assert validation_loss < 0.8 * mean_loss


@pytest.mark.gpupool(repeats=4, at_least=3, reduce="median")
def test_another_seed(gpu: Gpu, record_metric: RecordMetric) -> None:
    """Trained from other weights, in another order, a small network is nearly as good: three of four times at least."""
    generator = seed_everything(gpu.repeat)
    diabetes = diabetes_split().to(gpu.device)
    configuration = Configuration("Adam", 2, epochs=40, batch_size=32, dropout=0.0, patience=5, lr_factor=0.5)
    model = ResidualNetwork(2**configuration.width_exponent, configuration.dropout).to(gpu.device)

    validation_loss = train(model, diabetes, configuration, generator)

    record_metric("validation_loss", validation_loss, kind="mean", higher_is_better=False, n=len(diabetes.test_y))
    assert validation_loss < 0.8


class ResidualBlock(nn.Module):
    """Adds a two-layer correction to its input."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.correction = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the corrected input."""
        corrected: Tensor = inputs + self.correction(inputs)
        return corrected


class ResidualNetwork(nn.Module):
    """Predicts one number from ten features through two residual blocks."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        blocks = (ResidualBlock(width, dropout) for _ in range(2))
        self.layers = nn.Sequential(nn.Linear(10, width), *blocks, nn.Linear(width, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return one prediction per row of `inputs`."""
        predictions: Tensor = self.layers(inputs).squeeze(1)
        return predictions


def train(model: nn.Module, data: Split, configuration: Configuration, generator: torch.Generator) -> float:
    """Train the model, with a lower learning rate whenever it stalls, and return the last validation loss."""
    optimizer = OPTIMIZERS[configuration.optimizer](model.parameters(), weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=configuration.lr_factor, patience=configuration.patience
    )
    for _ in range(configuration.epochs):
        train_epoch(model, data, optimizer, configuration.batch_size, generator)
        validation_loss = evaluate(model, data)
        scheduler.step(validation_loss)
    return validation_loss


def train_epoch(
    model: nn.Module,
    data: Split,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    generator: torch.Generator,
) -> None:
    """Take one optimizer step per mini-batch of the training items."""
    model.train()
    for batch in minibatches(len(data.train_x), batch_size, generator):
        optimizer.zero_grad()
        mse_loss(model(data.train_x[batch]), data.train_y[batch]).backward()
        optimizer.step()


@torch.no_grad()
def evaluate(model: nn.Module, data: Split) -> float:
    """Return the mean squared error on the held-out items, in units of the target's variance."""
    model.eval()
    return float(mse_loss(model(data.test_x), data.test_y))


def diabetes_split() -> Split:
    """Return the data with a quarter held out, standardised by the training items' mean and deviation."""
    parts = train_test_split(*load_diabetes(return_X_y=True), test_size=0.25, random_state=0)
    train_x, test_x, train_y, test_y = (torch.from_numpy(part).float() for part in parts)
    return Split(
        standardise(train_x, like=train_x),
        standardise(train_y, like=train_y),
        standardise(test_x, like=train_x),
        standardise(test_y, like=train_y),
    )


def standardise(values: Tensor, like: Tensor) -> Tensor:
    """Return `values` shifted and scaled as if to give each column of `like` mean 0 and deviation 1."""
    deviation, mean = torch.std_mean(like, dim=0)
    return (values - mean) / deviation
