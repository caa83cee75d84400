"""Thirteen generative models in two stages: train them all, then evaluate what they generate.

The stages share weights through a directory of the test run. Tests of the two stages may run in any order
and on different workers, or alone: whichever comes first trains the model, the other waits and loads it.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusion_model import Configuration, Diffusion, sample, train
from evals_common import digits_split, seed_everything
from filelock import FileLock
from torch import Tensor

from pytest_gpupool import Gpu, RecordMetric

CONFIGURATIONS = [
    Configuration(prediction, schedule, width)
    for prediction, schedule, width in product(["noise", "data", "velocity"], ["linear", "cosine"], [96, 192])
]
CONFIGURATIONS.append(Configuration("data", "cosine", 256))

each_configuration = pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)


@pytest.fixture(scope="session")
def weights_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that all workers of this run share, inside pytest's temporary directory."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # Each xdist worker has a subdirectory of its own.
    directory = base / "generative-weights"
    directory.mkdir(exist_ok=True)
    return directory


@each_configuration
def test_training(
    configuration: Configuration,
    gpu: Gpu,
    weights_directory: Path,
    record_metric: RecordMetric,
) -> None:
    """Stage 1: the network learns to undo noise."""
    loss = trained_checkpoint(configuration, weights_directory, gpu)["relative_loss"]

    record_metric("training_loss", loss, kind="score", higher_is_better=False)
    assert loss < 0.6  # 1 is the loss of a constant zero output


@each_configuration
def test_generated_images(
    configuration: Configuration,
    gpu: Gpu,
    weights_directory: Path,
    record_metric: RecordMetric,
) -> None:
    """Stage 2: generated images resemble held-out ones, noise and an untrained model's images do not."""
    generator = seed_everything(1)
    real = digit_images(gpu, held_out=True)
    model = Diffusion(configuration).to(gpu.device)

    untrained_distance = frechet_distance(sample(model, 1000, generator), real)
    model.load_state_dict(trained_checkpoint(configuration, weights_directory, gpu)["weights"])
    distance = frechet_distance(sample(model, 1000, generator), real)

    record_metric("frechet_distance", distance, kind="score", higher_is_better=False, n=len(real))
    assert distance < untrained_distance / 5


def trained_checkpoint(configuration: Configuration, directory: Path, gpu: Gpu) -> dict[str, Any]:
    """Return a configuration's weights and training loss, after training it if no test has done so yet."""
    path = directory / f"{configuration}.pt"
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            # A worker that dies while writing must not leave half a file under the final name.
            unfinished = path.with_suffix(".unfinished")
            torch.save(train_checkpoint(configuration, gpu), unfinished)
            unfinished.replace(path)
    checkpoint: dict[str, Any] = torch.load(path, map_location=gpu.device, weights_only=True)
    return checkpoint


def train_checkpoint(configuration: Configuration, gpu: Gpu) -> dict[str, Any]:
    """Train a configuration from scratch; return its weights and training loss."""
    generator = seed_everything(0)
    model = Diffusion(configuration).to(gpu.device)
    relative_loss = train(model, digit_images(gpu, held_out=False), generator)
    return {"weights": model.state_dict(), "relative_loss": relative_loss}


def digit_images(gpu: Gpu, *, held_out: bool) -> Tensor:
    """Return scikit-learn's digits with pixels scaled to [-1, 1]: the held-out ones or the others."""
    digits = digits_split().to(gpu.device)
    return 2 * (digits.test_x if held_out else digits.train_x) - 1


def frechet_distance(generated: Tensor, real: Tensor) -> float:
    """Return the squared Frechet distance between Gaussians fitted to two sets of images.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2)), with means m and covariances C: Dowson and
    Landau 1982, "The Frechet distance between multivariate normal distributions", Journal of Multivariate
    Analysis 12(3). Heusel et al. 2017 apply it to a classifier's features; here the features are pixels.
    """
    generated, real = generated.cpu().double(), real.cpu().double()
    mean_term = (generated.mean(dim=0) - real.mean(dim=0)).square().sum()
    covariance_1, covariance_2 = generated.T.cov(), real.T.cov()
    root = matrix_square_root(covariance_1)
    cross_term = matrix_square_root(root @ covariance_2 @ root).trace()
    return float(mean_term + covariance_1.trace() + covariance_2.trace() - 2 * cross_term)


def matrix_square_root(matrix: Tensor) -> Tensor:
    """Return the square root of a symmetric positive semi-definite matrix."""
    eigenvalues, eigenvectors = torch.linalg.eigh(matrix)
    # Constant pixels have eigenvalue 0, which rounding can turn negative.
    root: Tensor = eigenvectors * eigenvalues.clamp(min=0).sqrt() @ eigenvectors.T
    return root
