"""The link: one worker's srun, through which its bytes go there and back, and how it is ended for sure."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from typing import IO

from . import endings
from .queue import Queue

_CHUNK = 1 << 16
# srun kills what it runs at once, and takes a job that waits out of the queue. As a step begins it may hear nothing.
_JOB_SECONDS = 10.0
_STEP_SECONDS = 2.0
_WORDS_SECONDS = 3.0


class SrunLink:
    """A worker's srun; see :class:`~pytest_gpupool.engines.engine.Link`.

    srun is told by SIGTERM, upon which it kills the step, and takes a job that waits out of the queue. SIGKILL would
    leave that one there, to be placed later with nobody to run anything in it.
    """

    def __init__(self, process: subprocess.Popen[bytes], name: str, queue: Queue) -> None:
        self.name = name
        self._process = process
        self._queue = queue
        self._heard = endings.Heard()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._was_told = self._was_read = False
        self._making_sure = threading.Thread(target=self._make_sure, name=f"{name} ends", daemon=True)
        self._listening = threading.Thread(target=self._listen, name=f"{name} says", daemon=True)
        self._listening.start()

    def write(self, data: bytes) -> None:
        """Send all of it; see :meth:`~pytest_gpupool.engines.engine.Link.write`."""
        rest = memoryview(data)
        with self._writing:
            stdin = _stream(self._process.stdin)
            if stdin.closed:
                raise BrokenPipeError(f"the srun of {self.name} has ended")
            while rest:
                rest = rest[os.write(stdin.fileno(), rest) :]

    def read(self) -> bytes:
        """Wait for something, ``b""`` at the end; see :meth:`~pytest_gpupool.engines.engine.Link.read`."""
        stdout = _stream(self._process.stdout)
        if stdout.closed:
            return b""
        data = os.read(stdout.fileno(), _CHUNK)
        self._was_read = True
        if not data:
            stdout.close()
        return data

    def waits_for(self) -> str:
        """Return why it is not placed yet; see :meth:`~pytest_gpupool.engines.engine.Link.waits_for`."""
        if self._was_read or self._process.poll() is not None:
            return ""
        return endings.waiting(self._queue.allocation, self._queue.entry(self.name), self._heard)

    def end(self) -> None:
        """End it, placed or not; see :meth:`~pytest_gpupool.engines.engine.Link.end`."""
        with self._lock:
            first, self._was_told = not self._was_told, True
        if first and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            self._making_sure.start()

    def end_words(self) -> str:
        """Return what SLURM says of its end; see :meth:`~pytest_gpupool.engines.engine.Link.end_words`."""
        self._listening.join(_WORDS_SECONDS)
        status = self._process.poll()
        if self._was_told or status is None:
            return ""
        asks = status > 0 or self._heard.words()
        return endings.words(self._queue.last(self.name) if asks else None, self._heard, status)

    def wait(self) -> None:
        """Wait until it has ended for sure; called after :meth:`end`."""
        if self._making_sure.ident is not None:
            self._making_sure.join()
        self._listening.join()

    def _listen(self) -> None:
        """Hear srun's words, and pass on the program's, until it has ended."""
        stderr = _stream(self._process.stderr)
        with stderr:
            for line in iter(stderr.readline, b""):
                if not self._heard.add(line.decode(errors="replace").rstrip()):
                    with contextlib.suppress(OSError, ValueError, AttributeError):  # it may be gone, or no file
                        sys.stderr.write(line.decode(errors="replace"))
        status = self._process.wait()
        if status < 0:
            # Somebody has killed it, which may leave a job that nothing ends but its time limit.
            self._queue.cancel(self.name)
        with self._writing:
            _stream(self._process.stdin).close()

    def _make_sure(self) -> None:
        try:
            self._process.wait(_STEP_SECONDS if self._queue.allocation else _JOB_SECONDS)
        except subprocess.TimeoutExpired:
            self._queue.cancel(self.name)
            self._process.kill()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # all three are pipes
    return stream
