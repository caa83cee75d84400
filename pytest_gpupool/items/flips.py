"""Flips: which items were right and are wrong now, and back.

An item is right by one of its scores, of which 1 or True is right and 0 or False is wrong. Of a score between these, at
least 0.5 is right; one below 0 or above 1, such as a loss or a rank, says of no item whether it is right, unless a
threshold is given. NaN is wrong. Where less is better, by the metric of that name, all this is turned round.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Item = dict[str, Any]
"""``id``, what was said of it (``input``, ``output``, ``target``, ``scores``, ``cut``), and the ``repeat`` that has."""

Flip = Literal["broke", "fixed"]
BROKE: Flip = "broke"
"""It was right, and is wrong."""
FIXED: Flip = "fixed"
"""It was wrong, and is right."""

HALF = 0.5

Place = tuple[int, str]
"""What tells an item from the others of its test: the repeat that has it, and its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """By what an item is right: the name of a score, or None for the first of ``order`` that both sides have.

    ``lower`` has the scores of which less is better.
    """

    score: str | None = None
    threshold: float | None = None
    lower: Collection[str] = ()
    order: tuple[str, ...] = ("score",)


def place_of(item: Mapping[str, Any]) -> Place:
    """Return what an item is found by in another run."""
    return item.get("repeat", 0), item["id"]


def is_right(value: float | str, threshold: float | None = None, *, lower: bool = False) -> bool | None:
    """Say whether a score is that of an item that is right; None where such a score does not say."""
    if isinstance(value, str):
        return False if value == "nan" else None
    number = value
    if threshold is None and not 0 <= number <= 1:
        return None
    bound = HALF if threshold is None else threshold
    return number <= bound if lower and threshold is not None else (number < bound if lower else number >= bound)


def judged(item: Item, before: Item | None, rule: Rule) -> Item:
    """Have an item say whether it is ``right``, and, where the other side has it, ``before`` and ``flip``; return it.

    ``right`` is None where no score says; ``before`` is the other side's item with its ``right``; ``flip`` is
    :data:`BROKE`, :data:`FIXED`, or None; ``by`` names the score by which it is judged.
    """
    scores = item.get("scores", _NOTHING)
    others = None if before is None else before.get("scores", _NOTHING)
    name = _score(scores, others, rule)
    item["by"], item["flip"] = name, None
    item["right"] = right = None if name is None else is_right(scores[name], rule.threshold, lower=name in rule.lower)
    if before is None or others is None:
        return item
    was = None if name not in others else is_right(others[name], rule.threshold, lower=name in rule.lower)
    before["right"], item["before"] = was, before
    if was is not None and right is not None and was != right:
        item["flip"] = FIXED if right else BROKE
    return item


_NOTHING: Mapping[str, Any] = {}


def compared(items: Iterable[Item], before: Mapping[Place, Item], rule: Rule) -> Iterator[Item]:
    """Yield each item as :func:`judged` returns it, in their order, one at a time.

    ``before`` has the other side's by :func:`place_of`; nothing where there is no other side.
    """
    for item in items:
        yield judged(item, before.get(place_of(item)), rule)


def worst_first(items: Iterable[Item]) -> list[Item]:
    """Return what broke, what was fixed, what is wrong, and the rest, each in its order."""
    return sorted(items, key=rank)


def rank(item: Mapping[str, Any]) -> int:
    """Return by what the worst come first, see :func:`worst_first`."""
    if item.get("flip"):
        return 0 if item["flip"] == BROKE else 1
    return 2 if item.get("right") is False else 3


def _score(scores: Mapping[str, Any], others: Mapping[str, Any] | None, rule: Rule) -> str | None:
    if rule.score is not None:
        return rule.score if rule.score in scores else None
    if others:
        for names in (rule.order, scores):
            for name in names:
                if name in scores and name in others:
                    return name
    return next((name for name in rule.order if name in scores), next(iter(scores), None))
