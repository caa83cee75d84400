"""Fixtures: what a test sees of the pool."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pytest

from ..devices import visible
from ..leases.lease import Lease
from ..values.device import Device, cpu_device
from ..values.errors import GpupoolError
from .recording.recorder import recorder_key

lease_key = pytest.StashKey[Lease]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The devices that the running test has for itself; none where it asked for none on a host with GPUs.

    ``devices`` are what torch calls them in this process, ``cuda:0`` and on, or ``cpu``; ``ids`` are UUIDs or
    ``cpu:N``; ``memory_total`` is the first device's memory in bytes, None for a CPU slot.
    """

    devices: list[str]
    ids: list[str]
    names: list[str]
    memory_total: int | None
    is_gpu: bool

    @property
    def device(self) -> str:
        """The first device, as torch calls it; ``cpu`` where there is none."""
        return self.devices[0] if self.devices else "cpu"

    @property
    def count(self) -> int:
        """How many devices there are."""
        return len(self.devices)


class RecordMetric(Protocol):
    """The type of the ``record_metric`` fixture."""

    def __call__(
        self,
        name: str,
        value: object,
        *,
        unit: str = "",
        higher_is_better: bool | None = None,
        n: int | None = None,
        samples: Iterable[object] | None = None,
        atol: float | None = None,
        rtol: float | None = None,
    ) -> None:
        """Record a number under a name."""


@pytest.fixture(scope="session")
def gpu(pytestconfig: pytest.Config) -> Gpu:
    """The device that this worker holds: ``gpu.device`` is ``cuda:0``, or ``cpu`` where there is no GPU."""
    lease = pytestconfig.stash.get(lease_key, None)
    return describe(_visible_devices() if lease is None else lease.devices)


@pytest.fixture
def record_metric(pytestconfig: pytest.Config) -> RecordMetric:
    """Record a metric of this test: ``record_metric("accuracy", 0.91, higher_is_better=True, n=1000)``.

    Takes ints, floats, bools, enums of these, and NumPy and torch scalars. NaN and infinities are kept and fail the
    test as invalid; what is no number fails it at once.
    """
    from ..metrics import metric as metrics  # most workers' start is not held up by it

    recorder = pytestconfig.stash[recorder_key]

    def record(
        name: str,
        value: object,
        *,
        unit: str = "",
        higher_is_better: bool | None = None,
        n: int | None = None,
        samples: Iterable[object] | None = None,
        atol: float | None = None,
        rtol: float | None = None,
    ) -> None:
        try:
            metric = metrics.make(
                name, value, unit=unit, higher_is_better=higher_is_better, n=n, samples=samples, atol=atol, rtol=rtol
            )
            recorder.metric(metric)
        except GpupoolError as error:
            problem = str(error)
        else:
            return
        pytest.fail(problem, pytrace=False)  # outside the handler, so that no traceback of ours is shown with it

    return record


def describe(devices: Sequence[Device]) -> Gpu:
    """Return the fixture's value for these devices."""
    is_gpu = bool(devices) and devices[0].is_gpu
    return Gpu(
        devices=[f"cuda:{number}" if is_gpu else "cpu" for number in range(len(devices))],
        ids=[device.id for device in devices],
        names=[device.name for device in devices],
        memory_total=devices[0].memory_total if devices else None,
        is_gpu=is_gpu,
    )


def _visible_devices() -> Sequence[Device]:
    """Return what CUDA would see in this process: the pool is off, and nothing is leased."""
    from ..devices.nvml import survey

    found = visible.read_environment(os.environ.get("CUDA_VISIBLE_DEVICES"), survey().devices)
    return found.devices or (cpu_device(0),)
