"""Processes: what a worker started, ended with it; and where a worker that hangs is.

Linux only, by /proc. A process is known by its pid and its start, because pids are used again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_POLL_SECONDS = 0.02
_SLOWEST_POLL_SECONDS = 0.2
_KILL_SECONDS = 5.0  # who lives longer after SIGKILL waits in the kernel, as in a driver's call that hangs


def lead() -> None:
    """Make this process the leader of a process group of its own, which its children are in unless they leave it."""
    with contextlib.suppress(PermissionError):  # the leader of a session is one already
        os.setpgid(0, 0)


def start_of(pid: int) -> int | None:
    """Return when a process was started, in ticks since the machine was; None where there is none."""
    process = _stat(pid)
    return None if process is None else process.start


def family(pid: int, marks: Mapping[str, str]) -> set[int]:
    """Return who lives of a worker and all that it started, without this process and its ancestors.

    That is the group ``pid``, the descendants of ``pid``, whoever has all ``marks`` in its environment, and their
    descendants. Marks find a program that left group and parent; not a process that was forked in the worker, left
    both and started no program: its environment is the one that the worker was started with. Without marks none is
    found by them. A zombie lives no more.
    """
    return set(_Hunt([(pid, marks)]).look())


def end(pid: int, marks: Mapping[str, str], *, grace: float, first: int = signal.SIGTERM) -> set[int]:
    """End a worker and all that it started; see :func:`end_all`."""
    return end_all([(pid, marks)], grace=grace, first=first)


def end_all(workers: Sequence[tuple[int, Mapping[str, str]]], *, grace: float, first: int = signal.SIGTERM) -> set[int]:
    """End workers, each a pid and its marks, with their families; return the pids that live on in spite of it.

    All get the signal ``first``, and SIGKILL where they still live ``grace`` seconds later. Whoever joins meanwhile
    is ended as well. A pid given here should not have been waited for before, or it may be somebody else's by now.
    """
    hunt = _Hunt(workers)
    if not hunt.drive(first, grace):
        return set()
    return hunt.drive(signal.SIGKILL, _KILL_SECONDS)


class _Process(NamedTuple):
    parent: int
    group: int
    start: int  # in ticks since the machine started
    lives: bool


class _Hunt:
    """The families of some workers. A member stays one, though its parent ends and nothing else tells whose it is."""

    def __init__(self, workers: Sequence[tuple[int, Mapping[str, str]]]) -> None:
        # Group 0 is the kernel's; all of the machine descends from 1.
        self._groups = {pid for pid, _ in workers if pid > 1}
        self._marks = [marks for _, marks in workers if marks]
        self._members: dict[int, int | None] = dict.fromkeys(self._groups)

    def look(self) -> dict[int, int]:
        """Return who of them lives now: starts by pid."""
        table = _table()
        self._groups &= {process.group for process in table.values()}  # a group's number, too, is used again
        roots = {pid for pid, start in self._members.items() if pid in table and start in (None, table[pid].start)}
        roots |= {pid for pid, process in table.items() if process.group in self._groups}
        roots |= _marked(table, self._marks)
        roots -= _lineage(table, os.getpid())
        living = {pid: table[pid].start for pid in _with_descendants(table, roots) if table[pid].lives}
        self._members = dict(living)
        return living

    def drive(self, number: int, seconds: float) -> set[int]:
        """Send each of them a signal once, for up to so long; return who still lives."""
        deadline, pause = time.monotonic() + seconds, _POLL_SECONDS
        told: set[tuple[int, int]] = set()
        while living := self.look():
            for pid, start in living.items() - told:
                _send(pid, start, number)
            told |= living.items()
            left = deadline - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _SLOWEST_POLL_SECONDS)
        return set(living)


def _send(pid: int, start: int, number: int) -> None:
    now = _stat(pid)
    if now is None or now.start != start:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)  # a stopped one hears the signal only when it goes on


def _table() -> dict[int, _Process]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return {pid: process for pid in pids if (process := _stat(pid)) is not None}


def _stat(pid: int) -> _Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # proc(5); the name before the last bracket may hold blanks and brackets itself.
    state, parent, group, *rest = text.rpartition(b")")[2].split()
    threads, start = int(rest[14]), int(rest[16])
    # The first thread of a process becomes a zombie when it ends, though others go on, and hold the GPU.
    return _Process(int(parent), int(group), start, lives=state not in b"ZX" or threads > 1)


def _lineage(table: Mapping[int, _Process], pid: int) -> set[int]:
    found: set[int] = set()
    while pid in table and pid not in found:
        found.add(pid)
        pid = table[pid].parent
    return found


def _with_descendants(table: Mapping[int, _Process], roots: Iterable[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, process in table.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return found


def _marked(pids: Iterable[int], marks: Collection[Mapping[str, str]]) -> set[int]:
    wanted = [{os.fsencode(f"{name}={value}") for name, value in one.items()} for one in marks]
    if not wanted:
        return set()
    return {pid for pid in pids if any(map(_environ(pid).issuperset, wanted))}


def _environ(pid: int) -> frozenset[bytes]:
    try:
        return frozenset(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:  # gone, or another user's
        return frozenset()
