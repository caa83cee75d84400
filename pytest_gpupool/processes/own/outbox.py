"""The outbox: lines that children which this process has forked leave for it.

Memory that both have open: nobody waits for the other, and what a child has left stays when it ends. It is made with
the first fork.
"""

from __future__ import annotations

from contextlib import suppress

from .forks import Owner, before
from .system import os

try:
    from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_WRITE, fcntl
except ImportError:  # elsewhere than on Linux nothing is made that could be sealed
    fcntl = None  # type: ignore[assignment]


class Outbox:
    """Made, and read, by one process."""

    def __init__(self) -> None:
        self._owner = Owner()
        self._memory: int | None = None
        self._inode = 0
        self._read = 0
        self._rest = b""
        before(self._make)

    @classmethod
    def of_another(cls, process: int, descriptor: int) -> Outbox:
        """Return that of another process, which has started this one, and given it the descriptor."""
        outbox = cls()
        outbox._owner, outbox._memory = Owner(process), descriptor
        outbox._inode = os.fstat(descriptor).st_ino
        return outbox

    def descriptor(self) -> int | None:
        """Return what a program that this process starts needs for :meth:`of_another`; None where there is none."""
        self._make()
        return self._memory

    def put(self, line: str) -> bool:
        """Leave a line, in a child; return whether that could be done."""
        try:
            return self._is_open() and os.write(self._memory or 0, line.encode() + b"\n") > len(line)
        except OSError:
            return False

    def take(self) -> list[str]:
        """Return, in the process that made it, the lines that were left since the last call."""
        if self._memory is None or not self._owner.is_here or not self._is_open():
            return []
        size = os.fstat(self._memory).st_size
        data = self._rest + os.pread(self._memory, size - self._read, self._read)
        self._read = size
        *lines, self._rest = data.split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _make(self) -> None:
        if self._memory is None and self._owner.is_here and hasattr(os, "memfd_create"):
            try:
                self._memory = os.memfd_create("gpupool-outbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
                # What a child appends is appended after what another one has.
                self._inode = os.fstat(self._memory).st_ino
            except OSError:
                self._memory = None

    def _is_open(self) -> bool:
        # A test may close all descriptors that it finds, and open others of these numbers.
        try:
            return self._memory is not None and os.fstat(self._memory).st_ino == self._inode
        except OSError:
            return False

    def seal(self) -> None:
        """Let no child leave any more, in the process that made it: what is there by now can be taken."""
        if self._memory is not None and fcntl is not None and self._owner.is_here and self._is_open():
            with suppress(OSError):
                fcntl(self._memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW)

    def close(self) -> None:
        """Forget what was left."""
        if self._is_open() and self._memory is not None:
            os.close(self._memory)
        self._memory = None
