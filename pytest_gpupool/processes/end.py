"""The end of a process: how it ended, how much memory it had, and whether the kernel ended it for that."""

from __future__ import annotations

import os
from typing import Any, Protocol

from . import signals, table
from .kernel.memory import HostMemory, ended_for_memory, host_memory
from .own.system import select

_FIRST_LOOK_SECONDS = 0.02
_LOOK_SECONDS = 0.5  # each look waits twice as long as the one before: who is killed at once was seen, too


class Waitable(Protocol):
    """A child of this process."""

    @property
    def pid(self) -> int:
        """Its number."""

    def wait(self) -> int:
        """Wait for its end; return its exit status."""


class ProcessEnd:
    """Made before the process starts anything: what the kernel has ended by then was another one."""

    def __init__(self) -> None:
        self.memory: tuple[int, HostMemory] | None = None
        """How many bytes of memory it had, and the host, when that was looked at last; None where nobody has looked."""
        self._ended_before = ended_for_memory()

    def wait(self, process: Waitable) -> None:
        """Wait for its end, however long that takes, and see meanwhile how much memory it has. For a thread."""
        descriptor = signals.descriptor_of(process.pid)
        if descriptor is not None:
            end = select.poll()
            end.register(descriptor, select.POLLIN)
            seconds = _FIRST_LOOK_SECONDS
            while not end.poll(seconds * 1000):
                self._look(process.pid)
                seconds = min(2 * seconds, _LOOK_SECONDS)
            os.close(descriptor)
        process.wait()

    def kernel_has_ended_one(self) -> bool:
        """Return whether the kernel has ended some process for want of memory since this was made."""
        return ended_for_memory() > self._ended_before

    def told(self) -> dict[str, Any]:
        """Return it as plain values, for another host."""
        held, host = self.memory or (None, None)
        return {"held": held, "host": host, "for_memory": self.kernel_has_ended_one()}

    def _look(self, pid: int) -> None:
        known, host = table.process(pid), host_memory()
        if known is not None and known.lives and host is not None:
            self.memory = known.rss, host
