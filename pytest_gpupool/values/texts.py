"""Texts: values as people and reports read them."""

from __future__ import annotations

from datetime import UTC, datetime

MESSAGE_LIMIT = 10_000
"""Characters of a failure that are kept in records and reports."""


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


def iso(epoch: float) -> str:
    """Return seconds since 1970 as UTC in ISO 8601 with ``Z``, to the microsecond."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def epoch(text: str) -> float:
    """Return the seconds since 1970 of what :func:`iso` wrote."""
    return datetime.fromisoformat(text).timestamp()


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
