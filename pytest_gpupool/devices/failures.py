"""Failures: whether an exception came of memory that was not there, or of a device that has failed.

An exception is looked at with those that it came of (``raise … from``, or raised while one was handled) and those that
it is a group of. What judges, such as an assertion, is the test's own: its words may quote any error, and what was
caught before it was expected, unless ``raise … from`` says that it came of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..values.outcomes import MACHINE, OUT_OF_MEMORY
from . import vendors

_CLASSES = frozenset({"OutOfMemoryError", "ResourceExhaustedError"})
_OF = frozenset({"torch", "cupy", "tensorflow"})
"""Whose classes of these names mean a device's memory."""

# Services that are asked too often say RESOURCE_EXHAUSTED as well.
_EXHAUSTED = re.compile(r"\bRESOURCE_EXHAUSTED: *(?:Out of memory|OOM\b|Failed to allocate)", re.IGNORECASE)
_EXHAUSTED_OF = frozenset({"jax", "jaxlib", "tensorflow"})


def cause_of(error: BaseException, judgements: tuple[type[BaseException], ...] = (AssertionError,)) -> str | None:
    """Return what an exception that failed a test came of, one of :data:`CAUSES`; None where it is the test's own.

    ``judgements`` are the classes of exceptions by which a test says that something is not as it should be.
    """
    for one in _all_of(error, judgements):
        if isinstance(one, judgements):
            continue
        text = f"{type(one).__name__}: {_text(one)}"
        if vendors.lost_error(text):
            return MACHINE
        if _is_memory(one, text):
            return OUT_OF_MEMORY
    return None


def _all_of(error: BaseException, judgements: tuple[type[BaseException], ...]) -> Iterator[BaseException]:
    """Yield an exception, then what it came of and what it is a group of, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        if one.__cause__ is not None:
            waiting.append(one.__cause__)
        elif one.__context__ is not None and not one.__suppress_context__ and not isinstance(one, judgements):
            waiting.append(one.__context__)


def _is_memory(error: BaseException, text: str) -> bool:
    if any(kind.__name__ in _CLASSES and _root(kind) in _OF for kind in type(error).__mro__):
        return True
    if vendors.memory_error(text) is not None or _EXHAUSTED.search(text) is not None:
        return True
    return "RESOURCE_EXHAUSTED" in text and any(_root(kind) in _EXHAUSTED_OF for kind in type(error).__mro__)


def _root(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a test may have made it of anything
        return ""
