"""The generators of Python and of the libraries that are loaded: seeded, kept, and put back."""

from __future__ import annotations

import random
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_gpupool.worker.items import random_states


class Stands(ModuleType):
    """Stands for a library, and keeps what it was seeded with."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seeds: list[int] = []


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> dict[str, Stands]:
    """Stand-ins for those that need a GPU or take long to load."""
    cupy, cupy_random, tensorflow = Stands("cupy"), Stands("cupy.random"), Stands("tensorflow")
    no_device = type("CUDARuntimeError", (RuntimeError,), {})
    parts: Any = {
        "cupy": {"cuda": SimpleNamespace(runtime=SimpleNamespace(CUDARuntimeError=no_device)), "random": cupy_random},
        "cupy.random": {"seed": cupy_random.seeds.append},
        "tensorflow": {"random": SimpleNamespace(set_seed=tensorflow.seeds.append)},
    }
    found = {module.__name__: module for module in (cupy, cupy_random, tensorflow)}
    for name, module in found.items():
        vars(module).update(parts[name])
        monkeypatch.setitem(sys.modules, name, module)
    return found


def draw() -> tuple[float, float]:
    """Numbers of the generators that are for all."""
    return random.random(), float(np.random.random())


def test_all_that_are_loaded_are_seeded(libraries: dict[str, Stands]) -> None:
    """With as many bits as each takes."""
    before = random_states.states()
    try:
        random_states.seed_all(2**64 - 1)
        first = draw()
        random_states.seed_all(2**64 - 1)
        assert draw() == first
        random_states.seed_all(2**63)
        assert draw() != first
    finally:
        random_states.restore(before, 0)
    assert libraries["cupy.random"].seeds[:3] == [2**32 - 1, 2**32 - 1, 2**31]
    assert libraries["tensorflow"].seeds[:3] == [2**31 - 1, 2**31 - 1, 2**30]


def test_a_state_is_put_back(libraries: dict[str, Stands]) -> None:
    """Of a library that does not tell its state the seed is."""
    before = random_states.states()
    expected = draw()
    random_states.seed_all(5)
    random_states.restore(before, 7 << 33)
    assert draw() == expected
    assert (libraries["cupy.random"].seeds[-1], libraries["tensorflow"].seeds[-1]) == (14, 7)
    random_states.restore(before, 0)


def test_a_library_without_a_device_is_left(libraries: dict[str, Stands]) -> None:
    """CuPy asks for one; a module that is being loaded is seeded when it is there."""
    cupy = libraries["cupy"]

    def fails(_seed: int) -> None:
        raise cupy.cuda.runtime.CUDARuntimeError("no CUDA-capable device")

    vars(libraries["cupy.random"])["seed"] = fails
    vars(libraries["tensorflow"])["__spec__"] = SimpleNamespace(_initializing=True)
    assert "tensorflow" not in random_states.loaded()
    before = random_states.states()
    random_states.seed_all(1)
    random_states.restore(before, 0)
