"""Items on the page: chunks by test, read when somebody looks at that test, and what is told of them before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ....items.flips import BROKE, FIXED, Item
from ....values.texts import visible
from . import chunks


class Items(Protocol):
    """The items of the tests of a report."""

    def of(self, test: Mapping[str, Any]) -> Sequence[Item]:
        """Return those of a test, the worst first."""

    def lost(self, test: Mapping[str, Any]) -> str | None:
        """Return a sentence where a test had items that cannot be read any more."""


CHUNK = 500
"""Items in a chunk."""


def packed(
    tests: Sequence[Mapping[str, Any]], items: Callable[[Mapping[str, Any]], Sequence[Item]] | None
) -> tuple[dict[str, Any], list[str]]:
    """Return what is told of the items of each test that has some, by its place, and the chunks of all.

    Told are the first chunk, how many there are of them and of items, and how many items broke, were fixed, are wrong.
    """
    told: dict[str, Any] = {}
    lines: list[str] = []
    for place, test in enumerate(tests):
        found = [] if items is None else items(test)
        if found:
            own = list(chunks.lines(map(_item, found), CHUNK))
            flips = [sum(item.get("flip") == flip for item in found) for flip in (BROKE, FIXED)]
            wrong = sum(item.get("right") is False for item in found)
            told[str(place)] = [len(lines), len(own), len(found), *flips, wrong]
            lines += own
    return told, lines


def _item(item: Item) -> list[Any]:
    before = item.get("before")
    return [
        _name(item),
        item.get("flip"),
        item.get("right"),
        _scores(item),
        *(_text(item.get(name)) for name in ("input", "target", "output")),
        None if before is None else [_text(before.get("output")), _scores(before), before.get("untold")],
        [*sorted(item.get("cut") or ()), *(["output before"] if before and "output" in before.get("cut", ()) else [])],
    ]


def _name(item: Item) -> str:
    return visible(str(item["id"])) + (f" #r{item['repeat']}" if "repeat" in item else "")


def _scores(item: Mapping[str, Any]) -> dict[str, Any]:
    return {visible(name): value for name, value in item.get("scores", {}).items()}


def _text(value: Any) -> str | None:
    """Return a value as a reader compares it: a text as it is, anything else as JSON, a line for each part."""
    if value is None:
        return None
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1))
