"""Ports: those that a process gives to its tests, from ranges that no other process of the host is given meanwhile.

A range is claimed by a socket without a file, by its name: such names, like ports, are those of a network namespace, so
that who can take each other's ports excludes each other, whatever user, run or container. The claim ends with the
process, and with what it has forked. The ranges lie below those from which Linux takes ports for connections itself.
"""

from __future__ import annotations

import errno
import socket

from ..processes.own.forks import Owner
from ..processes.own.system import os
from ..values.errors import GpupoolError

FIRST, LAST, SIZE = 12288, 32767, 64
"""The ranges: from the first port to the last, so many each."""

_NAME = "\0gpupool/ports/"


class NoPort(GpupoolError):
    """No port can be had."""


class Ports:
    """Gives ports of this process's ranges, each again only after all the others.

    A socket is bound to each that is given, of all addresses, until it is released. A server that sets SO_REUSEADDR, as
    nearly all do, can bind and listen meanwhile. What else may be given a port cannot.
    """

    def __init__(self) -> None:
        self._owner = Owner()
        self._claims: dict[int, socket.socket] = {}
        self._free: list[int] = []
        self._given: dict[int, socket.socket | None] = {}

    @property
    def is_here(self) -> bool:
        """Whether this process has them, and not one from which it was forked."""
        return self._owner.is_here

    def next(self) -> int:
        """Return a port that nobody uses. Raises NoPort."""
        while True:
            for _ in range(len(self._free)):
                number = self._free.pop(0)
                if (holder := _bound(number)) is not None:
                    self._given[number] = holder
                    return number
                self._free.append(number)
            self._free += self._claim()

    def release(self, number: int) -> None:
        """Let go of one that was given: whoever it is for is about to bind it. Twice changes nothing."""
        holder = self._given.get(number)
        if holder is not None:
            holder.close()
            self._given[number] = None

    def release_all(self) -> None:
        """Let go of all that were given; they are given again when all others were."""
        for number in self._given:
            self.release(number)
        self._free += self._given
        self._given.clear()

    def _claim(self) -> list[int]:
        """Claim one range more, and return its ports."""
        firsts = range(FIRST, LAST + 1, SIZE)
        start = os.getpid() % len(firsts)
        for first in (*firsts[start:], *firsts[:start]):
            if first not in self._claims and (claim := _claimed(first)) is not None:
                self._claims[first] = claim
                return list(range(first, first + SIZE))
        raise NoPort(
            f"no port is free: all ranges between {FIRST} and {LAST} are given to tests of this host, or in use; "
            "wait for other runs to end"
        )


_ports: list[Ports] = []


def free_port() -> int:
    """Return a port of this process that nobody uses, see :class:`Ports`. Raises NoPort."""
    if not _ports or not _ports[0].is_here:
        _ports[:] = [Ports()]  # a forked child has ranges of its own
    return _ports[0].next()


def release_port(number: int) -> None:
    """Let go of one."""
    if _ports and _ports[0].is_here:
        _ports[0].release(number)


def release_all() -> None:
    """A test is over: let go of what was given meanwhile."""
    if _ports and _ports[0].is_here:
        _ports[0].release_all()


def _claimed(first: int) -> socket.socket | None:
    """Claim a range; return what holds the claim, None where another process has it."""
    claim = _made(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"{_NAME}{first}")
    except OSError as error:
        claim.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise NoPort(f"ranges of ports cannot be claimed here: {error.strerror}") from None
    return claim


def _bound(port: int) -> socket.socket | None:
    """Return a socket that is bound to a port of all addresses, None where anybody is bound to it."""
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            holder = _made(family, socket.SOCK_STREAM)
        except OSError:
            continue  # there is no such protocol
        try:
            if family == socket.AF_INET6:
                holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            holder.bind((address, port))
        except OSError as error:
            holder.close()
            if error.errno == errno.EADDRINUSE:
                return None
            continue  # no address of this protocol
        # Only now: with it at once two could bind what nobody listens on.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return holder
    raise NoPort("no port can be had: this process may bind no socket to an address of this host")


def _made(family: int, kind: int) -> socket.socket:
    try:
        return socket.socket(family, kind)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise NoPort(f"no port can be had: {error.strerror}; let go of ports with gpu.release_port()") from None
        raise
