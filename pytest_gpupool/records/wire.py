"""The wire: turn events into bytes and back, keeping every plain value as it is.

execnet's own serializer is written in Python and takes exact types only: one NumPy float among a test's properties
kills the worker's channel. pickle is written in C; what is no plain value is replaced by one on the way in, so that
reading needs no foreign class.
"""

from __future__ import annotations

import pickle
from io import BytesIO  # by its name: a test may put its own in the place of io.BytesIO
from typing import Any

from ..values.texts import safe_repr

_PLAIN = (int, float, str, bytes)
_NAMES = {"bool", *(kind.__name__ for kind in _PLAIN)}


def dumps(value: object) -> bytes:
    """Return plain values (None, numbers, texts, bytes, tuples, lists, dicts, sets of these) as bytes.

    A value of a type derived from a plain one becomes that one; any other becomes its repr.
    """
    buffer = BytesIO()
    _Pickler(buffer, protocol=5).dump(value)
    return buffer.getvalue()


def loads(data: bytes) -> Any:
    """Return what :func:`dumps` was given. Builds nothing but plain values, whatever the bytes say."""
    return _Unpickler(BytesIO(data)).load()


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        """Called for what pickle does not know as a plain value; returns a constructor and its arguments."""
        if any(obj is kind for kind in (bool, *_PLAIN)):
            return NotImplemented  # such a constructor, which pickle writes by its name
        kind: Any  # of which each is its own copy's constructor
        try:
            for kind in _PLAIN:
                if isinstance(obj, kind):
                    return kind, (kind.__str__(obj) if kind is str else kind(obj),)
            if getattr(obj, "shape", None) == () and type(item := obj.item()) in (bool, int, float):
                return type(item), (item,)  # a NumPy or torch scalar
        except Exception:  # a foreign type may do anything; the event matters more
            return str, (safe_repr(obj),)
        return str, (safe_repr(obj, limit=100_000),)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Know the constructors that the pickler names, and no others."""
        if module != "builtins" or name not in _NAMES:
            raise pickle.UnpicklingError(f"an event may not hold a {module}.{name}")
        return super().find_class(module, name)
