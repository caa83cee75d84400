"""The process: one program in a process group of its own, with all that it starts, none of which outlives it."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from ..processes import marks, signals, table, termination
from ..processes.own import clock
from ..processes.own.system import os, select
from ..processes.termination import Worker
from ..values.process_id import ProcessId
from .result import ScriptError

_MARK = "GPUPOOL_SCRIPT"
"""The variable by which what a script starts is known, another value in each."""

_OF_THE_RUN = (marks.WORKER.encode(), b"GPUPOOL_RUN")

_TICK, _TICK_WITHOUT_WORD = 0.5, 0.05
"""Seconds between two looks at a program that is silent; the kernel may be too old to tell of its end."""

_GRACE = 5.0
"""Seconds that they may take to end which the script has left running, or which took too long."""

_PIECE = 2**16
_MOST_PIECES = 2**14  # of what comes from somebody who could not be ended

Hear = Callable[[str, bytes], None]
"""Is told what comes from a stream, and ``b""`` at its end."""


class Ended(NamedTuple):
    """How a program ended: its status as :mod:`subprocess` has it, its seconds, and whether it was ended for these."""

    returncode: int
    duration: float
    took_too_long: bool


def run(
    command: Sequence[str],
    environ: Mapping[str, str],
    hear: Hear,
    *,
    timeout: float | None,
    inputs: Mapping[int, str] | None = None,
    now: Callable[[], float] = clock.monotonic,
) -> Ended:
    """Run a program to its end, or for so many seconds, and end all that it has started.

    ``hear`` is told what it writes as it comes, ``"stdout"`` or ``"stderr"`` and bytes. ``inputs`` are descriptors from
    which more is heard meanwhile, with their names; who has opened them closes them. Whatever is raised, as by Ctrl-C,
    nothing of it lives on.

    Raises:
        ScriptError: it cannot be started.
    """
    mark = {_MARK: secrets.token_hex(8)}
    began, start = now(), clock.since_boot()
    process = _start(command, {**environ, **mark})
    family = _Family(process.pid, mark, start)
    is_timed_out = False
    try:
        with _pipes(process, hear, inputs or {}) as pipes:
            deadline = began + (threading.TIMEOUT_MAX if timeout is None else timeout)
            is_timed_out = not _has_ended_before(deadline, process.pid, pipes, now)
            duration = now() - began
            ending = threading.Thread(target=family.end, name="gpupool-script-end", daemon=True)
            ending.start()
            while ending.is_alive():  # what they write as they end is not lost, and does not hold them up
                pipes.read(_TICK_WITHOUT_WORD)
            ending.join()
            pipes.drain()
    except BaseException:
        family.end()
        raise
    finally:
        process.wait()
    return Ended(process.returncode, duration, is_timed_out)


def _start(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,
        )
    except ValueError as error:  # as of a NUL in a word
        raise ScriptError(f"{command[0]} cannot be started: {error}") from None
    except OSError as error:
        hint = ": is its first line, such as #!/bin/sh, there and right?" if error.errno in (2, 8) else ""
        raise ScriptError(f"{command[0]} cannot be started: {error.strerror}{hint}") from None


def _has_ended_before(deadline: float, pid: int, pipes: _Pipes, now: Callable[[], float]) -> bool:
    """Hear what the program writes until it ends; return whether that was in time."""
    while not _has_ended(pid):
        left = deadline - now()
        if left <= 0:
            return False
        pipes.read(left)
    return True


def _has_ended(pid: int) -> bool:
    # Not waited for, so that its number stays its own until what it has started is ended.
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Pipes:
    """What a program writes to."""

    def __init__(
        self, process: subprocess.Popen[bytes], word_of_end: int | None, hear: Hear, inputs: Mapping[int, str]
    ) -> None:
        files: dict[str, IO[bytes] | None] = {"stdout": process.stdout, "stderr": process.stderr}
        self._open = {file.fileno(): stream for stream, file in files.items() if file is not None} | dict(inputs)
        self._hear = hear
        self._tick = _TICK_WITHOUT_WORD if word_of_end is None else _TICK
        self._output, self._anything = select.poll(), select.poll()
        for descriptor in self._open:
            self._output.register(descriptor, select.POLLIN)
            self._anything.register(descriptor, select.POLLIN)
        if word_of_end is not None:
            self._anything.register(word_of_end, select.POLLIN)

    def read(self, seconds: float) -> None:
        """Wait up to so long, and no longer than a tick, for output or the end; hear what has come."""
        self._take(self._anything.poll(min(seconds, self._tick) * 1000))

    def drain(self) -> None:
        """Hear what is left, once all have ended that could write."""
        for _ in range(_MOST_PIECES):
            if not self._open or not self._take(self._output.poll(0)):
                break

    def _take(self, ready: Sequence[tuple[int, int]]) -> bool:
        for descriptor, _ in ready:
            stream = self._open.get(descriptor)
            if stream is None:
                clock.sleep(0.001)  # it has ended: nobody is to wait for that again and again
            elif data := os.read(descriptor, _PIECE):
                self._hear(stream, data)
            else:
                self._hear(stream, b"")
                del self._open[descriptor]
                self._output.unregister(descriptor)
                self._anything.unregister(descriptor)
        return bool(ready)


@contextlib.contextmanager
def _pipes(process: subprocess.Popen[bytes], hear: Hear, inputs: Mapping[int, str]) -> Iterator[_Pipes]:
    descriptor = signals.descriptor_of(process.pid)
    try:
        yield _Pipes(process, descriptor, hear, inputs)
    finally:
        for file in (process.stdout, process.stderr):
            if file is not None:
                file.close()
        if descriptor is not None:
            os.close(descriptor)


class _Family:
    """A program with all that it has started.

    Its own mark is a variable. By the limits, which nobody can be started without, they are known as the run's: so
    that, whatever becomes of this process, they are ended with the run.
    """

    def __init__(self, pid: int, mark: Mapping[str, str], start: float) -> None:
        self._process = table.identity(pid)
        self._mark = mark
        self._start = start

    def end(self) -> None:
        """End those that live."""
        termination.end_worker(Worker(self._process, self._mark, started=self._strays()), grace=_GRACE)

    def _strays(self) -> list[ProcessId]:
        """Return who has lost its parent, and was given another environment: known by the limit, and by its start.

        What the test itself has started meanwhile in that way still has the variables of the run.
        """
        own = table.with_descendants([os.getpid()], everybody := table.all_processes())
        found = []
        for pid in everybody.keys() - own:
            if not marks.are_shared_with(pid) or self._is_older(pid):
                continue
            names = {variable.partition(b"=")[0] for variable in table.environment(pid)}
            if not names.intersection(_OF_THE_RUN) and (known := table.identity(pid)) is not None:
                found.append(known)
        return found

    def _is_older(self, pid: int) -> bool:
        started = table.started_at(pid)
        return started is None or started - clock.now() + clock.since_boot() < self._start - 0.02
