"""The channel: what the two processes of an isolated test say to each other, one message after the other."""

from __future__ import annotations

import socket
import struct
from typing import Any

from ..processes.own.system import os
from ..records import wire

_SIZE = struct.Struct("<Q")
_PIECE = 2**20


class Channel:
    """One end, by its descriptor; no :mod:`socket`, which a test may replace."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._read = b""

    def send(self, *message: object) -> None:
        """Send plain values. Raises OSError where nobody hears them any more."""
        data = wire.dumps(message)
        left = memoryview(_SIZE.pack(len(data)) + data)
        while left:
            left = left[os.write(self.descriptor, left[:_PIECE]) :]

    def receive(self) -> tuple[Any, ...]:
        """Wait for the next message. Raises EOFError where none will come."""
        while (message := self.next()) is None:
            self.read()
        return message

    def read(self) -> None:
        """Wait until there is something, and take it. Raises EOFError at the end."""
        try:
            data = os.read(self.descriptor, _PIECE)
        except OSError:
            data = b""
        if not data:
            raise EOFError
        self._read += data

    def next(self) -> tuple[Any, ...] | None:
        """Return the next message of what was read, None where it is not whole."""
        if len(self._read) < _SIZE.size:
            return None
        end = _SIZE.size + _SIZE.unpack_from(self._read)[0]
        if len(self._read) < end:
            return None
        data, self._read = self._read[_SIZE.size : end], self._read[end:]
        return tuple(wire.loads(data))

    def close(self) -> None:
        """Say and hear nothing more."""
        os.close(self.descriptor)


def pair() -> tuple[int, int]:
    """Return the descriptors of both ends, which no program inherits."""
    one, other = socket.socketpair()
    return one.detach(), other.detach()
