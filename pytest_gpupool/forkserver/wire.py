"""The wire: what the two sides say to each other, as frames that may carry descriptors."""

from __future__ import annotations

import marshal
import socket
from collections.abc import Sequence
from typing import Any

_LENGTH = 4
_MOST_DESCRIPTORS = 8


class Ended(Exception):
    """The other side is gone, or speaks no sense."""


def send(connection: socket.socket, message: Any, descriptors: Sequence[int] = ()) -> None:
    """Send what ``marshal`` can write; both sides are of one interpreter.

    Raises:
        Ended: nobody hears it.
    """
    data = marshal.dumps(message)
    try:
        # With the length alone, since the kernel may take only a part of a long message.
        socket.send_fds(connection, [len(data).to_bytes(_LENGTH, "big")], descriptors)
        connection.sendall(data)
    except OSError as error:
        raise Ended(str(error)) from error


def receive(connection: socket.socket) -> tuple[Any, list[int]]:
    """Return the next message, and the descriptors that came with it, which are the caller's to close.

    Raises:
        Ended: there will be none.
    """
    descriptors: list[int] = []
    try:
        head, descriptors, _, _ = socket.recv_fds(connection, _LENGTH, _MOST_DESCRIPTORS)
        length = int.from_bytes(head + _exactly(connection, _LENGTH - len(head)) if head else _nothing(), "big")
        return marshal.loads(_exactly(connection, length)), descriptors
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise Ended(str(error)) from error


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        data += connection.recv(length - len(data)) or _nothing()
    return bytes(data)


def _nothing() -> bytes:
    raise EOFError("the connection has ended")
