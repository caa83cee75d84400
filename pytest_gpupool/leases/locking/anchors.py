"""Anchors: names by which this process is known to hold devices, which nobody can remove.

A lock file can be removed while it is locked; whoever comes then locks a new one. An abstract Unix socket (unix(7)) has
no file: its name is taken as long as the socket is open in some process, and is free when the last of them has ended,
however that ended. It needs no directory, so that it also excludes those who lock in another one. Every network
namespace has names of its own: a container with its own network is excluded by the lock files alone, and one with its
own directory by the names alone.
"""

from __future__ import annotations

import errno
import socket

from ...processes.kernel import locks as kernel_locks

_PREFIX = "gpupool/"
# Of these there were enough before, and will be again.
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
HOST = "host"
"""Whose devices are meant: this host's."""


class Anchor:
    """A name that one process at a time can have; ``scope`` is whose devices are meant, ``name`` which of them."""

    def __init__(self, name: str, *, scope: str = HOST) -> None:
        self._name = f"{_PREFIX}{scope}/{name}"
        self._socket: socket.socket | None = None

    def bind(self) -> bool:
        """Take the name, or say that it cannot be had now. Where there are no such names, nothing is taken."""
        try:
            bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        except OSError as error:  # a sandbox without sockets
            return error.errno not in _SCARCE
        try:
            bound.bind(f"\0{self._name}")
        except OSError as error:
            bound.close()
            return error.errno not in (errno.EADDRINUSE, *_SCARCE)
        self._socket = bound
        return True

    def descriptors(self) -> list[int]:
        """Return what holds the name, for who is to inherit it."""
        return [] if self._socket is None else [self._socket.fileno()]

    def release(self) -> None:
        """Give it back; where it is not held, nothing happens."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def anchored(*, scope: str = HOST) -> set[str]:
    """Return the names that are taken, without touching any."""
    prefix = f"{_PREFIX}{scope}/"
    return {name.removeprefix(prefix) for name in kernel_locks.abstract_sockets(prefix)}
