"""Repeats of tests: a test that is to be measured several times is as many items, each run by whoever has time."""

from __future__ import annotations

import contextlib
import re

import pytest

from ...foreign.pytest_names import REPEAT_STEP, copied, parameters_of, rename
from ...values.errors import MarkerProblem
from ...values.repeats import Repeat
from ...values.requirement import Requirement
from .markers import requirement_of

_STEP = re.compile(r"(.*)([-[])(\d+)-(\d+)\]", re.DOTALL)

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
    when it is set up, and one that is skipped. What pytest-repeat has made of a test are repeats of it as well.
    """
    items[:] = [one for item in items for one in _repeats(item, default)]


def _repeats(item: pytest.Item, default: int) -> list[pytest.Item]:
    if repeat_of(item) is not None:
        return [item]
    nodeid, step, steps = _step_of(item)
    asked, own = Requirement(), 1
    with contextlib.suppress(MarkerProblem):
        asked = requirement_of(item)
        if not any(True for _ in item.iter_markers("skip")):
            own = asked.repeats or default
    count = own * steps
    if count == 1:
        return [item]
    at_least = count if asked.at_least is None else min(asked.at_least, count)
    made = []
    for number in range(step * own, (step + 1) * own):
        repeat = Repeat(nodeid, number, count, at_least, asked.reduce)
        one = item if own == 1 else copied(item)
        one.stash[_repeat_key], one.stash[_origin_key] = repeat, item
        rename(one, repeat.nodeid)
        made.append(one)
    return made


def _step_of(item: pytest.Item) -> tuple[str, int, int]:
    """Return the id of the test that pytest-repeat has made an item of, which one it is, and of how many.

    It makes the step the last parameter: ``test_a[x-2-3]``, or ``test_a[2-3]``, is number 1 of 3.
    """
    found = _STEP.fullmatch(item.nodeid) if REPEAT_STEP in parameters_of(item) else None
    if found is None:
        return item.nodeid, 0, 1
    return found[1] + ("]" if found[2] == "-" else ""), int(found[3]) - 1, int(found[4])
