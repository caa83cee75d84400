"""Process ends: how worker processes end, and how they are made to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from xdist.workermanage import WorkerController

from ...foreign.execnet_names import process_of
from ...forkserver.forked import UNKNOWN_STATUS
from ...processes import marks, signals, table, termination
from ...processes.own.system import select
from ...processes.termination import Worker
from ...processes.tree import HostMemory, ended_for_memory, host_memory
from ...values.process_id import ProcessId
from ...values.texts import size_text

GRACE_SECONDS = 2.0
"""What a process that is told to end may take for it; a run that is interrupted is to end within five seconds."""

_FIRST_LOOK_SECONDS = 0.02
_LOOK_SECONDS = 0.5  # each look waits twice as long as the one before: who is killed at once was seen, too
_SHORT = 0.05  # the share of its memory below which a host is short of it

_KILLING = {-signal.SIGHUP, -signal.SIGINT, -signal.SIGKILL, -signal.SIGTERM}  # other signals are crashes


class WorkerProcess:
    """The process of one worker, made before it starts anything: known from then on, whoever gets its number later."""

    def __init__(self, node: WorkerController, run: str) -> None:
        self._popen = process_of(node.gateway)
        self._marks = marks.of_worker(run, node.gateway.id)
        self._identity = table.identity(self._popen.pid)
        self._signalled = False
        self._memory: tuple[int, HostMemory] | None = None
        self._ended_for_memory = ended_for_memory()
        self.started: dict[ProcessId, str] = {}
        """What it has said of processes that a test has left running, and that test."""

    @property
    def worker(self) -> Worker:
        """What is known of it, and of what it started."""
        return Worker(self._identity, self._marks, tuple(self.started))

    def wait(self) -> None:
        """Wait for its end, however long that takes, and see meanwhile how much memory it has. For a thread."""
        descriptor = signals.descriptor_of(self._popen.pid)
        if descriptor is not None:
            end = select.poll()
            end.register(descriptor, select.POLLIN)
            seconds = _FIRST_LOOK_SECONDS
            while not end.poll(seconds * 1000):
                self._see_memory()
                seconds = min(2 * seconds, _LOOK_SECONDS)
            os.close(descriptor)
        self._popen.wait()

    def memory_words(self) -> str:
        """Return, of one that was killed and not by us, how much memory it had, and whether that may be why."""
        if not self._was_killed_by_others():
            return ""
        guess, ended = ": the kernel's OOM killer?", self.was_ended_for_memory()
        if self._memory is None:
            return guess if ended else ""
        held, host = self._memory
        is_short = host.available < _SHORT * host.total
        words = f"; it held {size_text(held)} of memory, and the host had {size_text(host.available)} left"
        return words + (guess if is_short or ended else "")

    def was_ended_for_memory(self) -> bool:
        """Return whether the kernel has ended it for want of memory: it was killed, and the kernel has counted one."""
        return self._was_killed_by_others() and ended_for_memory() > self._ended_for_memory

    @property
    def held_memory(self) -> int | None:
        """How many bytes of the host's memory it had when that was looked at last, None where nobody has looked."""
        return None if self._memory is None else self._memory[0]

    def _was_killed_by_others(self) -> bool:
        return not self._signalled and self._popen.poll() == -signal.SIGKILL

    def _see_memory(self) -> None:
        known, host = table.process(self._popen.pid), host_memory()
        if known is not None and known.lives and host is not None:
            self._memory = known.rss, host

    def how_it_ended(self) -> str:
        """Return what a report calls the end of a worker that died."""
        return "killed" if self._signalled or self._popen.poll() in _KILLING else "crashed"

    def exit_words(self) -> str:
        """Return how it ended."""
        code = self._popen.poll()
        if self._signalled or code is None:
            return "its process ran on, but had closed its connection to the controller"
        if code == UNKNOWN_STATUS:
            return "nobody knows how, since its parent is gone"
        if code >= 0:
            return f"exit status {code}"
        try:
            return f"signal {-code}, {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def clear(self) -> None:
        """It has died: end what it has left behind, which may use its device."""
        termination.end_worker(self.worker, grace=0.0)

    def end(self) -> None:
        """End it and everything that it started."""
        self._signalled = self._popen.poll() is None  # else its end is its own
        termination.end_worker(self.worker, grace=GRACE_SECONDS)
        if self._popen.poll() is None:
            self._popen.kill()  # where /proc does not show it


def interrupt(processes: Iterable[WorkerProcess]) -> None:
    """End workers as Ctrl-C does, so that fixtures are torn down; kill those that take too long for it."""
    workers = [process.worker for process in processes]
    if not workers:
        return
    try:
        termination.end_workers(workers, grace=GRACE_SECONDS, first=signal.SIGINT)
    except KeyboardInterrupt:  # the user will not wait: no more teardown, but nothing is left behind either
        termination.end_workers(workers, grace=0.0, first=signal.SIGKILL)
