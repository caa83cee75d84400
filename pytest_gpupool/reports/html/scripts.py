"""The one script of a page: the parts in ``script/``, joined without what is for people and type checkers only."""

from __future__ import annotations

import re
from collections.abc import Iterable

PARTS = (
    *("dom", "chunks", "words", "scale", "plot", "lanes", "zoom", "timeline", "pivot", "heatmap", "history"),
    *("overview", "usage", "items", "attachments", "rows", "sorting", "windowed", "table", "start"),
)
"""The parts of the report's script, in the order in which they build on each other."""

SERVED = (*PARTS[:-1], "live", PARTS[-1])
"""The same of a page that a server has made, which it asks whether there is more: a file asks nobody."""

COMPARING = ("dom", "chunks", "words", "pivot", "rows", "sorting", "windowed", "table", "comparison")
"""The same of the page of two runs side by side."""

# Whole lines only, so that no text of the script is taken for a comment; no text spans lines.
_COMMENT_LINES = re.compile(r"^[ \t]*(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/[ \t]*)\n", re.MULTILINE)


def joined(sources: Iterable[str]) -> str:
    """Return the script as the page embeds it: in a scope of its own, and strict."""
    parts = "\n".join(without_comments(source) for source in sources)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def without_comments(source: str) -> str:
    """Return JavaScript without the lines that are nothing but comments, which are most of JSDoc's types."""
    return _COMMENT_LINES.sub("", source)
