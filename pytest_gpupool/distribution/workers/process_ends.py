"""Process ends: how worker processes end, and how they are made to."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence

from xdist.workermanage import WorkerController

from ...foreign.execnet_names import process_of
from ...forkserver.forked import UNKNOWN_STATUS
from ...logs.captured_files import CapturedFiles
from ...processes import marks, stacks, table, termination
from ...processes.end import ProcessEnd
from ...processes.kernel.memory import HostMemory
from ...processes.termination import Worker
from ...values.process_id import ProcessId
from ...values.texts import size_text

GRACE_SECONDS = 2.0
"""What a process that is told to end may take for it; a run that is interrupted is to end within five seconds."""

_SHORT = 0.05  # the share of its memory below which a host is short of it

_KILLING = {-signal.SIGHUP, -signal.SIGINT, -signal.SIGKILL, -signal.SIGTERM}  # other signals are crashes


class WorkerProcess(ABC):
    """The process of one worker, here or on another host, and what is said of its end."""

    end_seconds = 10.0
    """What it may take to end once it was let go, as long as xdist waits for it."""

    def __init__(self) -> None:
        self._signalled = False
        self.started: dict[ProcessId, str] = {}
        """What it has said of processes that a test has left running, and that test."""

    def memory_words(self) -> str:
        """Return, of one that was killed and not by us, how much memory it had, and whether that may be why."""
        if not self._was_killed_by_others():
            return ""
        guess, ended = ": the kernel's OOM killer?", self.was_ended_for_memory()
        memory = self._memory()
        if memory is None:
            return guess if ended else ""
        held, host = memory
        is_short = host.available < _SHORT * host.total
        words = f"; it held {size_text(held)} of memory, and the host had {size_text(host.available)} left"
        return words + (guess if is_short or ended else "")

    def was_ended_for_memory(self) -> bool:
        """Return whether the kernel has ended it for want of memory: it was killed, and the kernel has counted one."""
        return self._was_killed_by_others() and self._kernel_has_ended_one()

    @property
    def held_memory(self) -> int | None:
        """How many bytes of the host's memory it had when that was looked at last, None where nobody has looked."""
        memory = self._memory()
        return None if memory is None else memory[0]

    def how_it_ended(self) -> str:
        """Return what a report calls the end of a worker that died."""
        return "killed" if self._signalled or self._status() in _KILLING else "crashed"

    def exit_words(self) -> str:
        """Return how it ended."""
        code = self._status()
        if self._signalled or code is None:
            return "its process ran on, but had closed its connection to the controller"
        if code == UNKNOWN_STATUS:
            return self._unknown_words()
        if code >= 0:
            return f"exit status {code}"
        try:
            return f"signal {-code}, {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def _was_killed_by_others(self) -> bool:
        return not self._signalled and self._status() == -signal.SIGKILL

    def has_left_running(self, processes: Collection[ProcessId], test: str) -> None:
        """It has said that processes live which were started during a test that is over."""
        self.started |= dict.fromkeys(processes, test)

    @abstractmethod
    def wait(self) -> None:
        """Wait for its end, however long that takes. For a thread."""

    @abstractmethod
    def captures_into(self, pid: int, descriptors: Mapping[str, int]) -> None:
        """Its output goes to files that the process of this number has open there."""

    @abstractmethod
    def captured(self) -> dict[str, str]:
        """Return what its test has written in its present phase, by stream."""

    @abstractmethod
    def stacks(self, pid: int, descriptor: int) -> str:
        """Return its threads' stacks, which it writes to that descriptor of its own; empty where it does not."""

    @abstractmethod
    def has_ended(self) -> None:
        """Its process has ended: what it has captured is read now, and nothing is asked of it any more."""

    @abstractmethod
    def clear(self) -> None:
        """It has died: end what it has left behind, which may use its device."""

    @abstractmethod
    def end(self) -> None:
        """End it and everything that it started."""

    @abstractmethod
    def _status(self) -> int | None: ...

    @abstractmethod
    def _memory(self) -> tuple[int, HostMemory] | None: ...

    @abstractmethod
    def _kernel_has_ended_one(self) -> bool: ...

    def _unknown_words(self) -> str:
        return "nobody knows how, since its parent is gone"


class LocalProcess(WorkerProcess):
    """One on this host, made before it starts anything: known from then on, whoever gets its number later."""

    def __init__(self, node: WorkerController, run: str) -> None:
        super().__init__()
        self._popen = process_of(node.gateway)
        self._marks = marks.of_worker(run, node.gateway.id)
        self._identity = table.identity(self._popen.pid)
        self._end = ProcessEnd()
        self._captured = CapturedFiles()

    @property
    def worker(self) -> Worker:
        """What is known of it, and of what it started."""
        return Worker(self._identity, self._marks, tuple(self.started))

    def wait(self) -> None:
        """Wait for its end, and see meanwhile how much memory it has."""
        self._end.wait(self._popen)

    def captures_into(self, pid: int, descriptors: Mapping[str, int]) -> None:
        """Have these files open, too."""
        self._captured.open(pid, descriptors)

    def captured(self) -> dict[str, str]:
        """Read them."""
        return self._captured.read()

    def stacks(self, pid: int, descriptor: int) -> str:
        """Ask it for them by a signal."""
        return stacks.stacks(pid, descriptor)

    def has_ended(self) -> None:
        """Read what it has left, and let go of the files."""
        self._captured.close()

    def clear(self) -> None:
        """End what has its marks, at once."""
        termination.end_worker(self.worker, grace=0.0)

    def end(self) -> None:
        """End it, and what has its marks."""
        self._signalled = self._popen.poll() is None  # else its end is its own
        termination.end_worker(self.worker, grace=GRACE_SECONDS)
        if self._popen.poll() is None:
            self._popen.kill()  # where /proc does not show it

    def _status(self) -> int | None:
        return self._popen.poll()

    def _memory(self) -> tuple[int, HostMemory] | None:
        return self._end.memory

    def _kernel_has_ended_one(self) -> bool:
        return self._end.kernel_has_ended_one()


def interrupt(processes: Iterable[LocalProcess]) -> None:
    """End workers as Ctrl-C does, so that fixtures are torn down; kill those that take too long for it."""
    workers: Sequence[Worker] = [process.worker for process in processes]
    if not workers:
        return
    try:
        termination.end_workers(workers, grace=GRACE_SECONDS, first=signal.SIGINT)
    except KeyboardInterrupt:  # the user will not wait: no more teardown, but nothing is left behind either
        termination.end_workers(workers, grace=0.0, first=signal.SIGKILL)
