"""Data types: what a value may be, as one declaration for whoever reads it and for the JSON Schema of what is written.

A :class:`DataType` is of one value, a :class:`Shape` of a mapping with keys. The check of a type may take less than its
schema says (no calendar has that day), or more (of what only a part is read).

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

Check = Callable[[Any], bool]

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", re.ASCII)
_MOST_DIGITS = 4  # of a CPU slot's number
_MOST_SECONDS = 1e12  # no time is longer, and sums of such numbers stay finite


class DataType(NamedTuple):
    """What one value may be.

    ``schema`` is what a JSON Schema says of it, in which data types and shapes may stand for what it says of these;
    ``words`` is how a person is told; ``name`` is that of its definition in the schema, for one that is used often.
    """

    check: Check
    schema: object
    words: str = ""
    name: str = ""


class Key(NamedTuple):
    """A key of a mapping. ``about`` is the schema's description of it."""

    type: DataType
    about: str = ""
    is_needed: bool = True
    """Whether a mapping that is read must have it."""
    is_always_written: bool = True
    is_read: bool = True
    """Whether it matters to a reader what it is."""


def optional(data_type: DataType, about: str = "") -> Key:
    """Return a key that may be missing."""
    return Key(data_type, about, is_needed=False, is_always_written=False)


def unread(data_type: DataType, about: str = "", *, always: bool = True) -> Key:
    """Return a key that is written, always or not, for other programs: no reader of ours looks at it."""
    return Key(data_type, about, is_needed=False, is_always_written=always, is_read=False)


class Shape:
    """The keys of a mapping. Where one is read, other keys do no harm, except where it ``is_closed``.

    ``rule`` is a check of the whole, and ``rule_schema`` what a JSON Schema says of that.
    """

    def __init__(
        self,
        keys: Mapping[str, Key | DataType],
        *,
        is_closed: bool = False,
        rule: Check | None = None,
        rule_schema: Mapping[str, Any] | None = None,
    ) -> None:
        self.keys = {name: Key(key) if isinstance(key, DataType) else key for name, key in keys.items()}
        self.rule_schema = rule_schema or {}
        self._is_closed = is_closed
        self._rule = rule
        self._read = [(name, key.type.check, key.is_needed) for name, key in self.keys.items() if key.is_read]

    def fits(self, value: Any) -> bool:
        """Say whether a value is a mapping of this shape."""
        if not isinstance(value, dict):
            return False
        for name, check, is_needed in self._read:
            if name in value:
                if not check(value[name]):
                    return False
            elif is_needed:
                return False
        if self._is_closed and value.keys() != self.keys.keys():
            return False
        return self._rule is None or self._rule(value)

    def first_wrong(self, value: Mapping[str, Any]) -> str | None:
        """Return the first key that is missing, or not what it must be; None where there is none."""
        for name, check, is_needed in self._read:
            if not check(value[name]) if name in value else is_needed:
                return name
        return None


def or_null(data_type: DataType, name: str = "") -> DataType:
    """Return the type of what may be None as well."""
    check, schema = data_type.check, data_type.schema
    known = schema if isinstance(schema, dict) else {}
    if "type" in known:
        schema = {**known, "type": [known["type"], "null"]}
    elif "enum" in known:
        schema = {"enum": [*known["enum"], None]}
    else:
        schema = {"anyOf": [{"type": "null"}, data_type]}
    name = name or (f"{data_type.name}_or_null" if data_type.name else "")
    return DataType(lambda value: value is None or check(value), schema, data_type.words, name)


def one_of(*values: str) -> DataType:
    """Return the type of what is one of these texts."""
    return DataType(lambda value: isinstance(value, str) and value in values, {"enum": list(values)})


def list_of(data_type: DataType, words: str = "") -> DataType:
    """Return the type of a list of such."""
    check = data_type.check
    return DataType(
        lambda value: isinstance(value, list) and all(map(check, value)), {"type": "array", "items": data_type}, words
    )


def object_of(shape: Shape, name: str = "") -> DataType:
    """Return the type of a mapping of a shape."""
    return DataType(shape.fits, shape, name=name)


def is_number(value: Any) -> bool:
    """A finite number, which a bool is not."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def is_time(value: Any) -> bool:
    """A time as :func:`texts.iso` writes it."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_device(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    slot = value.removeprefix("cpu:")
    is_slot = slot != value and len(slot) <= _MOST_DIGITS and slot.isascii() and slot.isdigit()
    return is_slot or value.startswith(("GPU-", "MIG-"))


_DIGEST = re.compile("[0-9a-f]{16}")


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_sample(value: Any) -> bool:
    # An int may be of any size, and samples are floats.
    return value in _NON_FINITE if isinstance(value, str) else is_number(value) and abs(value) <= sys.float_info.max


_NON_FINITE = ("nan", "inf", "-inf")

TEXT = DataType(lambda value: isinstance(value, str), {"type": "string"}, "a text")
TEXT_OR_NULL = or_null(TEXT, "text_or_null")
NAME = DataType(
    lambda value: isinstance(value, str) and value != "", {"type": "string", "minLength": 1}, "a text that is not empty"
)
FLAG = DataType(lambda value: isinstance(value, bool), {"type": "boolean"}, "true or false")

WHOLE = DataType(lambda value: type(value) is int, {"type": "integer"}, "a whole number")
COUNT = DataType(_is_count, {"type": "integer", "minimum": 0}, "a whole number from 0", "count")
BYTES_OR_NULL = or_null(COUNT, "bytes_or_null")
POSITIVE = DataType(
    lambda value: type(value) is int and value >= 1, {"type": "integer", "minimum": 1}, "a whole number from 1"
)
PROCESS = DataType(_is_count, {"type": "integer"}, "the number of a process")

NUMBER = DataType(is_number, {"type": "number"}, "a finite number")
AMOUNT = DataType(lambda value: is_number(value) and value >= 0, {"type": "number", "minimum": 0}, "a number from 0")
PERCENT = DataType(
    lambda value: is_number(value) and 0 <= value <= 100,
    {"type": "number", "minimum": 0, "maximum": 100},
    "a number from 0 to 100",
    "percent",
)
SECONDS = DataType(
    lambda value: type(value) in (int, float) and 0 <= value < _MOST_SECONDS,
    {"type": "number", "minimum": 0},
    "a number from 0",
    "seconds",
)

NON_FINITE = one_of(*_NON_FINITE)
"""A number that JSON has no form for."""

SAMPLE = DataType(_is_sample, {"anyOf": [NUMBER, NON_FINITE]})
SAMPLES = list_of(SAMPLE, 'a list of numbers, "nan", "inf" or "-inf"')

TIMESTAMP = DataType(
    is_time,
    {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$"},
    "a time in UTC",
    "timestamp",
)
DEVICE_ID = DataType(
    _is_device,
    {"type": "string", "pattern": "^(GPU-|MIG-|cpu:[0-9]+$)"},
    "the id of a device",
    "device_id",
)
DIGEST = DataType(_is_digest, {"type": "string", "pattern": "^[0-9a-f]{16}$"}, "16 hexadecimal digits")
"""Of what is in a file, which is named by it."""
