"""A small denoising-diffusion model of 8x8 images.

The method is that of Ho et al. 2020, "Denoising Diffusion Probabilistic Models". The network predicts the
noise, the clean image, or their mixture called velocity (Salimans and Ho 2022, "Progressive Distillation
for Fast Sampling of Diffusion Models"). Noise is added by a linear or a cosine schedule (Nichol and
Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from evals_common import minibatches
from torch import Tensor, nn
from torch.nn.functional import mse_loss

PIXELS = 64
STEPS = 50
EPOCHS = 80
BATCH_SIZE = 128


@dataclass(frozen=True)
class Configuration:
    """What tells one generative model from another."""

    prediction: str
    schedule: str
    width: int

    def __str__(self) -> str:
        return f"{self.prediction}-{self.schedule}-width{self.width}"


class Diffusion(nn.Module):
    """Denoises images, given the number of the noising step that they are at."""

    betas: Tensor
    signal: Tensor

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        self.prediction = configuration.prediction
        betas = noise_schedule(configuration.schedule)
        self.register_buffer("betas", betas)
        self.register_buffer("signal", torch.cumprod(1 - betas, dim=0))
        width = configuration.width
        self.time_embedding = nn.Embedding(STEPS, width)
        self.first = nn.Linear(PIXELS, width)
        hidden = (layer for _ in range(2) for layer in (nn.SiLU(), nn.Linear(width, width)))
        self.rest = nn.Sequential(*hidden, nn.SiLU(), nn.Linear(width, PIXELS))

    def forward(self, noisy: Tensor, step: Tensor) -> Tensor:
        """Return the network's output for each noisy image."""
        output: Tensor = self.rest(self.first(noisy) + self.time_embedding(step))
        return output

    def add_noise(self, clean: Tensor, noise: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return noisy images and what the network should output for them."""
        a, s = self.amplitudes(step)
        targets = {"noise": noise, "data": clean, "velocity": a * noise - s * clean}
        return a * clean + s * noise, targets[self.prediction]

    def estimate_clean(self, noisy: Tensor, step: Tensor) -> Tensor:
        """Return the clean images that the network's output stands for."""
        a, s = self.amplitudes(step)
        output: Tensor = self(noisy, step)
        estimates = {"noise": (noisy - s * output) / a, "data": output, "velocity": a * noisy - s * output}
        # Pixels are scaled to [-1, 1].
        return estimates[self.prediction].clamp(-1, 1)

    def amplitudes(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return the amplitudes of signal and noise after a step, as columns."""
        signal = self.signal[step].unsqueeze(1)
        return signal.sqrt(), (1 - signal).sqrt()


def noise_schedule(name: str) -> Tensor:
    """Return the share of the variance that each step replaces by noise."""
    if name == "linear":
        # The schedule of Ho et al. has 1000 steps: fewer steps have to add more noise each.
        return torch.linspace(1e-4, 0.02, STEPS) * 1000 / STEPS
    times = torch.linspace(0, 1, STEPS + 1)
    signal = torch.cos((times + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - signal[1:] / signal[:-1]).clamp(max=0.999)


def train(model: Diffusion, images: Tensor, generator: torch.Generator) -> float:
    """Train the model, and return the last epoch's loss relative to that of a constant zero output."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.006)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        loss, zero_loss = train_epoch(model, images, optimizer, generator)
        scheduler.step()
    return loss / zero_loss


def train_epoch(
    model: Diffusion, images: Tensor, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> tuple[float, float]:
    """Take one optimizer step per mini-batch; return the summed losses of the model and of a zero output."""
    losses = torch.zeros(2, device=images.device)
    for batch in minibatches(len(images), BATCH_SIZE, generator):
        clean = images[batch]
        noise = torch.randn(clean.shape, generator=generator).to(images.device)
        step = torch.randint(STEPS, (len(batch),), generator=generator).to(images.device)
        noisy, target = model.add_noise(clean, noise, step)
        loss = mse_loss(model(noisy, step), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += torch.stack([loss.detach(), target.square().mean()])
    total, zero_total = losses.tolist()
    return total, zero_total


@torch.no_grad()
def sample(model: Diffusion, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` generated images, by ancestral sampling from pure noise."""
    device = model.betas.device
    images = torch.randn(count, PIXELS, generator=generator).to(device)
    for step in reversed(range(STEPS)):
        images = denoise(model, images, step)
        if step > 0:
            noise = torch.randn(count, PIXELS, generator=generator).to(device)
            images += posterior_deviation(model, step) * noise
    return images


def denoise(model: Diffusion, images: Tensor, step: int) -> Tensor:
    """Return the mean of the images one step earlier (equation 7 of Ho et al.)."""
    clean = model.estimate_clean(images, torch.full((len(images),), step, device=images.device))
    beta, signal = model.betas[step], model.signal[step]
    earlier_signal = model.signal[step - 1] if step > 0 else torch.ones_like(signal)
    from_clean = earlier_signal.sqrt() * beta * clean
    from_noisy = (1 - beta).sqrt() * (1 - earlier_signal) * images
    return (from_clean + from_noisy) / (1 - signal)


def posterior_deviation(model: Diffusion, step: int) -> Tensor:
    """Return the standard deviation of the images one step earlier (equation 7 of Ho et al.)."""
    return (model.betas[step] * (1 - model.signal[step - 1]) / (1 - model.signal[step])).sqrt()
