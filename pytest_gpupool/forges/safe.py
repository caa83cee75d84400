"""Safe: text that is shown as it is by every forge's Markdown, and that people can read as plain text too.

Names of tests and messages may hold anything. What is no plain word goes between backticks, lines of a table into a
fenced block: within both no forge looks for mentions, references, emoji, HTML, or for quick actions of GitLab.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..values.texts import one_line

# Words that are syntax nowhere. GitHub makes links of "GH-12", www. and ://; GitLab of %12; "_" within a word is none.
_PLAIN = re.compile(r"\(?[+-]?\w+(?:[.,:=/–-]\w+)*%?\)?[.,:;]?|[–→+]", re.ASCII)
_LINK = re.compile(r"gh-\d|www\.|_", re.IGNORECASE)
_MARK = re.compile(r"[.,:;]?$")


def prose(text: str) -> str:
    """Return a sentence of ours with names in it: words that could be syntax are code."""
    return " ".join(word if _is_plain(word) else _code(word) for word in one_line(text).split(" "))


def block(lines: Iterable[str]) -> str:
    """Return lines as a fenced block, whose fence none of them closes."""
    shown = [one_line(line) for line in lines]
    fence = "`" * max(3, 1 + _longest_run("\n".join(shown)))
    return "\n".join([f"{fence}text", *shown, fence])


def _is_plain(word: str) -> bool:
    return not word or (_PLAIN.fullmatch(word) is not None and _LINK.search(word) is None)


def _code(word: str) -> str:
    mark = _MARK.search(word)
    end = mark[0] if mark else ""
    inner = word.removesuffix(end) or word
    end = end if inner != word else ""
    fence = "`" * (1 + _longest_run(inner))
    apart = " " if inner.startswith("`") or inner.endswith("`") else ""
    return f"{fence}{apart}{inner}{apart}{fence}{end}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
