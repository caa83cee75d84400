"""Garbage: Python's collector of it, switched off while much is built that stays."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator

_ON_DEVICES = ("torch", "jax", "tensorflow", "cupy")
"""Whose garbage may hold a device's memory."""


def spare_what_is_there(at_end: Callable[[Callable[[], None]], object]) -> None:
    """Look for no garbage among what pytest and its plugins have loaded; ``at_end`` takes what undoes it.

    pytest looks for garbage up to ten times as it ends, each time through everything: a tenth of a short run. Nothing
    is spared in a program whose garbage may be large, or where somebody does the same already.
    """
    if gc.get_freeze_count() == 0 and not any(name in sys.modules for name in _ON_DEVICES):
        gc.freeze()
        at_end(gc.unfreeze)


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Look for no garbage meanwhile: Python would go through everything again each time it has grown by a quarter."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
