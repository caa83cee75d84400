"""Output: what is kept of a script's output, and what of it this process writes as its own while it comes."""

from __future__ import annotations

import codecs
import sys
from typing import TextIO

KEPT = 4 * 2**20
"""Bytes of each stream, the last ones, that a result has."""

ECHOED = 2**20
"""Bytes of each stream that are passed on as they come. pytest keeps all of that in memory, and sends it around."""

_LAST = 2**16

STREAMS = ("stdout", "stderr")


class Kept:
    """The last bytes of each stream, so many."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._data = {name: bytearray() for name in STREAMS}

    def hear(self, stream: str, data: bytes) -> None:
        """Some has come."""
        kept = self._data[stream]
        kept += data
        if len(kept) > 2 * self._most:
            del kept[: -self._most]

    def text(self, stream: str) -> str:
        """Return what is kept of a stream, as text."""
        return bytes(self._data[stream][-self._most :]).decode(errors="replace")


class Echo:
    """Writes it to ``sys.stdout`` and ``sys.stderr`` as they are at that moment, which pytest captures for the test."""

    def __init__(self) -> None:
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in STREAMS}
        self._left = dict.fromkeys(STREAMS, ECHOED)
        self._rest = {name: bytearray() for name in STREAMS}
        self._omitted = dict.fromkeys(STREAMS, 0)

    def hear(self, stream: str, data: bytes) -> None:
        """Some has come."""
        passed = data[: self._left[stream]]
        self._left[stream] -= len(passed)
        self._write(stream, self._decoders[stream].decode(passed))
        rest = self._rest[stream]
        rest += data[len(passed) :]
        if len(rest) > 2 * _LAST:
            self._omitted[stream] += len(rest) - _LAST
            del rest[:-_LAST]

    def close(self) -> None:
        """No more comes: write the end of what was too long."""
        for stream, rest in self._rest.items():
            text = self._decoders[stream].decode(b"", final=True)
            if omitted := self._omitted[stream]:
                text += f"\n... gpupool: {omitted} bytes of {stream} left out here ...\n"
            self._write(stream, text + rest.decode(errors="replace"))

    def _write(self, stream: str, text: str) -> None:
        file: TextIO | None = getattr(sys, stream)
        if text and file is not None:
            file.write(text)
            file.flush()
