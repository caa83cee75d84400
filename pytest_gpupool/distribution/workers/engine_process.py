"""The engine's process: a worker on another host, of whose end that host tells; see :mod:`engines.node`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ...engines.process import EngineProcess
from ...foreign.xdist_protocol import SHUTDOWN
from ...processes.kernel.memory import HostMemory
from ...values.process_id import ProcessId
from .process_ends import GRACE_SECONDS, WorkerProcess

_GRACE_SECONDS = 2 * GRACE_SECONDS  # its host has to hear of it first


class EngineWorkerProcess(WorkerProcess):
    """One that an engine has placed, or is yet to place."""

    end_seconds = 30.0
    """Its host has to hear of it first, and the word of its end to come back."""

    def __init__(self, process: EngineProcess) -> None:
        super().__init__()
        self._process = process
        self.is_withdrawn = False
        """Whether it was told to end before it was placed: there is nobody to hear that."""

    @property
    def host(self) -> str | None:
        """Where it is, None as long as it is not placed."""
        return self._process.host

    @property
    def never_began(self) -> str | None:
        """Why no worker has come of it, in words; None where one has, or may yet."""
        told = self._process.end_told or {}
        if self._process.poll() is None or (self.host is not None and told.get("what") != "failed"):
            return None
        return self._process.end_words() or "the engine does not say why"

    @property
    def left(self) -> Sequence[str]:
        """What it has left running, in words, which its host has ended."""
        left: Sequence[str] = (self._process.end_told or {}).get("left", ())
        return left

    @property
    def lost(self) -> Mapping[str, str]:
        """Which of its devices its host has found to be no good any more when it had died, and why, by id."""
        lost: Mapping[str, str] = (self._process.end_told or {}).get("lost", {})
        return lost

    def holds(self, devices: Sequence[Mapping[str, Any]], lock_dir: str | None) -> None:
        """It has leased these; ``lock_dir`` is where the user has devices locked, None for the usual place."""
        gpus = [dict(device) for device in devices if device["kind"] != "cpu"]
        self._process.say("leased", devices=gpus, lock_dir=lock_dir)

    def waits_for(self) -> str:
        """Return why it is not placed yet, as a clause; empty where nobody says."""
        return self._process.link.waits_for()

    def has_left_running(self, processes: Collection[ProcessId], test: str) -> None:
        """Its host is told, too: nobody else can end them."""
        super().has_left_running(processes, test)
        self._process.say("started", processes=[list(process) for process in processes])

    def wait(self) -> None:
        """Wait for its host's word, or for the end of all words."""
        self._process.wait()

    def captures_into(self, pid: int, descriptors: Mapping[str, int]) -> None:
        """Its host has these files open, too."""
        self._process.say("captures", pid=pid, descriptors=dict(descriptors))

    def captured(self) -> dict[str, str]:
        """Ask its host, which has told at its end."""
        told = self._process.end_told
        return (self._process.ask("captured") if told is None else told.get("captured")) or {}

    def stacks(self, pid: int, descriptor: int) -> str:
        """Ask its host."""
        return self._process.ask("stacks", pid=pid, descriptor=descriptor) or ""

    def has_ended(self) -> None:
        """Its host has told all."""

    def is_told(self, command: str) -> None:
        """A command is about to be sent to it: who is to end, and is not placed yet, need not be placed any more."""
        if command == SHUTDOWN and self.host is None:
            self.is_withdrawn = True
            threading.Thread(target=self._process.kill, name="gpupool-end", daemon=True).start()

    def clear(self) -> None:
        """Its host has done so, unless it is gone."""
        self._process.kill()

    def end(self) -> None:
        """Have its host end it and what has its marks; where that does not come about, have the engine do it."""
        self._signalled = self._process.poll() is None
        self._process.end(signal.SIGTERM, _GRACE_SECONDS)

    def interrupt(self) -> None:
        """Have its host end it as Ctrl-C does."""
        self._process.end(signal.SIGINT, _GRACE_SECONDS)

    def _status(self) -> int | None:
        return self._process.poll()

    def _memory(self) -> tuple[int, HostMemory] | None:
        told = self._process.end_told or {}
        if told.get("held") is None or told.get("host") is None:
            return None
        return told["held"], HostMemory(*told["host"])

    def _kernel_has_ended_one(self) -> bool:
        return bool((self._process.end_told or {}).get("for_memory"))

    def _unknown_words(self) -> str:
        where = "" if self.host is None else f" on {self.host}"
        return f"{self._process.end_words() or 'nobody knows how'}{where}"


def interrupt(processes: Iterable[EngineWorkerProcess]) -> None:
    """End workers as Ctrl-C does, all at once; the engine kills those that take too long for it."""
    every = list(processes)
    threads = [threading.Thread(target=process.interrupt, daemon=True) for process in every]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:  # the user will not wait
        for process in every:
            process.clear()
