"""A note: one comment as a forge tells of it."""

from __future__ import annotations

from typing import NamedTuple


class Note(NamedTuple):
    """One comment: its number, who wrote it, the text, and where people find it, if that is known."""

    id: int
    author: str
    body: str
    link: str
