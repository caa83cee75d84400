"""The guardian: a small process beside the controller, which ends the workers where the controller was killed.

Nobody else can: a worker that is in a C call does not notice, nor does anything that its tests have started.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from . import termination
from .table import start_of

GRACE_SECONDS = 2.0
"""What workers may take to tear down; all is to be over five seconds after the controller's end."""

_BYE = "bye"


class Guardian:
    """The controller's side: it starts the guardian with the first worker, and tells it of each one.

    Where no process can be started there is none, and all goes on without.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def watch(self, pid: int, marks: Mapping[str, str]) -> None:
        """End this worker, and all that has these ``marks``, should the controller be killed."""
        with contextlib.suppress(OSError):  # it was killed, which is no reason to stop
            if self._process is None:
                self._process = _start()
            self._say(json.dumps([pid, start_of(pid), dict(marks)]))

    def dismiss(self) -> None:
        """Let it end, and wait for that: the run has ended by itself, and the guardian is to end nobody."""
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):
            self._say(_BYE)
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:  # somebody has stopped it
            self._process.kill()
            self._process.wait()
        self._process = None

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def main() -> None:
    """Wait for the controller's end; then, unless it said goodbye, for that of its workers."""
    workers: list[tuple[int, int | None, Mapping[str, str]]] = []
    for line in sys.stdin:
        if line.strip() == _BYE:
            return
        with contextlib.suppress(ValueError):  # cut off by the kill
            pid, start, marks = json.loads(line)
            workers.append((pid, start, marks))
    # A number that another process has by now is not a worker's any more; what the worker started has its marks.
    known = [(pid if start_of(pid) in (None, start) else 0, marks) for pid, start, marks in workers]
    termination.end_workers(known, grace=GRACE_SECONDS, first=signal.SIGINT)


def _start() -> subprocess.Popen[str]:
    # -I and -S: nothing of the user's, neither Python's variables nor site-packages, is needed or heard.
    source = f"import sys; sys.path[:0] = [{str(Path(__file__).parents[2])!r}]; "
    source += f"from {__package__} import guardian; guardian.main()"
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", source],
        stdin=subprocess.PIPE,
        # Whoever reads what the run prints must not wait for this process as well.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # what kills the controller's group must not kill this
    )
