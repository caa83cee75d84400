"""Stacks: where a process that hangs is, asked of it from outside."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

STACKS_SIGNAL = signal.SIGRTMIN + 5
"""What asks a worker for its stacks. SIGUSR1 and SIGUSR2 belong to users and to launchers such as Slurm and torchrun;
of the real-time signals the C library takes the first, debuggers and profilers the next ones or the last."""


_STACKS_NAME = "gpupool-stacks"


_POLL_SECONDS = 0.02
_QUIET_POLLS = 3  # faulthandler writes word by word; on a loaded machine it pauses between two of them


def offer_stacks() -> int:
    """Let :func:`stacks` ask this process for its stacks; return the descriptor of the memory that they go to.

    faulthandler writes them in the signal's handler itself, so also while C code holds the GIL. Programs that this
    process starts do not inherit the descriptor.
    """
    descriptor = os.memfd_create(_STACKS_NAME)
    faulthandler.register(STACKS_SIGNAL, file=descriptor, all_threads=True, chain=False)
    return descriptor


def stacks(
    pid: int,
    fd: int,
    *,
    timeout: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return the stacks of all threads of a process that offers them at ``fd``, "" where it does not answer in time.

    It does not where it is stopped or gone, where it never offered them, or where we have no permission.
    """
    try:
        memory = _open_stacks(pid, fd)
    except OSError:
        return ""
    try:
        before = os.fstat(memory).st_size
        os.kill(pid, STACKS_SIGNAL)
        _await_quiet(memory, before, clock() + timeout, clock, sleep)
        return os.pread(memory, os.fstat(memory).st_size - before, before).decode(errors="backslashreplace")
    except OSError:
        return ""
    finally:
        os.close(memory)


def own_stacks() -> str:
    """Return the stacks of all threads of this process."""
    descriptor = os.memfd_create(_STACKS_NAME)
    try:
        faulthandler.dump_traceback(file=descriptor, all_threads=True)
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="backslashreplace")
    finally:
        os.close(descriptor)


def _open_stacks(pid: int, fd: int) -> int:
    link = Path(f"/proc/{pid}/fd/{fd}")
    # The signal ends whoever does not expect it: a program that took the worker's place, or its pid.
    if not str(link.readlink()).startswith(f"/memfd:{_STACKS_NAME}"):
        raise FileNotFoundError(link)
    return os.open(link, os.O_RDONLY | os.O_CLOEXEC)


def _await_quiet(
    memory: int, before: int, deadline: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    last, quiet = before, 0
    while quiet < _QUIET_POLLS and clock() < deadline:
        sleep(_POLL_SECONDS)
        size = os.fstat(memory).st_size
        quiet = quiet + 1 if before < size == last else 0
        last = size
