"""Tests that run pytest in several ways (without workers, with one, with two): each in one of them, all with --long.

Which one is chosen by the test's name, so that every way is tried by many tests, and every test in the same way each
time.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import pytest

_NAMES = ("workers", "args", "outer", "environ")
_WORKERS = re.compile(r"-n ?[0-9]+")
_PLACES = ("outside", "inside")
"""Of an allocation of SLURM."""


def left_out(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return those that differ from another one in nothing but the way in which they run pytest."""
    alike: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if (name := _of_ways(item)) is not None and not any(map(item.get_closest_marker, ("long", "every_way"))):
            alike[_without(item, name)].append(item)
    left = []
    for variants in alike.values():
        if any(_way(item) for item in variants):  # else it is something else that is empty here
            ordered = sorted(variants, key=lambda item: item.nodeid)  # the same on every worker
            chosen = ordered[zlib.crc32(ordered[0].nodeid.encode()) % len(ordered)]
            left += [item for item in ordered if item is not chosen]
    return left


def _of_ways(item: pytest.Item) -> str | None:
    """Return the name of the parameter that says in which way the test runs pytest."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return None
    return next(
        (name for name in _NAMES if name in callspec.params and _way_of(callspec.params[name]) is not None), None
    )


def _way(item: pytest.Item) -> str | None:
    name = _of_ways(item)
    return None if name is None else _way_of(getattr(item, "callspec").params[name])  # noqa: B009 - no Item has it


def _way_of(value: object) -> str | None:
    """Return what a parameter gives pytest, if that is a number of workers and nothing else; "" without workers."""
    if isinstance(value, str):
        return value if value in _PLACES or _WORKERS.fullmatch(value) else None
    if not isinstance(value, Sequence) or not all(isinstance(part, str) for part in value):
        return None
    words = " ".join(value)
    return words if not words or _WORKERS.fullmatch(words) else None


def _without(item: pytest.Item, name: str) -> str:
    """Return the test and its other parameters."""
    callspec = getattr(item, "callspec")  # noqa: B009
    others = sorted((key, repr(value)) for key, value in callspec.params.items() if key != name)
    return f"{item.nodeid.partition('[')[0]} {others}"
