"""The node: the program that an engine runs for one worker on the host where it is placed. It speaks :mod:`frames`.

It starts the worker's process, carries its bytes, and does for the controller what can only be done where that process
is: it sees how it ends, ends it with all that it started, and reads its stacks. Nobody else is there to end the worker
where the controller is gone: its word ends, or none comes any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..logs.captured_files import CapturedFiles
from ..processes import marks, stacks, table, termination
from ..processes.end import ProcessEnd
from ..processes.own import clock, parent
from ..processes.termination import Worker
from ..values.device import Device
from ..values.orders import HOST
from ..values.process_id import ProcessId
from . import condition, frames
from .frames import BEAT, BEAT_SECONDS, DATA, ERRORS, GONE_STATUS, SAYS, SILENCE_SECONDS, Frames

_PIECE = 1 << 16
_DRAIN_SECONDS = 1.0  # what a worker's last words may take to be read once it has ended
_FOREIGN = ("SLURM_", "SLURMD_", "SRUN_", "PMI", "PMIX_")  # of the launcher: what tests start would take itself for its


def command() -> list[str]:
    """Return what an engine is to run; where it runs, this host's files are to be there too."""
    root = str(Path(__file__).parents[2])
    source = f"import sys; sys.path.append({root!r}); from {__name__} import main; main()"
    return [sys.executable, "-u", "-c", source]


