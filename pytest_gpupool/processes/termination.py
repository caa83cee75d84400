"""Termination: how a worker is ended together with all that it has started, whatever of it has left or lost it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..values.process_id import ProcessId
from . import marks, signals, table
from .own import clock
from .own.system import os

_POLL_SECONDS = 0.02
_SLOWEST_POLL_SECONDS = 0.2
_KILL_SECONDS = 5.0  # who lives longer after SIGKILL waits in the kernel, as in a driver's call that hangs


def become_group_leader() -> None:
    """Give this process a process group of its own, which its children are in unless they leave it.

    A worker calls it first of all, so that what it starts can be found when it has ended.
    """
    with contextlib.suppress(PermissionError):  # the leader of a session is one already
        os.setpgid(0, 0)


class Worker(NamedTuple):
    """A worker by its process, None where that does not count, and by the marks that what it starts inherits.

    ``started`` has who else is known to have been started by it, ``kept`` who is none of it in spite of all.
    """

    process: ProcessId | None
    marks: Mapping[str, str]
    started: Collection[ProcessId] = ()
    kept: Collection[ProcessId] = ()


def processes_of(*workers: Worker) -> set[int]:
    """Return who lives of workers and all that they started, without this process and its ancestors.

    Of each that is its process, that one's group and descendants, whoever it is known to have started, whoever has all
    its marks, and their descendants. Marks find who left group and parent, and was given another environment. Without
    marks none is found by them. A zombie lives no more.
    """
    return set(_WorkerProcesses(workers).living())


def end_worker(worker: Worker, *, grace: float, first: int = signal.SIGTERM) -> set[int]:
    """End a worker and all that it started; see :func:`end_workers`."""
    return end_workers([worker], grace=grace, first=first)


def end_workers(workers: Sequence[Worker], *, grace: float, first: int = signal.SIGTERM) -> set[int]:
    """End workers and all that they started; return the pids that live on in spite of it.

    All get the signal ``first``, and SIGKILL where they still live ``grace`` seconds later. Whoever joins meanwhile
    is ended as well.
    """
    processes = _WorkerProcesses(workers)
    if not processes.signal(first, grace):
        return set()
    return processes.signal(signal.SIGKILL, _KILL_SECONDS)


class _WorkerProcesses:
    """Some workers and what they started. Who is known stays known, when nothing else tells any more whose it is."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        # Group 0 is the kernel's; all of the machine descends from 1.
        processes = [worker.process for worker in workers if worker.process is not None and worker.process.pid > 1]
        self._leaders = {process.pid: process.started for process in processes if table.lives(process) is not None}
        self._groups = set(self._leaders)
        self._marks = [worker.marks for worker in workers]
        self._kept = {process.pid: process.started for worker in workers for process in worker.kept}
        started = {process for worker in workers for process in worker.started if table.lives(process)}
        self._known = {**{process.pid: process.started for process in started}, **self._leaders}

    def living(self) -> dict[int, int]:
        """Return who of them lives now: starts by pid."""
        now = table.all_processes()
        self._groups = {group for group in self._groups if self._is_ours(group, now)}
        roots = {pid for pid, start in self._known.items() if pid in now and start == now[pid].start}
        roots |= {pid for pid, process in now.items() if process.group in self._groups}
        roots |= marks.marked(now, self._marks)
        spared = table.lineage(os.getpid(), now).keys() | {
            pid for pid, start in self._kept.items() if pid in now and start == now[pid].start
        }
        found = table.with_descendants(roots - spared, now) - spared
        living = {pid: now[pid].start for pid in found if now[pid].lives}
        self._known = dict(living)
        return living

    def _living_for_sure(self) -> dict[int, int]:
        """Return the same; where nobody is found, as of a second look.

        A look takes its time: of a worker that ends meanwhile it may miss the child that it has forked just before.
        """
        groups, known = self._groups, self._known
        if not (living := self.living()):
            self._groups, self._known = groups, known  # else nothing would tell any more whose that child is
            living = self.living()
        return living

    def _is_ours(self, group: int, now: Mapping[int, table.Process]) -> bool:
        # As long as a group has members no process gets its number; an empty one's is used again.
        if group in now and now[group].start != self._leaders[group]:
            return False
        return any(process.group == group for process in now.values())

    def signal(self, number: int, seconds: float) -> set[int]:
        """Send each of them a signal once, and wait up to so long for their end; return who still lives.

        Where the machine stalls, so that this process sleeps longer than it asked for, they get that much more: they
        have had no time either.
        """
        deadline, pause = clock.monotonic() + seconds, _POLL_SECONDS
        signalled: set[tuple[int, int]] = set()
        while living := self._living_for_sure():
            for pid, start in living.items() - signalled:
                # A stopped one hears the signal only when it goes on.
                signals.send(pid, start, number, signal.SIGCONT)
            signalled |= living.items()
            began = clock.monotonic()
            if (remaining := deadline - began) <= 0:
                break
            clock.sleep(asked := min(pause, remaining))
            deadline += max(0.0, clock.monotonic() - began - asked)
            pause = min(pause * 1.5, _SLOWEST_POLL_SECONDS)
        return set(living)
