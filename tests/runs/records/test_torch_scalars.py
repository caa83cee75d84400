"""Torch's scalars are numbers, as its users write them; importing torch takes seconds."""

from __future__ import annotations

import pytest

from pytest_gpupool.metrics.metric import make
from pytest_gpupool.values.errors import MetricProblem


def test_torch_scalars_are_numbers() -> None:
    """On any floating type, of one element in any shape, with a gradient or without; others are refused by shape."""
    torch = pytest.importorskip("torch")
    assert make("loss", torch.tensor(0.5)).value == 0.5
    assert make("loss", torch.tensor([[3]])).value == 3
    assert make("loss", torch.tensor(True)).value == 1
    assert make("loss", torch.tensor(0.1, dtype=torch.bfloat16)).value == 0.10009765625
    assert make("loss", torch.tensor(2.0, requires_grad=True)).value == 2.0
    assert type(make("loss", torch.tensor(1)).value) is int
    assert make("loss", 0.5, samples=torch.tensor([0.25, 0.75])).samples == (0.25, 0.75)
    with pytest.raises(MetricProblem, match=r"metric 'loss': a torch\.Tensor of shape \(3,\) is not one number"):
        make("loss", torch.zeros(3))
    with pytest.raises(MetricProblem, match=r"metric 'loss': torch\.Tensor\.item\(\) failed: .*meta"):
        make("loss", torch.empty((), device="meta"))
    with pytest.raises(MetricProblem, match=r"metric 'loss': samples is one number per item, not a torch\.Tensor"):
        make("loss", 0.5, samples=torch.tensor(0.5))
