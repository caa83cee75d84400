"""The pump: the class of the actors; each starts one program and moves its bytes.

It goes to the cluster by value, so that its hosts need not have this package to start an actor. Of everything else it
uses the standard library alone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

MOST = 64 * 2**10
"""Bytes that one call carries: Ray sends what has less than 100 kB with the call, and puts more into its store."""
LAST_WORDS = 2000
"""Bytes of its stderr that are kept of a program."""

_LOOK_SECONDS = 1.0

_BOUND = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("its actor has ended")
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]}: {error.strerror}")
"""
"""Runs the program so that it ends with the actor's process, however that ends: nothing else would end it."""


class Exit(NamedTuple):
    """How a program has ended: its status, as Popen has it, and the last of its stderr."""

    status: int
    last_words: bytes


class GpupoolWorker:
    """One program. Ray's own tools show the class's name.

    Its methods are called side by side, each by one caller at a time.
    """

    def __init__(self, worker: str, command: Sequence[str]) -> None:
        self._worker = worker
        self._last_words = b""
        # To the kernel the end of this thread is the end of its parent: it is the main thread, which lives as long.
        self._program = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOUND, str(os.getpid()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self._errors = threading.Thread(target=self._copy_errors, daemon=True)
        self._errors.start()
        threading.Thread(target=self._end_with, args=(os.getppid(),), daemon=True).start()

    def __repr__(self) -> str:
        """Name it in what Ray tells of it."""
        return f"pytest {self._worker}"

    def host(self) -> str:
        """Return the name of the host; called to learn that the actor has been placed."""
        return socket.gethostname()

    def write(self, data: bytes) -> bool:
        """Give the program all of it; False: it reads no more."""
        assert self._program.stdin is not None
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._program.stdin.write(rest) :]
        except OSError:
            return False
        return True

    def read(self) -> bytes:
        """Wait for something that it has written; nothing at its end."""
        assert self._program.stdout is not None
        return os.read(self._program.stdout.fileno(), MOST)

    def exit(self) -> Exit:
        """Wait until it has ended, called after the last read; where it only writes no more, end it."""
        try:
            status = self._program.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._program.kill()
            status = self._program.wait()
        # A process that it has left may hold its stderr.
        self._errors.join(timeout=1)
        return Exit(status, self._last_words)

    def _end_with(self, raylet: int) -> None:
        """End this process when its host is none of the cluster's any more; Ray alone would let it hold its GPUs."""
        while os.getppid() == raylet:
            time.sleep(_LOOK_SECONDS)
        os._exit(1)  # public, but for its name

    def _copy_errors(self) -> None:
        assert self._program.stderr is not None
        while data := os.read(self._program.stderr.fileno(), MOST):
            self._last_words = (self._last_words + data)[-LAST_WORDS:]
            # Ray keeps it in the actor's log.
            os.write(2, data)
