"""The process: a worker that an engine places somewhere, as execnet and the controller see it: like a child.

Execnet waits for a process's first byte before it goes on, and the controller with it. Here that byte is there at once,
and the one that the process writes is dropped when it comes: a worker that is not placed yet is one that waits.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from subprocess import TimeoutExpired
from typing import IO, Any, cast

from ..values.texts import MESSAGE_LIMIT
from . import frames
from .engine import Link
from .frames import BEAT, BEAT_SECONDS, DATA, ERRORS, SAYS, SILENCE_SECONDS, Frames

UNKNOWN_STATUS = 256
"""Of one that ended where nobody could see it. No process has it."""

_SET_UP_SECONDS = 30.0  # what it may take until xdist has said to a worker what it says at first
_FIRST_WRITES = 3  # of execnet's: the program that it starts; xdist's: the worker's program, and what is for that

FOR_PYTEST = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
"""What the environment says of pytest's options and plugins. Workers hear the same of it as the controller.

A plugin that only one side has misses there what its other half was to say.
"""

_ANSWER_SECONDS = 10.0  # what an answer of another host may take, which may be busy
_KILL_SECONDS = 10.0  # who is not gone so long after it was to end is ended by the engine
_FIRST = b"1"  # what execnet waits for
SILENT_BEATS = int(SILENCE_SECONDS / BEAT_SECONDS)
"""After how many beats without an answer a host is given up."""


class EngineProcess:
    """Its methods are for any thread. ``start`` is what its host is told first; see :mod:`node`."""

    pid = 0
    """It has no number here."""

    def __init__(self, link: Link, start: Mapping[str, Any]) -> None:
        self.link = link
        self.host: str | None = None
        """Where it is, None as long as it is not placed."""
        self.end_told: Mapping[str, Any] | None = None
        """What its host has said of its end, None where there was nobody to say it."""
        self.was_silent = False
        """Whether nothing was heard of its host for so long that we have ended it."""
        self._input = _Input(self._send)
        self.stdin = cast("IO[bytes]", self._input)
        self._output = _Output()
        self.stdout = cast("IO[bytes]", self._output)
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self._silent_beats = 0
        self._listens = False
        self._numbers = itertools.count()
        self._answers: dict[int, queue.SimpleQueue[Any]] = {}
        self._errors = b""
        self._words = ""
        self._send(frames.says("start", **start))
        for target in (self._write, self._read, self._beat):
            threading.Thread(target=target, name="gpupool-engine", daemon=True).start()

    def poll(self) -> int | None:
        """Return its exit status, less than 0 where a signal ended it; None as long as it may live."""
        if not self._over.is_set():
            return None
        return UNKNOWN_STATUS if self.end_told is None else int(self.end_told.get("status", UNKNOWN_STATUS))

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit status.

        Raises:
            TimeoutExpired: it lives after so many seconds.
        """
        if not self._over.wait(timeout):
            raise TimeoutExpired("a worker", timeout or 0.0)
        return self.poll() or 0

    def kill(self) -> None:
        """End it wherever it is, without asking it."""
        self.link.end()

    def end(self, first: int, grace: float) -> None:
        """End it with all that it started: by a signal, and after ``grace`` seconds by SIGKILL; wait for that."""
        if self.host is not None and not self._over.is_set():
            self.say("end", first=first, grace=grace)
            self._over.wait(grace + _KILL_SECONDS)
        if not self._over.is_set():
            self.link.end()

    def say(self, what: str, **values: Any) -> None:
        """Tell its host something; see :mod:`node`."""
        self._send(frames.says(what, **values))

    def ask(self, what: str, **values: Any) -> Any:
        """Ask its host something; return the answer, None where none comes in time."""
        if self.host is None or self._over.is_set():
            return None
        number = next(self._numbers)
        answer = self._answers[number] = queue.SimpleQueue()
        self.say(what, number=number, **values)
        try:
            return answer.get(timeout=_ANSWER_SECONDS)
        except queue.Empty:
            return None
        finally:
            del self._answers[number]

    def end_words(self) -> str:
        """Return what is known of its end that is not its own doing, as a clause."""
        if self.end_told is not None:
            return str(self.end_told.get("text", ""))
        if self.was_silent:
            where = "its host" if self.host is None else f"host {self.host}"
            return f"nothing was heard of {where} for {SILENCE_SECONDS:g} s"
        return self._words

    @property
    def last_errors(self) -> str:
        """The last that it wrote to stderr."""
        return self._errors.decode(errors="replace")

    def _send(self, data: bytes) -> None:
        self._outgoing.put(data)

    def _write(self) -> None:
        try:
            while (data := self._outgoing.get()) is not None:
                self.link.write(data)
        except OSError:
            pass  # that nobody takes it is seen where nothing comes

    def _read(self) -> None:
        parts = Frames()
        try:
            while data := self._next():
                for kind, payload in parts.of(data):
                    self._hear(kind, payload)
            if self.end_told is None and not self.was_silent:
                self._words = self.link.end_words()  # before it is ended for sure, of which it would speak then
        finally:  # whatever is wrong with that: nobody else tells of its end
            self._input.is_set_up.wait(_SET_UP_SECONDS)  # xdist does not expect an end before that
            self._output.end()
            self._over.set()
            self._outgoing.put(None)

    def _next(self) -> bytes:
        self._silent_beats, self._listens = 0, True
        try:
            return self.link.read()
        finally:
            self._listens = False

    def _hear(self, kind: bytes, payload: bytes) -> None:
        if kind == DATA:
            if self._output.put(payload):
                self._input.release()
        elif kind == ERRORS:
            self._errors = (self._errors + payload)[-MESSAGE_LIMIT:]
            # It may be closed, gone, or no file.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.buffer.write(payload)
                sys.stderr.flush()
        elif kind == SAYS:
            self._is_told(json.loads(payload))

    def _is_told(self, said: Mapping[str, Any]) -> None:
        match said["what"]:
            case "hello":
                self.host = said["host"]
            case "answer" if (answer := self._answers.get(said["number"])) is not None:
                answer.put(said["answer"])
            case "ended" | "failed":
                self.end_told = said

    def _beat(self) -> None:
        """Say that this is here, and see that the other side does, once it has been placed."""
        while not self._over.wait(BEAT_SECONDS):
            if self.host is None:
                continue
            self._send(frames.frame(BEAT))
            # Counted, not timed: where this process was stopped for a while it was not the other one that was silent.
            # What is on its way while nobody listens (stderr may block whoever writes there) counts for nothing.
            self._silent_beats += self._listens
            if self._silent_beats > SILENT_BEATS:
                self.was_silent = True
                self.link.end()


