"""Presence: whether torch is loaded in this process and uses devices, and who has loaded it. Nothing is loaded here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def is_initialised(modules: Mapping[str, ModuleType] | None = None) -> bool:
    """Return whether torch has begun to compute on devices in this process."""
    asked = getattr((sys.modules if modules is None else modules).get("torch.cuda"), "is_initialized", None)
    return bool(asked is not None and asked())


def importer_of_torch(modules: Mapping[str, ModuleType] | None = None) -> str | None:
    """Return the name of the module that loaded torch, None where torch is not loaded or it cannot be told.

    ``sys.modules`` keeps the order in which imports ended: who imported torch comes next after it, and has it, or a
    part of it, among its names.
    """
    modules = sys.modules if modules is None else modules
    if "torch" not in modules:
        return None
    names = list(modules)
    later = names.index("torch") + 1
    for name in names[later:] + names[:later]:
        if name.partition(".")[0] != "torch" and any(map(_is_of_torch, _values(modules[name]))):
            return name
    return None


def has_torch(modules: Mapping[str, ModuleType] | None = None) -> bool:
    """Return whether torch is loaded in this process."""
    return "torch.cuda" in (sys.modules if modules is None else modules)


def initialised_cuda(modules: Mapping[str, ModuleType] | None = None) -> Any:
    """Return torch.cuda where torch has initialised CUDA in this process."""
    cuda: Any = (sys.modules if modules is None else modules).get("torch.cuda")
    asked = getattr(cuda, "is_initialized", None)  # a suite may put something else in its place
    return cuda if asked is not None and asked() else None


def _values(module: object) -> list[object]:
    # sys.modules may hold anything.
    names = getattr(module, "__dict__", None)
    return list(names.values()) if isinstance(names, dict) else []


def _is_of_torch(value: object) -> bool:
    try:
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    except Exception:  # a lazy object's attributes may do anything
        return False
    return isinstance(name, str) and (name == "torch" or name.startswith("torch."))
