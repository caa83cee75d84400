"""Labels: in which order a parameter's recorded values stand in a table, and what they are called there.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a row or a column stands for: a parameter's value, as JSON has it, and as people read it.

    ``test`` is a row's test function, or its one test where no parameter tells rows apart.
    """

    value: Any = None
    text: str = ""
    test: str = ""


def key_of(value: Any) -> Hashable:
    """Return what makes two values the same: 1 and 1.0 are, but 1, True and "1" are not."""
    return value if _is_number(value) else json.dumps(value, sort_keys=True)


def distinct(values: Iterable[Any]) -> dict[Hashable, Any]:
    """Return the different values by their keys: numbers in their order, then the others as they came."""
    found: dict[Hashable, Any] = {}
    for value in values:
        found.setdefault(key_of(value), value)
    numbers = sorted(value for value in found.values() if _is_number(value))
    return {key_of(value): value for value in numbers} | found


def labels_of(values: Iterable[Any]) -> dict[Hashable, Label]:
    """Return the labels of the different values, no two with the same text: where 1 and "1" are, the text is quoted."""
    found = distinct(values)
    count = Counter(map(_text, found.values()))
    return {key: Label(value=value, text=_label(value, count[_text(value)])) for key, value in found.items()}


def _label(value: Any, alike: int) -> str:
    is_unclear = isinstance(value, str) and (alike > 1 or not value)
    return json.dumps(value, ensure_ascii=False) if is_unclear else _text(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
