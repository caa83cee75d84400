"""Samples: take what a test says of one item, keep one line of strict JSON, within bounds.

Pure: standard library only; arrays and scalars of NumPy and torch are recognised by what they can do, never by import.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import os
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from typing import Any

from ..values.errors import MetricProblem
from ..values.texts import safe_repr
from .metric import Number, checked_name, coerced, non_finite_name, type_name

SCORE = "score"
"""What the score is called that has no other name."""

MOST_OF_VALUE = 65_536
"""Characters of one value, as JSON, that are kept whole. A longer one leaves its beginning, its length and a digest."""

KEPT = 16_384
"""Characters that are kept of a longer one."""

KEPT_WHEN_FULL = 200
"""Characters that are kept of each value once an attempt has :data:`MOST_BYTES`."""

MOST_BYTES = 1 << 28
"""Of one attempt's lines, until values are kept by their beginnings alone."""

MOST_ITEMS = 1_000_000
"""Of one attempt."""

_MOST_OF_ID = 1000
_MOST_ELEMENTS = 100_000

Score = Number | str
"""A finite number, or ``nan``, ``inf``, ``-inf``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What was said of one item: ``line`` is all of it as JSON, in ASCII and without a line break."""

    id: str
    scores: Mapping[str, Score]
    line: str
    is_cut: bool = False


def make(
    item: object,
    *,
    values: Mapping[str, object],
    score: object = None,
    scores: Mapping[str, object] = {},
    is_full: bool = False,
) -> Sample:
    """Check and coerce what ``record_sample`` was given; of ``values``, what is None was not given.

    Where the attempt ``is_full``, only the beginnings of values are kept.

    Raises:
        MetricProblem: naming the item, the argument and the type that it had.
    """
    name = _id(item)
    found = {} if score is None else {SCORE: _score(name, SCORE, score)}
    for key, value in scores.items():
        if value is not None:
            found[checked_name(key, "record_sample", "score")] = _score(name, key, value)
    parts, cut = [f'{{"id":{_encode(name)}'], {}
    for key, value in values.items():
        if value is not None:
            text, told = _bounded(name, key, value, most=KEPT_WHEN_FULL if is_full else MOST_OF_VALUE)
            parts.append(f'"{key}":{text}')
            if told:
                cut[key] = told
    if found:
        parts.append(f'"scores":{_encode(found)}')
    if cut:
        parts.append(f'"cut":{_encode(cut)}')
    return Sample(name, found, ",".join(parts) + "}", bool(cut))


def _id(item: object) -> str:
    try:
        name = item if isinstance(item, str) else str(item)
    except Exception as error:  # a foreign type may do anything, and a whole number may be too long to be written
        raise MetricProblem(
            f"record_sample: the id of an item is a text or a number, not a {type_name(item)} ({error})"
        ) from None
    if not name or item is None:
        raise MetricProblem(f"record_sample: the id of an item is a text or a number, not {item!r}")
    if len(name) > _MOST_OF_ID:
        raise MetricProblem(
            f"record_sample: an id of {len(name)} characters ({name[:40]!r}…) is too long: give a number or a name of "
            f"{_MOST_OF_ID} at most, and the text as input"
        )
    return name


def _score(item: str, name: str, value: object) -> Score:
    if type(value) is bool:
        return int(value)
    number = value if type(value) in (int, float) else coerced(f"item {item!r}: {name}: ", value)
    assert isinstance(number, int | float)
    if isinstance(number, float) and not math.isfinite(number):
        return non_finite_name(number)
    try:
        float(number)
    except OverflowError:  # who reads it has floats, and would take the line for damaged
        raise MetricProblem(f"item {item!r}: {name}: an int of that size has no float") from None
    return number


def _bounded(item: str, key: str, value: object, *, most: int) -> tuple[str, dict[str, Any]]:
    """Return a value as JSON, of so many characters at most, and what was cut: nothing where it is whole."""
    if isinstance(value, str) and len(value) > most:
        text, told = str(value), {}
    else:
        text, told = _text(item, key, value), {"json": True}
        if len(text) <= most:
            return text, {}
        if isinstance(value, str):  # which has grown by its escapes
            text, told = str(value), {}
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return _encode(text[: min(most, KEPT)]), {"length": len(text), "sha256": digest, **told}


def _text(item: str, key: str, value: object) -> str:
    try:
        return _encode(value)
    except (ValueError, TypeError, RecursionError):
        pass  # a number that JSON has no form for, or a key
    except Exception as error:  # a foreign type may do anything
        raise MetricProblem(f"item {item!r}: {key} cannot be read: {type(error).__name__}: {error}") from None
    try:
        return _encode(_strict(value))
    except RecursionError:
        raise MetricProblem(f"item {item!r}: {key} holds itself, or is nested too deeply for JSON") from None
    except Exception as error:
        raise MetricProblem(
            f"item {item!r}: {key} is no JSON value: {error}; give texts, numbers, and lists and dicts of these, and "
            "keep what is neither with attach()"
        ) from None


def _strict(value: object) -> object:
    """Return a value with a name in place of each number that JSON has no form for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else non_finite_name(value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {_key(key): _strict(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_strict(one) for one in value]
    return _strict(_plain(value))


def _key(key: object) -> str:
    plain = _strict(key)
    return plain if isinstance(plain, str) else str(plain)


def _plain(value: object) -> object:
    """Return what stands for a value that is none of JSON's. Raises TypeError where nothing does."""
    for kinds, plain in _PLAIN:
        if isinstance(value, kinds):
            return plain(value)
    if hasattr(value, "tolist") and hasattr(value, "shape"):
        return _numbers(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    raise TypeError(f"it holds a {type_name(value)} ({safe_repr(value, 60)})")


def _numbers(array: Any) -> object:
    shape = tuple(array.shape)
    if math.prod(shape) > _MOST_ELEMENTS:
        raise TypeError(f"a {type_name(array)} of shape {shape} has too many numbers")
    return array.tolist()


_PLAIN: tuple[tuple[type | tuple[type, ...], Callable[[Any], object]], ...] = (
    (enum.Enum, lambda value: value.value),
    (Mapping, dict),
    ((set, frozenset), list),
    ((Decimal, Fraction), float),
    (os.PathLike, os.fspath),
    ((date, time), lambda value: value.isoformat()),
)


# Made before any test, which may replace what json makes it of.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_plain).encode
