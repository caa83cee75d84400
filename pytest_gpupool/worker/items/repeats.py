"""Repeats of tests: a test that is to be measured several times is as many items, each run by whoever has time."""

from __future__ import annotations

import pytest

from ...foreign.pytest_names import copied, rename
from ...values.errors import MarkerProblem
from ...values.repeats import Repeat
from .markers import requirement_of

_repeat_key: pytest.StashKey[Repeat] = pytest.StashKey()


_origin_key: pytest.StashKey[pytest.Item] = pytest.StashKey()


def repeat_of(item: pytest.Item) -> Repeat | None:
    """Return which repeat of a test an item is, None where it is the test itself."""
    return item.stash.get(_repeat_key, None)


def origin_of(item: pytest.Item) -> pytest.Item:
    """Return the item that was collected, of which one may be a repeat."""
    return item.stash.get(_origin_key, item)


def unfold(items: list[pytest.Item], default: int) -> None:
    """Put the repeats of each test in its place; ``default`` are those of tests that name none. Twice changes nothing.

    A test that is to be measured once is left as it is. So is one whose marker cannot be understood, which is said
    when it is set up, and one that is skipped.
    """
    items[:] = [one for item in items for one in _repeats(item, default)]


def _repeats(item: pytest.Item, default: int) -> list[pytest.Item]:
    if repeat_of(item) is not None:
        return [item]
    try:
        asked = requirement_of(item)
    except MarkerProblem:
        return [item]
    count = asked.repeats or default
    if count == 1 or any(True for _ in item.iter_markers("skip")):
        return [item]
    made = []
    at_least = count if asked.at_least is None else min(asked.at_least, count)
    for number in range(count):
        repeat = Repeat(item.nodeid, number, count, at_least, asked.reduce)
        copy = copied(item)
        copy.stash[_repeat_key], copy.stash[_origin_key] = repeat, item
        rename(copy, repeat.nodeid)
        made.append(copy)
    return made
