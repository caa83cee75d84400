"""The queue: which of the workers' jobs or steps SLURM has, why they wait, and how they are taken out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from .client import Client

_FRESH_SECONDS = 5.0  # many workers that wait ask SLURM's controller no more often than a person would
_JOB_SECONDS = 20.0
_STEP_SECONDS = 5.0  # SLURM goes on to list a step of a host that is lost, as long as the allocation lasts
_OVER = ("COMPLETING", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")


class Entry(NamedTuple):
    """A job or a step as SLURM knows it."""

    number: str
    state: str
    reason: str
    hosts: str
    name: str

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs, or will."""
        return self.state in _OVER


class Queue:
    """What SLURM has of this run. Its methods are for any thread."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.allocation = client.allocation
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Entry] = {}
        self._looked = float("-inf")

    def entry(self, name: str) -> Entry | None:
        """Return a worker's entry as it was a moment ago; None where there is none, as of a step that waits."""
        with self._lock:
            if self._clock() - self._looked > _FRESH_SECONDS:
                self._known = {entry.name: entry for entry in self._list()}
                self._looked = self._clock()
            return self._known.get(name)

    def last(self, name: str) -> Entry | None:
        """Return a worker's job as it is now, also one that has ended; None of a step, which SLURM forgets."""
        if self.allocation:
            return None
        return next(iter(self._jobs("--states=all", f"--name={name}")), None)

    def cancel(self, *names: str) -> None:
        """See to it that nothing of these names runs or will run. Waits for it as long as SLURM may need."""
        deadline = self._clock() + (_STEP_SECONDS if self.allocation else _JOB_SECONDS)
        while left := [entry.number for entry in self._list() if entry.name in names and not entry.is_over]:
            self._client.try_to("scancel", "--quiet", *left)
            if self._clock() > deadline:
                return
            time.sleep(0.2)

    def _list(self) -> list[Entry]:
        return self._steps() if self.allocation else self._jobs()

    def _jobs(self, *options: str) -> list[Entry]:
        shown = "--format=%i|%T|%r|%N|%j"
        text = self._client.try_to("squeue", "--noheader", f"--user={os.getuid()}", shown, *options)
        return [Entry(*parts) for line in text.splitlines() if len(parts := line.strip().split("|")) == 5]

    def _steps(self) -> list[Entry]:
        options = ("--noheader", "--steps", f"--jobs={self.allocation}", "--format=%i|%N|%j")
        rows = (line.strip().split("|") for line in self._client.try_to("squeue", *options).splitlines())
        return [Entry(row[0], "RUNNING", "", row[1], row[2]) for row in rows if len(row) == 3]
