"""Facts: short texts that a test says of itself: a checkpoint, a digest, a tag.

Pure: standard library only.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable

from ....metrics.metric import checked_name, type_name
from ....values.errors import MetricProblem
from ....values.texts import safe_repr

MOST = 1000
"""Characters of a fact."""

_PLAIN = (str, int, float)


def make(name: object, text: object) -> tuple[str, str]:
    """Check and coerce what ``record_fact`` was given.

    Raises:
        MetricProblem: the name cannot be shown, or the fact is no short text.
    """
    name = checked_name(name, "record_fact", "fact")
    if isinstance(text, enum.Enum):
        text = text.value
    if isinstance(text, os.PathLike):
        text = os.fspath(text)
    if not isinstance(text, _PLAIN):
        raise MetricProblem(f"fact {name!r} is a text, a number or a bool, not a {type_name(text)}")
    told = _sound(str(text))
    if len(told) > MOST:
        raise MetricProblem(
            f"fact {name!r} has {len(told)} characters, of {MOST} at most: keep a long text by attach()"
        )
    return name, told


def of_properties(pairs: Iterable[tuple[object, object]]) -> dict[str, str]:
    """Return as facts what ``record_property`` was given; of a name that is there twice the last one."""
    return {str(name): _cut(value) for name, value in pairs}


def _cut(value: object) -> str:
    text = _sound(str(value) if isinstance(value, _PLAIN) else safe_repr(value, MOST))
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def _sound(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
