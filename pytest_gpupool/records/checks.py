"""Checks: what a value may be that was read from a file, as small functions that combine.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Check = Callable[[Any], bool]

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", re.ASCII)
_DEVICE = re.compile(r"(GPU-|MIG-).*|cpu:[0-9]{1,4}", re.DOTALL)
_MOST_SECONDS = 1e12  # no time is longer, and sums of such numbers stay finite


@dataclass(frozen=True, slots=True)
class Maybe:
    """The check of what may be missing."""

    check: Check

    def __call__(self, value: Any) -> bool:
        """Check what is there."""
        return self.check(value)


def fits(value: Any, shape: Mapping[str, Check]) -> bool:
    """Say whether a mapping has all that a shape asks for; more does no harm."""
    return isinstance(value, dict) and all(
        check(value[key]) if key in value else isinstance(check, Maybe) for key, check in shape.items()
    )


def is_text(value: Any) -> bool:
    """Any text."""
    return isinstance(value, str)


def is_name(value: Any) -> bool:
    """A text that is not empty."""
    return isinstance(value, str) and value != ""


def is_whole(value: Any) -> bool:
    """A whole number, which a bool is not."""
    return type(value) is int


def is_count(value: Any) -> bool:
    """A whole number from 0."""
    return type(value) is int and value >= 0


def is_time(value: Any) -> bool:
    """A time as :func:`model.iso` writes it."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def is_device(value: Any) -> bool:
    """The id of a device."""
    return isinstance(value, str) and _DEVICE.fullmatch(value) is not None


def or_none(check: Check) -> Check:
    """Return the check that takes None as well."""
    return lambda value: value is None or check(value)


def one_of(*values: object) -> Check:
    """Return the check that takes these texts."""
    return lambda value: isinstance(value, str) and value in values


def list_of(check: Check) -> Check:
    """Return the check that takes a list of such."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def shaped(shape: Mapping[str, Check]) -> Check:
    """Return the check that takes a mapping of that shape and no other key."""
    return lambda value: fits(value, shape) and value.keys() == shape.keys()


def is_seconds(value: Any) -> bool:
    """A duration in seconds."""
    return type(value) in (int, float) and 0 <= value < _MOST_SECONDS


def is_number(value: Any) -> bool:
    """A finite number, which a bool is not."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def is_tolerance(value: Any) -> bool:
    """A finite number from 0."""
    return is_number(value) and value >= 0


def is_flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)
