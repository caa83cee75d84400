"""Texts: values as people and reports read them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache, partial

MESSAGE_LIMIT = 10_000
"""Characters of a failure that are kept in records and reports."""


# Bound, and not the class: what a test puts in its place here is not asked.
_in_utc, _parsed = partial(datetime.fromtimestamp, tz=UTC), partial(datetime.fromisoformat)

# What a spreadsheet takes for the beginning of a formula, and what it leaves out before one; also where a quote is
# before it, so that whoever takes the quotes away again finds what there was.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\0\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|nan)", re.ASCII | re.IGNORECASE)

# What no text file can carry, and what would change how the text around it is shown (the order of writing).
_HIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")


def safe_repr(value: object, limit: int = 1000) -> str:
    """Return a value's repr, cut to ``limit`` characters; a word about it where its own repr fails."""
    try:
        text = repr(value)
    except Exception as error:  # a foreign type's repr may do anything
        return f"<{type(value).__name__} whose repr failed: {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[:limit]}…"


def shortened(text: str) -> str:
    """Return a message as records and reports keep it: its beginning, in characters that can be written anywhere."""
    if len(text) > MESSAGE_LIMIT:
        text = f"{text[:MESSAGE_LIMIT]}\n… ({len(text) - MESSAGE_LIMIT} characters left out)"
    # A lone surrogate, as in a damaged file name, can be written to no report.
    return text.encode("utf-8", "backslashreplace").decode()


def visible(text: str) -> str:
    """Return a text with the characters that cannot be seen, or written, as Python's escapes; lines and tabs stay."""
    if text.isprintable():  # as nearly all are: quicker by far
        return text
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def cell(value: object) -> object:
    """Return a value as a cell of CSV: a text that a spreadsheet would take for a formula gets a quote before it.

    As OWASP describes it against CSV injection. What is a number stays one, also one that is written as a text.
    """
    if not isinstance(value, str) or not _FORMULA.match(value) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def one_line(text: str) -> str:
    """Return a text as one line of a terminal or a table: what would end the line, or move within it, as escapes."""
    if text.isprintable():
        return text
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def cut(text: str, most: int) -> str:
    """Return a text of so many characters at most, without its end."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def cut_middle(text: str, most: int) -> str:
    """Return a text of so many characters at most, without its middle: what tells names apart is often at the end."""
    if len(text) <= most:
        return text
    end = most // 2
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}" if most > 1 else "…"[:most]


def iso(epoch: float) -> str:
    """Return seconds since 1970 as UTC in ISO 8601 with ``Z``, to the microsecond."""
    seconds, micros = divmod(round(epoch * 1_000_000), 1_000_000)
    return f"{_second(seconds)}.{micros:06}Z"


@lru_cache(maxsize=1)  # two of them are written for each test, and most tests take less than a second
def _second(epoch: int) -> str:
    return _in_utc(epoch).isoformat()[:19]


def epoch(text: str) -> float:
    """Return the seconds since 1970 of what :func:`iso` wrote."""
    return _parsed(text).timestamp()


def duration_text(seconds: float) -> str:
    """Return a duration as people say it: ``8 s``, ``12 min``, ``3 h 5 min``."""
    whole = int(max(0.0, seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def size_text(size: int) -> str:
    """Return bytes as people say them: ``61.2 GiB``, ``512 MiB``."""
    gib = size / 2**30
    return f"{gib:.1f} GiB" if gib >= 1 else f"{size / 2**20:.0f} MiB"


_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def seconds(text: str) -> float:
    """Read a time from 0, in seconds or such as ``90s``, ``5m`` or ``2h``. Raises ValueError where it is none."""
    match = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(|s|m|min|h)\s*", text, re.ASCII)
    value = float(match[1]) * _UNITS[match[2]] if match else math.nan
    if not 0 <= value < math.inf:
        raise ValueError(text)
    return value