def main() -> None:
    """Run one worker; frames come on stdin and go to stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the controller says when the worker is to hear of it
    sys.exit(_Node(sys.stdin.fileno(), sys.stdout.fileno()).run())


class _Node:
    """One worker's host, as its controller has it."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._sending = threading.Lock()
        self._heard = clock.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        self._worker = Worker(None, {})
        self._end: ProcessEnd | None = None
        self._captured = CapturedFiles()
        self._run = ""
        self._devices: list[Device] = []
        self._lock_dir: str | None = None
        self._to_worker: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._is_alone = False
        self._host = os.environ.get("SLURMD_NODENAME") or os.environ.get(HOST) or socket.gethostname()

    def run(self) -> int:
        """Serve until the worker has ended, or the controller is gone."""
        self._say("hello", host=self._host, pid=os.getpid())
        self._in_thread(self._listen)
        self._in_thread(self._beat)
        self._is_over.wait()
        return GONE_STATUS if self._is_alone else 0

    def _listen(self) -> None:
        """Do what the controller says, until its word ends."""
        parts = Frames()
        with contextlib.suppress(OSError):
            while data := os.read(self._incoming, _PIECE):
                self._heard = clock.monotonic()
                for kind, payload in parts.of(data):
                    if kind == DATA:
                        self._to_worker.put(payload)
                    elif kind == SAYS:
                        self._is_told(json.loads(payload))
        self._controller_is_gone("pytest is gone, or the way to it")

    def _beat(self) -> None:
        """Say that this is here; end all where nobody else says so."""
        while not self._is_over.wait(BEAT_SECONDS):
            if clock.monotonic() - self._heard > SILENCE_SECONDS:
                self._controller_is_gone(f"nothing was heard of pytest for {SILENCE_SECONDS:g} s")
            # Where the way is full, whoever writes there holds the lock: the next look is not to wait for that.
            if self._sending.acquire(blocking=False):
                try:
                    _write_all(self._outgoing, frames.frame(BEAT))
                finally:
                    self._sending.release()

    def _controller_is_gone(self, why: str) -> None:
        self._is_alone = True
        # For who has placed this, and may tell of it; nobody may take it.
        told = self._in_thread(lambda: _write_all(2, f"{why}\n".encode()))
        self._terminate(signal.SIGINT, grace=2.0)
        if self._process is not None:
            self._is_over.wait(_DRAIN_SECONDS)
        told.join(_DRAIN_SECONDS)
        os._exit(GONE_STATUS)  # whoever reads what this writes is gone, and may hold a thread up

    def _is_told(self, said: Mapping[str, Any]) -> None:
        match said["what"]:
            case "start":
                self._start(said)
            case "close":
                self._to_worker.put(None)
            case "end":
                self._in_thread(lambda: self._terminate(said["first"], said["grace"]))
            case "started":
                known = (ProcessId(*process) for process in said["processes"])
                self._worker = self._worker._replace(started=(*self._worker.started, *known))
            case "leased":
                self._devices = [Device.from_wire(device) for device in said["devices"]]
                self._lock_dir = said["lock_dir"]
            case "captures":
                self._captured.open(said["pid"], said["descriptors"])
            case "stacks":
                self._answer(said, lambda: stacks.stacks(said["pid"], said["descriptor"]))
            case "captured":
                self._answer(said, self._captured.read)

    def _start(self, said: Mapping[str, Any]) -> None:
        own, library = os.getpid(), parent.library()
        self._run = said["run"]
        run_marks = marks.of_worker(said["run"], said["worker"])
        environ = _environ(said["environ"])
        self._end = ProcessEnd()
        try:
            process = subprocess.Popen(
                [sys.executable, *said["arguments"]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=said["directory"],
                env=environ | run_marks | {HOST: self._host},
                preexec_fn=lambda: _begin(own, library),  # noqa: PLW1509 - no thread of ours holds a lock by now
            )
        except OSError as error:
            self._say("failed", text=self._why_not(error))
            self._is_over.set()
            return
        self._process = process
        self._worker = Worker(table.identity(process.pid), run_marks)
        carriers = [
            self._in_thread(lambda: self._carry(process.stdout, DATA)),
            self._in_thread(lambda: self._carry(process.stderr, ERRORS)),
        ]
        self._in_thread(lambda: self._feed(process))
        self._in_thread(lambda: self._see_it_end(process, carriers))

    def _why_not(self, error: OSError) -> str:
        text = f"no worker could be started on {self._host}: {error.strerror}: {error.filename}"
        if isinstance(error, FileNotFoundError):
            text += " (the code has to lie in the same place on every host, or the engine has to bring it there)"
        return text

    def _carry(self, stream: Any, kind: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), _PIECE):
                self._send(kind, data)

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it reads no more
            while (data := self._to_worker.get()) is not None:
                process.stdin.write(data)
                process.stdin.flush()
        with contextlib.suppress(OSError):
            process.stdin.close()

    def _see_it_end(self, process: subprocess.Popen[bytes], carriers: Sequence[threading.Thread]) -> None:
        assert self._end is not None
        about: dict[str, Any] = {}
        try:
            self._end.wait(process)
            _join(carriers, _DRAIN_SECONDS)  # who forked may have left somebody behind that holds them open
            self._captured.close()
            left = termination.processes_of(self._worker)
            names = [f"{table.command(pid)} (pid {pid})" for pid in sorted(left)]
            if left:
                termination.end_worker(self._worker, grace=_DRAIN_SECONDS)
            _join(carriers, SILENCE_SECONDS)  # the way to the controller may be slow, and it is to hear all
            lost = condition.lost(self._devices, self._run, self._lock_dir) if self._devices else {}
            about = {"captured": self._captured.read(), "left": names, "lost": lost, **self._end.told()}
        finally:  # whatever is wrong with that: nobody else tells of the end
            self._say("ended", status=process.returncode, **about)
            self._is_over.set()

    def _terminate(self, first: int, grace: float) -> None:
        if self._process is not None:
            termination.end_worker(self._worker, grace=grace, first=first)

    def _answer(self, said: Mapping[str, Any], of: Callable[[], Any]) -> None:
        """Answer what was asked, in a thread: it may take its time."""
        self._in_thread(lambda: self._say("answer", number=said["number"], answer=of()))

    def _say(self, what: str, **values: Any) -> None:
        self._write(frames.says(what, **values))

    def _send(self, kind: bytes, payload: bytes = b"") -> None:
        self._write(frames.frame(kind, payload))

    def _write(self, data: bytes) -> None:
        with self._sending:
            _write_all(self._outgoing, data)

    def _in_thread(self, what: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=what, name="gpupool-node", daemon=True)
        thread.start()
        return thread


def _write_all(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(OSError):  # that nobody listens is seen where nobody speaks
        while data:
            data = data[os.write(descriptor, data) :]


def _join(threads: Sequence[threading.Thread], seconds: float) -> None:
    deadline = clock.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - clock.monotonic()))


def _environ(said: Mapping[str, str | None]) -> dict[str, str]:
    """Return a worker's environment: this host's, with what the controller says, None of what is not to be there."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {name: value for name, value in {**own, **said}.items() if value is not None}


def _begin(own: int, library: Any) -> None:
    """In the worker's process, before its program: it ends with this one, and hears SIGINT."""
    parent.end_with(own, library)
    signal.signal(signal.SIGINT, signal.default_int_handler)
