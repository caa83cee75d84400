"""Frames: what the controller and a worker's host say to each other, as bytes: a kind, a length, and so much."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

DATA = b"D"
"""Of the worker's stdin, or of its stdout."""
SAYS = b"J"
"""A JSON object with a ``what``: a question, an answer, or a word."""
ERRORS = b"E"
"""Of the worker's stderr."""
BEAT = b"B"
"""Nothing: somebody is there."""

BEAT_SECONDS = 5.0
"""How often each side says so."""
SILENCE_SECONDS = 60.0
"""For how long one side hears nothing before it takes the other one for lost."""
GONE_STATUS = 86
"""With which a node's program ends where its controller is gone: whoever placed it may have to end more than it."""

_HEAD = struct.Struct(">cI")


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """Return a frame as it is sent."""
    return _HEAD.pack(kind, len(payload)) + payload


def says(what: str, **values: Any) -> bytes:
    """Return the frame that says this."""
    return frame(SAYS, json.dumps({"what": what, **values}).encode())


class Frames:
    """Makes frames again of bytes as they come, cut anywhere."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def of(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the kind and the payload of each frame that is whole by now."""
        self._rest += data
        while len(self._rest) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._rest)
            end = _HEAD.size + length
            if len(self._rest) < end:
                return
            payload = bytes(self._rest[_HEAD.size : end])
            del self._rest[:end]
            yield kind, payload
