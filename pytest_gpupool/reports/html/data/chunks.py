"""Chunks: how a page keeps much data in little room, each part by itself, so that none is read before it is wanted.

A chunk is JSON, compressed as zlib does (RFC 1950), as base64: what browsers' DecompressionStream reads as "deflate".
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")


def packed(content: Any) -> str:
    """Return the content as one line of base64, which can stand anywhere in a page."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("ascii"), 6)).decode("ascii")


def unpacked(chunk: str) -> Any:
    """Return what was packed."""
    return json.loads(zlib.decompress(base64.b64decode(chunk)))


def lines(things: Iterable[T], size: int) -> Iterator[str]:
    """Yield a chunk for every so many things, the last one for what is left; none where there are none."""
    each = iter(things)
    while part := list(islice(each, size)):
        yield packed(part)


def joined(chunks: Iterable[str]) -> str:
    """Return chunks as a page holds them: each is a line of its own."""
    return "\n".join(chunks)


def split(text: str) -> Sequence[str]:
    """Return the chunks of a text."""
    return text.split("\n") if text else []
