"""A forked process: what ``subprocess.Popen`` is for one that this process has started, for one that the server has."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from subprocess import TimeoutExpired

from ..processes.own.system import os, select

UNKNOWN_STATUS = 256
"""Of a process that has ended, while the server, which alone could know, is gone. No process has it."""


class ForkedProcess:
    """Its number is its own until its status was asked for, as with any child. Its methods are for any thread."""

    def __init__(self, pid: int, descriptor: int, stdin: int, stdout: int, status: Callable[[int], int | None]) -> None:
        """``descriptor`` is a pidfd, ``status(pid)`` waits for its end; None where nobody knows. All are closed here.

        ``stdin`` and ``stdout`` are the ends of its pipes that are not its own.
        """
        self.pid = pid
        self.returncode: int | None = None
        self.stdin = os.fdopen(stdin, "wb")
        self.stdout = os.fdopen(stdout, "rb")
        self._descriptor = descriptor
        self._status = status
        self._lock = threading.Lock()

    def __del__(self) -> None:
        """Nobody wants to know how it ends."""
        if self.returncode is None:
            os.close(self._descriptor)

    def poll(self) -> int | None:
        """Return its exit status, less than 0 where a signal ended it; None as long as it lives."""
        with self._lock:
            if self.returncode is None and self._has_ended(0):
                status = self._status(self.pid)
                self.returncode = UNKNOWN_STATUS if status is None else os.waitstatus_to_exitcode(status)
                os.close(self._descriptor)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit status.

        Raises:
            TimeoutExpired: it lives after so many seconds.
        """
        while (status := self.poll()) is None:
            with self._lock:
                descriptor = None if self.returncode is not None else os.dup(self._descriptor)
            if descriptor is None:
                continue
            try:
                if not _is_ready(descriptor, timeout):
                    raise TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            finally:
                os.close(descriptor)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with self._lock:
            if self.returncode is None and not self._has_ended(0):
                signal.pidfd_send_signal(self._descriptor, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, seconds: float) -> bool:
        return _is_ready(self._descriptor, seconds)


def _is_ready(descriptor: int, seconds: float | None) -> bool:
    wait = select.poll()
    wait.register(descriptor, select.POLLIN)
    return bool(wait.poll(None if seconds is None else seconds * 1000))
