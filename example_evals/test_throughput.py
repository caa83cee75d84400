"""Throughput matrix: matrix products and attention, by number format and problem size."""

from __future__ import annotations

import pytest
import torch
from evals_common import seed_everything
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attention

from pytest_gpupool import Gpu, Measure, RecordMetric

# Sizes go by name, because test ids must be the same on every machine: small ones for CPUs, large for GPUs.
SIZES = {
    ("matmul", "cpu"): {"small": 128, "large": 256},
    ("matmul", "cuda"): {"small": 2048, "large": 8192},
    ("attention", "cpu"): {"small": 128, "large": 256},
    ("attention", "cuda"): {"small": 1024, "large": 8192},
}
HEADS = 8
HEAD_SIZE = 64
CHECKED_ROWS = 64

# Largest relative errors: the formats keep 24, 11 and 8 significant bits.
TOLERANCES = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 3e-2}
# Far below any healthy device, software emulation of a half-precision format on one busy core included.
MINIMUM_TFLOPS = {"cpu": 1e-5, "cuda": 0.1}

by_dtype = pytest.mark.parametrize(
    "dtype",
    list(TOLERANCES),
    ids=lambda dtype: str(dtype).removeprefix("torch."),
)
by_size = pytest.mark.parametrize("size", ["small", "large"])


@by_dtype
@by_size
def test_matmul(size: str, dtype: torch.dtype, gpu: Gpu, measure: Measure, record_metric: RecordMetric) -> None:
    """The product of two square matrices is right, and fast enough."""
    n = SIZES["matmul", device_type(gpu)][size]
    a, b = random_tensors(2, (n, n), gpu, dtype)

    error = relative_error((a @ b)[:CHECKED_ROWS], a[:CHECKED_ROWS].double() @ b.double())
    tflops = 2 * n**3 / measure(torch.matmul, a, b, rel_error=0.02) / 1e12

    record_results(record_metric, error, tflops)
    assert error < TOLERANCES[dtype]
    assert tflops > MINIMUM_TFLOPS[device_type(gpu)]


@by_dtype
@by_size
def test_attention(size: str, dtype: torch.dtype, gpu: Gpu, measure: Measure, record_metric: RecordMetric) -> None:
    """Scaled dot-product attention is right, and fast enough."""
    length = SIZES["attention", device_type(gpu)][size]
    q, k, v = random_tensors(3, (1, HEADS, length, HEAD_SIZE), gpu, dtype)

    expected = attention(q[:, :, :CHECKED_ROWS].double(), k.double(), v.double())
    error = relative_error(attention(q, k, v)[:, :, :CHECKED_ROWS], expected)
    # Two matrix products per head, of 2 * length**2 * HEAD_SIZE operations each; the softmax is not counted.
    flops = 4 * HEADS * length**2 * HEAD_SIZE
    tflops = flops / measure(attention, q, k, v, rel_error=0.02) / 1e12

    record_results(record_metric, error, tflops)
    assert error < TOLERANCES[dtype]
    assert tflops > MINIMUM_TFLOPS[device_type(gpu)]


def record_results(record_metric: RecordMetric, error: float, tflops: float) -> None:
    """Record the numerical error and the throughput, which differs on a shared machine; `measure` has the latency."""
    record_metric("relative_error", error, kind="score", higher_is_better=False)
    record_metric("throughput", tflops, kind="rate", unit="TFLOP/s", higher_is_better=True, rtol=0.2)


def device_type(gpu: Gpu) -> str:
    """Return "cuda" or "cpu"."""
    return "cuda" if gpu.is_gpu else "cpu"


def random_tensors(count: int, shape: tuple[int, ...], gpu: Gpu, dtype: torch.dtype) -> list[Tensor]:
    """Return tensors of standard normal numbers on the worker's device."""
    generator = seed_everything(0)
    return [torch.randn(shape, generator=generator).to(gpu.device, dtype) for _ in range(count)]


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Return the norm of the difference over the norm of the expected result."""
    return float((actual.double() - expected).norm() / expected.norm())
