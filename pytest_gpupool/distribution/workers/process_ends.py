"""Process ends: how worker processes end, and how they are made to."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterable, Mapping

from xdist.workermanage import WorkerController

from ...foreign.execnet_names import process_of
from ...processes import termination

GRACE_SECONDS = 2.0
"""What a process that is told to end may take for it; a run that is interrupted is to end within five seconds."""

_KILLING = {-signal.SIGHUP, -signal.SIGINT, -signal.SIGKILL, -signal.SIGTERM}  # other signals are crashes


def exit_code(node: WorkerController, seconds: float = 2.0) -> int | None:
    """Wait that long for the worker's process to end; return its exit status, None where it goes on."""
    try:
        return _process(node).wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None


def how_it_ended(node: WorkerController) -> str:
    """Return what a report calls the end of a worker that died."""
    return "killed" if exit_code(node) in _KILLING else "crashed"


def exit_words(node: WorkerController) -> str:
    """Return how a worker's process ended."""
    code = exit_code(node)
    if code is None:
        return "its process still runs"
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def clear(node: WorkerController, run: str) -> None:
    """A worker died: end what it has left behind, which may use its device."""
    exit_code(node)  # so that its own end is what it was
    termination.end_worker(_process(node).pid, marks(node, run), grace=0.0)


def end(node: WorkerController, run: str) -> None:
    """End a worker and everything that it started."""
    termination.end_worker(_process(node).pid, marks(node, run), grace=GRACE_SECONDS)


def interrupt(nodes: Iterable[WorkerController], run: str) -> None:
    """End workers as Ctrl-C does, so that fixtures are torn down; kill those that take too long for it."""
    # Of one that has ended the number may be another process's by now.
    workers = [(_process(node).pid, marks(node, run)) for node in nodes if _process(node).poll() is None]
    if not workers:
        return
    try:
        termination.end_workers(workers, grace=GRACE_SECONDS, first=signal.SIGINT)
    except KeyboardInterrupt:  # the user will not wait: no more teardown, but nothing is left behind either
        termination.end_workers(workers, grace=0.0, first=signal.SIGKILL)


def pid(node: WorkerController) -> int:
    """Return the number of a worker's process."""
    return _process(node).pid


def marks(node: WorkerController, run: str) -> Mapping[str, str]:
    """Return what the environment of every process has that a worker started."""
    return {"GPUPOOL_RUN": run, "PYTEST_XDIST_WORKER": node.gateway.id}


def _process(node: WorkerController) -> subprocess.Popen[bytes]:
    return process_of(node.gateway)
