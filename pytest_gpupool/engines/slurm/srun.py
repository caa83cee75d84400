"""One srun: the process that is called for a worker, its bytes, what it says, and whether it was refused."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from typing import IO

from . import endings

_CHUNK = 1 << 16


class Srun:
    """It is listened to from its start on."""

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self.process = process
        self.heard = endings.Heard()
        self._name = name
        self._writing = threading.Lock()
        self._listening = threading.Thread(target=self._listen, name=f"{name} says", daemon=True)
        self._listening.start()

    def write(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: nobody takes it any more.
        """
        rest = memoryview(data)
        with self._writing:
            stdin = _stream(self.process.stdin)
            if stdin.closed:
                raise BrokenPipeError(f"the srun of {self._name} has ended")
            while rest:
                rest = rest[os.write(stdin.fileno(), rest) :]

    def read(self) -> bytes:
        """Wait for something, ``b""`` at the end."""
        stdout = _stream(self.process.stdout)
        if stdout.closed:
            return b""
        data = os.read(stdout.fileno(), _CHUNK)
        if not data:
            stdout.close()
        return data

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has ended and all that it has said was heard."""
        self._listening.join(seconds)

    def refusal(self) -> str:
        """Return the words by which SLURM has refused it for now; empty where it has not. It has ended."""
        return endings.refusal(self.heard) if (self.process.poll() or 0) > 0 else ""

    def _listen(self) -> None:
        """Hear srun's words, and pass on the program's, until it has ended."""
        stderr = _stream(self.process.stderr)
        with stderr:
            for line in iter(stderr.readline, b""):
                if not self.heard.add(line.decode(errors="replace").rstrip()):
                    with contextlib.suppress(OSError, ValueError, AttributeError):  # it may be gone, or no file
                        sys.stderr.write(line.decode(errors="replace"))
        self.process.wait()
        with self._writing:
            _stream(self.process.stdin).close()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # all three are pipes
    return stream
