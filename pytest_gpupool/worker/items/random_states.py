"""Random states: the generators that Python and the libraries that are loaded have for all, seeded, kept and put back.

No library is imported for it. JAX has no such generator: its keys are made of the fixture ``gpupool_seed``.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

State = Mapping[str, object]
"""What the generators of some libraries were like, by the module's name."""


def seed(name: str, number: int) -> None:
    """Seed the generator of a library that is loaded; ``number`` has 64 bits."""
    _SEEDS[name](sys.modules[name], number)


def seed_all(number: int) -> None:
    """Seed those of Python and of all libraries that are loaded."""
    random.seed(number)
    for name in loaded():
        seed(name, number)


def loaded() -> list[str]:
    """Return the libraries that have such a generator and are loaded, as a whole."""
    return [name for name in _SEEDS if _is_whole(sys.modules.get(name))]


def states() -> State:
    """Return what the generators are like, of those whose state can be read."""
    kept = {name: read(sys.modules[name]) for name, (read, _) in _STATES.items() if name in loaded()}
    return {"": random.getstate(), **kept}


def restore(kept: State, number: int) -> None:
    """Put them back; whose state is not kept is seeded with ``number``, such as what was loaded meanwhile."""
    random.setstate(kept[""])  # type: ignore[arg-type]
    for name in loaded():
        if name in kept:
            _STATES[name][1](sys.modules[name], kept[name], number)
        else:
            seed(name, number)


def _is_whole(module: Any) -> bool:
    # While a module is being imported its functions may not be there yet; its loader seeds it when it is done.
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)


def _seed_numpy(numpy_random: Any, number: int) -> None:
    numpy_random.seed(number >> 32)  # it takes 32 bits


def _seed_torch(torch: Any, number: int) -> None:
    torch.manual_seed(number >> 1)  # of all devices; where none is in use yet, once one is


def _seed_cupy(cupy_random: Any, number: int) -> None:
    # It asks for the device at once. A test without one has nothing to seed.
    with contextlib.suppress(sys.modules["cupy"].cuda.runtime.CUDARuntimeError):
        cupy_random.seed(number >> 32)


def _seed_tensorflow(tensorflow: Any, number: int) -> None:
    tensorflow.random.set_seed(number >> 33)


_SEEDS: Mapping[str, Callable[[Any, int], None]] = {
    "numpy.random": _seed_numpy,
    "torch": _seed_torch,
    "cupy.random": _seed_cupy,
    "tensorflow": _seed_tensorflow,
}


LIBRARIES = frozenset(_SEEDS)
"""The modules that have a generator for all."""


def _read_numpy(numpy_random: Any) -> object:
    return numpy_random.get_state()


def _restore_numpy(numpy_random: Any, state: object, _number: int) -> None:
    numpy_random.set_state(state)


def _read_torch(torch: Any) -> object:
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), gpus


def _restore_torch(torch: Any, state: Any, number: int) -> None:
    cpu, gpus = state
    torch.set_rng_state(cpu)
    if gpus is None:
        torch.cuda.manual_seed_all(number >> 1)
    else:
        torch.cuda.set_rng_state_all(gpus)


_STATES: Mapping[str, tuple[Callable[[Any], object], Callable[[Any, Any, int], None]]] = {
    "numpy.random": (_read_numpy, _restore_numpy),
    "torch": (_read_torch, _restore_torch),
}
