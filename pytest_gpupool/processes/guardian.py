"""The guardian: a small process beside the controller, which ends the workers where the controller was killed.

Nobody else can: a worker that is in a C call does not notice, nor does anything that its tests have started. It knows
of the end by the pipe between the two, and by the process itself, since a child that the controller forked may hold the
pipe open for as long as it lives.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ..values.process_id import ProcessId
from . import signals, table, termination
from .termination import Worker

GRACE_SECONDS = 2.0
"""What workers may take to tear down; all is to be over five seconds after the controller's end."""

_BYE = "bye"
_LOOK_SECONDS = 0.5  # how often it looks for the controller where the kernel does not tell of its end
_MOST = 1 << 16


class Guardian:
    """The controller's side: it starts the guardian with the first worker, and tells it of each one.

    Where no process can be started there is none, and all goes on without.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._owner = os.getpid()

    def watch(self, worker: Worker) -> None:
        """End this worker, and all that has its marks, should the controller be killed."""
        with contextlib.suppress(OSError):  # it was killed, which is no reason to stop
            if self._process is None:
                self._process = _start()
            self._say(json.dumps([worker.process, dict(worker.marks)]))

    def dismiss(self) -> None:
        """Let it end, and wait for that: the run has ended by itself, and the guardian is to end nobody."""
        if self._process is None or self._process.stdin is None or self._owner != os.getpid():
            return
        with contextlib.suppress(OSError):
            self._say(_BYE)
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if not signals.ends_within(self._process.pid, GRACE_SECONDS):  # somebody has stopped it
            self._process.kill()
        self._process.wait()
        self._process = None

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def main(controller: ProcessId | None) -> None:
    """Wait for the controller's end; then, unless it said goodbye, for that of its workers."""
    workers: list[Worker] = []
    for line in _lines_until_the_end(controller):
        if line == _BYE:
            return
        with contextlib.suppress(ValueError):  # cut off by the kill
            process, marks = json.loads(line)
            workers.append(Worker(None if process is None else ProcessId(*process), marks))
    termination.end_workers(workers, grace=GRACE_SECONDS, first=signal.SIGINT)


def _lines_until_the_end(controller: ProcessId | None) -> Iterator[str]:
    """Yield what the controller says on stdin, all that it has said before it ended too."""
    os.set_blocking(sys.stdin.fileno(), False)
    rest, is_over, end = b"", False, _End(controller)
    while not is_over:
        has_ended = end.wait_for_it_or(sys.stdin.fileno())
        said, is_closed = _said(sys.stdin.fileno())
        *lines, rest = (rest + said).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
        is_over = is_closed or has_ended


def _said(descriptor: int) -> tuple[bytes, bool]:
    """Return what there is to read, and whether no more will come."""
    said = b""
    with contextlib.suppress(BlockingIOError):
        while some := os.read(descriptor, _MOST):
            said += some
        return said, True
    return said, False


class _End:
    """The end of a process that is not a child, which the kernel tells where it knows pidfds."""

    def __init__(self, process: ProcessId | None) -> None:
        self._process = process
        self._poll = select.poll()
        self._descriptor = None if process is None else signals.descriptor_of(process.pid)
        if self._has_ended():  # before it was opened: it is another process's then
            self._descriptor = None
        if self._descriptor is not None:
            self._poll.register(self._descriptor, select.POLLIN)

    def wait_for_it_or(self, descriptor: int) -> bool:
        """Wait until there is something to read, or the process has ended; return whether it has."""
        self._poll.register(descriptor, select.POLLIN)
        while not (ready := self._poll.poll(_LOOK_SECONDS * 1000 if self._must_look else None)):
            if self._has_ended():
                return True
        return self._descriptor in dict(ready) or self._has_ended()

    @property
    def _must_look(self) -> bool:
        return self._descriptor is None and self._process is not None

    def _has_ended(self) -> bool:
        return self._process is not None and table.lives(self._process) is False


def _start() -> subprocess.Popen[str]:
    # -I and -S: nothing of the user's, neither Python's variables nor site-packages, is needed or heard.
    own = table.identity()
    source = f"import sys; sys.path[:0] = [{str(Path(__file__).parents[2])!r}]; "
    source += (
        f"from {__package__} import guardian; from {ProcessId.__module__} import ProcessId; guardian.main({own!r})"
    )
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", source],
        stdin=subprocess.PIPE,
        # Whoever reads what the run prints must not wait for this process as well.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # what kills the controller's group must not kill this
    )
