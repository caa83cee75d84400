"""Parameters: those of a parametrized test, as JSON can carry them."""

from __future__ import annotations

import enum
import json
import numbers
from types import BuiltinFunctionType, FunctionType
from typing import Any

import pytest

from ...foreign.pytest_names import REPEAT_STEP, parameters_of
from ...values.texts import safe_repr


def params_of(item: pytest.Item) -> dict[str, Any]:
    """Return a parametrized test's parameters as JSON can carry them; what has no such form, by its name or repr."""
    return {name: plain(value) for name, value in parameters_of(item).items() if name != REPEAT_STEP}


def plain(value: object) -> Any:
    """Return a value as JSON can carry it; what has no such form, by its name or repr."""
    if value is None or type(value) in (bool, str) or (type(value) is int and value.bit_length() < 64):
        return value
    try:
        # A copy, so that nothing of the user's own types reaches execnet, which takes exact types only.
        return json.loads(json.dumps(value, allow_nan=False))
    except Exception:  # a foreign type may do anything
        pass
    try:
        return _foreign(value)
    except Exception:
        return safe_repr(value)


def _foreign(value: object) -> Any:
    """Return a NumPy scalar as its number, an enum's member, a function and a class by their names, else the repr.

    The repr of a function has its address, which is another one in every process.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, int | float):
        return plain(int(value) if isinstance(value, numbers.Integral) else float(value))
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    # Not bound methods, nor <lambda> and <locals>: two of one name need not be the same.
    if isinstance(value, type | FunctionType | BuiltinFunctionType) and "<" not in value.__qualname__:
        return f"{value.__module__}.{value.__qualname__}".removeprefix("builtins.")
    return safe_repr(value)