class _Input:
    """The worker's standard input, as a file.

    What execnet writes first is read as a line, with whatever has come after it by then: that is to come later.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._is_closed = False
        self.is_set_up = threading.Event()
        """All has been written that is before the worker says anything."""
        self._writes = 0
        self._held: list[bytes] | None = []
        self._lock = threading.Lock()

    def write(self, data: bytes) -> int:
        """Have it written, some time."""
        with self._lock:
            if self._is_closed:
                raise OSError("closed")
            self._writes += 1
            if self._writes > 1 and self._held is not None:
                self._held.append(data)
            else:
                self._send(frames.frame(DATA, data))
            if self._writes == _FIRST_WRITES:
                self.is_set_up.set()
        return len(data)

    def release(self) -> None:
        """The worker has read its first line."""
        with self._lock:
            held, self._held = self._held or [], None
            for data in held:
                self._send(frames.frame(DATA, data))

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing more comes."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self.is_set_up.set()
                self._send(frames.says("close"))


class _Output:
    """The worker's standard output, as a file: first the byte that execnet waits for, then all but the worker's own."""

    def __init__(self) -> None:
        self._pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._rest = _FIRST
        self._is_first = True

    def put(self, data: bytes) -> bool:
        """The worker has written this; return whether that is the first."""
        was_first, self._is_first = self._is_first, False
        if was_first:
            data = data[len(_FIRST) :]
        if data:
            self._pieces.put(data)
        return was_first

    def end(self) -> None:
        """It writes no more."""
        self._pieces.put(None)

    def read(self, size: int) -> bytes:
        """Wait for something and return at most so many bytes of it; none at the end."""
        if not self._rest:
            piece = self._pieces.get()
            if piece is None:
                self._pieces.put(None)
                return b""
            self._rest = piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        """Nobody reads it any more."""


def start_of(run: str, worker: str, arguments: Sequence[str], directory: str | None) -> dict[str, Any]:
    """Return what a worker's host is told first: what Python is to run there, where, and whose it is.

    Without a directory it is the one in which the engine has laid the code.
    """
    environ = {name: os.environ.get(name) for name in FOR_PYTEST}
    return {"run": run, "worker": worker, "arguments": list(arguments), "directory": directory, "environ": environ}
