"""Size: how many devices, and how large, a process needs that runs all tests itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...planning.demands import possible
from ...values.device import Device


def wanted(asked: Iterable[tuple[int, int]], devices: Sequence[Device]) -> tuple[int, int]:
    """Return how many devices, of how many bytes each, the tests ask for, as far as the pool has them.

    ``asked`` has the same two of each test, ``devices`` are the pool's.
    """
    # One that asks for more than there is says so, and needs none of them for that.
    sizes = [possible(gpus, memory, devices) for gpus, memory in asked]
    gpus = max((gpus for gpus, _ in sizes), default=0)
    floors = sorted({memory for _, memory in sizes}, reverse=True)
    large = (memory for memory in floors if sum(_has(device, memory) for device in devices) >= gpus)
    return max(1, gpus), next(large, 0)


def is_enough(held: Sequence[Device], gpus: int, memory: int) -> bool:
    """Say whether a lease of these devices is that large."""
    return gpus <= len(held) and all(_has(device, memory) for device in held)


def _has(device: Device, memory: int) -> bool:
    # One that does not say how much it has will do.
    return (device.memory_total or memory) >= memory
