"""Recipes: what a test's result depends on, as far as it can be seen, in short; and what of it has changed.

Pure: standard library only, no clock, no files. A recipe is four digests in one text, in the order of :data:`PARTS`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

PARTS = ("its source file", "a conftest.py", "its parameters", "the options")
"""What a recipe is made of, as the user is told of a change."""

_DIGITS = 12  # 48 bits: that one of a million changes goes unnoticed has a chance of one in 280 million


def digest(parts: Iterable[bytes]) -> str:
    """Return a short digest of some texts; where one ends and the next begins counts."""
    whole = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
    return hashlib.sha256(whole).hexdigest()[:_DIGITS]


def recipe(source: str, conftests: str, params: str, options: str) -> str:
    """Return the recipe of these digests."""
    return ":".join((source, conftests, params, options))


def change(before: str | None, now: str) -> str | None:
    """Return what of a recipe has changed, in the words of :data:`PARTS`; None where nothing has."""
    if before == now:
        return None
    old, new = (before or "").split(":"), now.split(":")
    if len(old) != len(new):
        return "its record, which says not how it was made"
    return next(part for part, one, other in zip(PARTS, old, new, strict=True) if one != other)


def steady(text: str) -> str:
    """Return a repr without what differs from process to process: the addresses of objects."""
    return re.sub(r"\bat 0x[0-9a-f]+", "at …", text) if "at 0x" in text else text
