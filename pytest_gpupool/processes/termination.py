"""Termination: how a worker is ended together with all that it has started, whatever of it has left or lost it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from . import table

_POLL_SECONDS = 0.02
_SLOWEST_POLL_SECONDS = 0.2
_KILL_SECONDS = 5.0  # who lives longer after SIGKILL waits in the kernel, as in a driver's call that hangs


def become_group_leader() -> None:
    """Give this process a process group of its own, which its children are in unless they leave it.

    A worker calls it first of all, so that what it starts can be found when it has ended.
    """
    with contextlib.suppress(PermissionError):  # the leader of a session is one already
        os.setpgid(0, 0)


def processes_of(pid: int, marks: Mapping[str, str]) -> set[int]:
    """Return who lives of a worker and all that it started, without this process and its ancestors.

    That is the group ``pid``, the descendants of ``pid``, whoever has all ``marks`` in its environment, and their
    descendants. Marks find a program that left group and parent; not a process that was forked in the worker, left
    both and started no program: its environment is the one that the worker was started with. Without marks none is
    found by them. A zombie lives no more.
    """
    return set(_WorkerProcesses([(pid, marks)]).living())


def end_worker(pid: int, marks: Mapping[str, str], *, grace: float, first: int = signal.SIGTERM) -> set[int]:
    """End a worker and all that it started; see :func:`end_workers`."""
    return end_workers([(pid, marks)], grace=grace, first=first)


def end_workers(
    workers: Sequence[tuple[int, Mapping[str, str]]], *, grace: float, first: int = signal.SIGTERM
) -> set[int]:
    """End workers, each a pid and its marks, and all that they started; return the pids that live on in spite of it.

    All get the signal ``first``, and SIGKILL where they still live ``grace`` seconds later. Whoever joins meanwhile
    is ended as well. A pid given here should not have been waited for before, or it may be somebody else's by now.
    """
    processes = _WorkerProcesses(workers)
    if not processes.signal(first, grace):
        return set()
    return processes.signal(signal.SIGKILL, _KILL_SECONDS)


class _WorkerProcesses:
    """Some workers and what they started. Who is known stays known, when nothing else tells any more whose it is."""

    def __init__(self, workers: Sequence[tuple[int, Mapping[str, str]]]) -> None:
        # Group 0 is the kernel's; all of the machine descends from 1.
        self._groups = {pid for pid, _ in workers if pid > 1}
        self._marks = [marks for _, marks in workers if marks]
        self._known: dict[int, int | None] = dict.fromkeys(self._groups)

    def living(self) -> dict[int, int]:
        """Return who of them lives now: starts by pid."""
        now = table.all_processes()
        self._groups &= {process.group for process in now.values()}  # a group's number, too, is used again
        roots = {pid for pid, start in self._known.items() if pid in now and start in (None, now[pid].start)}
        roots |= {pid for pid, process in now.items() if process.group in self._groups}
        roots |= _marked(now, self._marks)
        roots -= table.lineage(os.getpid(), now).keys()
        living = {pid: now[pid].start for pid in table.with_descendants(roots, now) if now[pid].lives}
        self._known = dict(living)
        return living

    def signal(self, number: int, seconds: float) -> set[int]:
        """Send each of them a signal once, and wait up to so long for their end; return who still lives."""
        deadline, pause = time.monotonic() + seconds, _POLL_SECONDS
        signalled: set[tuple[int, int]] = set()
        while living := self.living():
            for pid, start in living.items() - signalled:
                _send(pid, start, number)
            signalled |= living.items()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            time.sleep(min(pause, remaining))
            pause = min(pause * 1.5, _SLOWEST_POLL_SECONDS)
        return set(living)


def _send(pid: int, start: int, number: int) -> None:
    if table.start_of(pid) != start:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)  # a stopped one hears the signal only when it goes on


def _marked(pids: Iterable[int], marks: Collection[Mapping[str, str]]) -> set[int]:
    wanted = [{os.fsencode(f"{name}={value}") for name, value in one.items()} for one in marks]
    if not wanted:
        return set()
    return {pid for pid in pids if any(map(table.environment(pid).issuperset, wanted))}
