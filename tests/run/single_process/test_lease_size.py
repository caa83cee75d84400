"""How many devices, and how large, one process needs that runs all tests itself."""

from __future__ import annotations

import pytest

from pytest_gpupool.run.single_process.size import is_enough, wanted
from pytest_gpupool.values.device import Device, cpu_device

GIB = 2**30


def card(number: int, gib: int | None) -> Device:
    """A GPU of so much memory."""
    total = None if gib is None else gib * GIB
    return Device(id=f"GPU-{number}", kind="gpu", index=number, name="NVIDIA H200", memory_total=total)


POOL = [card(0, 80), card(1, 40), card(2, 40), card(3, 10)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], (1, 0)),
        ([(0, 0)], (1, 0)),
        ([(1, 0), (3, 0), (2, 0)], (3, 0)),
        ([(1, 60), (1, 20)], (1, 60)),
        ([(3, 0), (1, 60)], (3, 0)),  # three have not as much each: the test that asks for it says so
        ([(2, 20), (1, 60)], (2, 20)),
        ([(5, 0), (2, 0)], (2, 0)),  # more than there are, for which none is needed
        ([(1, 100)], (1, 0)),
    ],
)
def test_it_holds_what_the_largest_test_asks_for(asked: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    gpus, gib = expected
    assert wanted([(count, memory * GIB) for count, memory in asked], POOL) == (gpus, gib * GIB)


def test_a_lease_that_is_large_enough_is_kept() -> None:
    assert is_enough(POOL[:2], 2, 40 * GIB)
    assert not is_enough(POOL[:2], 2, 60 * GIB)
    assert not is_enough(POOL[:2], 3, 0)
    assert is_enough([card(0, None)], 1, 60 * GIB)
    assert is_enough([cpu_device(0)], 1, 0)
