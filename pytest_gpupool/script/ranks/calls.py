"""Calls: a function with its arguments, as a file that has it called in another process."""

from __future__ import annotations

import functools
import io
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...values.texts import safe_repr
from ..result import ScriptError


class _Pickler(pickle.Pickler):
    """Notes of which modules the functions and classes are that it writes by name."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.modules: set[str] = set()

    def reducer_override(self, one: Any) -> Any:
        if isinstance(one, type) or hasattr(one, "__qualname__"):
            self.modules.add(getattr(one, "__module__", None) or "")
        return NotImplemented


def write(path: Path, function: Callable[..., object], args: Sequence[object], params: Mapping[str, object]) -> None:
    """Write a call, with what it takes to import what it names.

    Raises:
        ScriptError: something of it cannot be pickled.
    """
    modules = _pickled(function, name_of(function))[1]
    call, more = _pickled((function, tuple(args), dict(params)), f"what {name_of(function)} is called with")
    loaded = {name: sys.modules[name] for name in modules | more if name in sys.modules}
    files = {name: file for name, module in loaded.items() if (file := getattr(module, "__file__", None)) is not None}
    path.write_bytes(pickle.dumps({"paths": sys.path, "files": files, "call": call}))


def name_of(function: Callable[..., object]) -> str:
    """Return what a function is called, with its module."""
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    known = inner if hasattr(inner, "__qualname__") else type(inner)
    return f"{known.__module__}.{known.__qualname__}"


def _pickled(value: object, what: str) -> tuple[bytes, set[str]]:
    file = io.BytesIO()
    pickler = _Pickler(file)
    try:
        pickler.dump(value)
    except Exception as error:  # whatever a foreign type raises
        raise ScriptError(
            f"torchrun: {what} cannot be pickled, so that no other process can have it "
            f"({type(error).__name__}: {safe_repr(str(error), 200)}): give a function from the top of a module, no "
            "lambda and none that stands in another one, and arguments that pickle takes"
        ) from None
    return file.getvalue(), pickler.modules


def returned(path: Path, rank: int) -> Any:
    """Return what a rank's function has returned. Raises ScriptError."""
    try:
        return pickle.loads(path.read_bytes())
    except Exception as error:
        raise ScriptError(f"torchrun: what rank {rank} has returned cannot be had: {error!r}") from None
