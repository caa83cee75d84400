"""Stacks: where a process that hangs is, asked of it from outside."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
from collections.abc import Callable
from pathlib import Path

from . import table
from .own import clock, forks
from .own.system import os

STACKS_SIGNAL = getattr(signal, "SIGRTMIN", 0) + 5  # only Linux has the others, and asks
"""What asks a worker for its stacks. SIGUSR1 and SIGUSR2 belong to users and to launchers such as Slurm and torchrun;
of the real-time signals the C library takes the first, debuggers and profilers the next ones or the last."""


_STACKS_NAME = "gpupool-stacks"
_ERRORS = 2  # stderr's
_FRAMEWORK = (
    *(f"{os.sep}{name}{os.sep}" for name in ("_pytest", "pluggy", "xdist", "execnet", Path(__file__).parents[1].name)),
    'File "<string>"',  # execnet's first lines
)
_STANDARD = f'"{Path(os.__file__).parent}{os.sep}'


_POLL_SECONDS = 0.02
_QUIET_POLLS = 3  # faulthandler writes word by word; on a loaded machine it pauses between two of them


def offer_stacks() -> int:
    """Let :func:`stacks` ask this process for its stacks; return the descriptor of the memory that they go to.

    faulthandler writes them in the signal's handler itself, so also while C code holds the GIL. Programs that this
    process starts do not inherit the descriptor, and a child that it forks offers nothing.
    """
    offer = _Offer(memory())
    _OFFERS[:] = [offer]
    return offer.descriptor


def memory() -> int:
    """Return the descriptor of memory that stacks can go to, which programs do not inherit."""
    return os.memfd_create(_STACKS_NAME)


def offer_at(descriptor: int) -> None:
    """Offer them in a forked child, in memory that its parent has as well: there are those of a crash, too.

    Only where Python writes the stacks of a crash at all.
    """
    _OFFERS[:] = [_Offer(descriptor)]
    if faulthandler.is_enabled():
        faulthandler.enable(file=descriptor)


def renew_offer() -> None:
    """See that the signal is still heard, where it was: a test may have put back all handlers that Python knows of."""
    for offer in _OFFERS:
        offer.renew()


def stacks(
    pid: int,
    fd: int,
    *,
    timeout: float = 1.0,
    clock: Callable[[], float] = clock.monotonic,
    sleep: Callable[[float], None] = clock.sleep,
) -> str:
    """Return the stacks of all threads of a process that offers them at ``fd``, "" where it does not answer in time.

    It does not where it is stopped or gone, where it never offered them or has put back what handles the signal, or
    where we have no permission.
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


def folded(dump: str) -> str:
    """Return of the stacks of a process what tells where a test, or another thread of the user's, is.

    Threads that are execnet's or ours alone are left out, and of the others the frames of pytest, pluggy, xdist,
    execnet and ours are counted.
    """
    threads = [block.splitlines() for block in dump.strip().split("\n\n")]
    told = [lines for head, *frames in threads if frames and (lines := _fold(head, frames))]
    return "\n".join(line for lines in told for line in lines) or dump.strip()


def crash(dump: str) -> str:
    """Return in short what Python has written of a crash: what it was, then the stacks; see :func:`folded`."""
    what, _, threads = dump.partition("\n\nExtension modules: ")[0].strip().partition("\n\n")
    return f"{what}\n{folded(threads)}" if threads else what


class _Offer:
    """That this process answers the signal."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        # What is there without the handler, and what Python says is there: who puts it back is not ended by it.
        with contextlib.suppress(ValueError):  # in another thread
            signal.signal(STACKS_SIGNAL, signal.SIG_IGN)
        self._register()
        forks.in_child(self._withdraw)

    def renew(self) -> None:
        faulthandler.unregister(STACKS_SIGNAL)  # it takes a second call for no change
        self._register()

    def _register(self) -> None:
        faulthandler.register(STACKS_SIGNAL, file=self.descriptor, all_threads=True, chain=False)

    def _withdraw(self) -> None:
        _OFFERS.clear()
        faulthandler.unregister(STACKS_SIGNAL)
        if faulthandler.is_enabled():  # it may be our memory that it writes to
            with contextlib.suppress(OSError):
                faulthandler.enable(file=_ERRORS)
        with contextlib.suppress(ValueError):
            signal.signal(STACKS_SIGNAL, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


_OFFERS: list[_Offer] = []  # at most one


def own_stacks() -> str:
    """Return the stacks of all threads of this process."""
    descriptor = os.memfd_create(_STACKS_NAME)
    try:
        faulthandler.dump_traceback(file=descriptor, all_threads=True)
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="backslashreplace")
    finally:
        os.close(descriptor)


def _fold(head: str, frames: list[str]) -> list[str]:
    lines: list[str] = []
    ours = 0
    for frame in [*frames, ""]:
        if any(part in frame for part in _FRAMEWORK):
            ours += 1
            continue
        if ours:
            lines.append(f"  ({ours} frames of pytest and its plugins)")
            ours = 0
        lines.append(frame)
    shown = [line for line in lines if line]
    has_own = any(line.startswith("  File") and not _is_standard(line) for line in shown)
    return [head, *shown] if has_own else []


def _is_standard(frame: str) -> bool:
    return _STANDARD in frame


def _open_stacks(pid: int, fd: int) -> int:
    link = Path(f"/proc/{pid}/fd/{fd}")
    # The signal ends whoever does not expect it: a program that took the worker's place, or its pid.
    if not str(link.readlink()).startswith(f"/memfd:{_STACKS_NAME}"):
        raise FileNotFoundError(link)
    if table.catches(pid, STACKS_SIGNAL) is False:
        raise ProcessLookupError(pid)
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
