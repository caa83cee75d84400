"""Captured: what pytest captures of a test goes to its log while the test runs.

pytest captures into files without a name, which it empties after each phase of a test. A thread copies what is new
there some times a second, and whoever runs the tests copies the rest as a phase ends. While a test holds the GIL the
log lags behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from threading import RLock, Thread

from ..processes.own import forks
from ..processes.own.events import Event
from ..processes.own.system import os
from .worker_logs import WorkerLogs

_SECONDS = 0.2
"""How far a log lags behind."""

_JOIN_SECONDS = 0.25
_PIECE = 2**16


class CapturedOutput:
    """Copies it, in each phase that begins and ends here, until :meth:`close`.

    The thread rests while this process forks: no child inherits a lock that it holds. A child copies nothing.
    """

    def __init__(self, logs: WorkerLogs, descriptors: Mapping[str, int], *, of_another: bool = False) -> None:
        """``descriptors`` are those of pytest's files, by stream, ``of_another`` process where that captures."""
        self._logs = logs
        self._descriptors = descriptors
        self._of_another = of_another
        self._copied = dict.fromkeys(descriptors.values(), 0)
        self._has_copied = False  # anything of the present phase
        self._lock = RLock()
        self._owner = forks.Owner()
        self._thread: Thread | None = None
        self._halt = Event()
        self._is_closed = False
        self._goes_on = False  # a phase, here: between phases it may be a child that copies from the same files
        forks.before(self._pause)
        forks.in_parent(self._start)

    def begin(self) -> None:
        """A phase begins, with nothing captured yet."""
        if self._has_copied:
            with self._lock:
                self._copied, self._has_copied = dict.fromkeys(self._copied, 0), False
        self._goes_on = True
        if self._thread is None:
            self._start()

    def end(self) -> None:
        """It is over: copy the rest."""
        with self._lock:
            self._copy()
            self._goes_on = False

    def end_with(self, written: Mapping[str, str]) -> None:
        """It is over in another process: what was not copied yet is the rest of what was ``written``, by stream."""
        with self._lock:
            self._goes_on = False
            for stream, descriptor in self._descriptors.items():
                whole = written.get(stream, "").encode(errors="backslashreplace")
                self._logs.write(whole[self._copied[descriptor] :])

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """What is captured meanwhile does not go to the log: who writes it has written it there."""
        with self._lock:
            self._copy()
            try:
                yield
            finally:
                self._copied = {descriptor: _size(descriptor) for descriptor in self._copied}
                self._has_copied = True

    def goes_on_here(self) -> None:
        """Copy in this process, a child of the one that has done so until now."""
        self._owner, self._lock = forks.Owner(), RLock()
        self._start()

    def close(self) -> None:
        """Copy no more."""
        self._is_closed = True
        self._pause()

    def _start(self) -> None:
        if self._copied and self._owner.is_here and not self._is_closed:
            self._halt = Event()
            self._thread = Thread(target=self._run, args=(self._halt,), name="gpupool-logs", daemon=True)
            with contextlib.suppress(RuntimeError):  # there is no room for one more: the end of a phase copies all
                self._thread.start()

    def _pause(self) -> None:
        self._halt.set()
        if self._thread is not None and self._owner.is_here and self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    def _run(self, halt: Event) -> None:
        while not halt.wait(_SECONDS):
            with self._lock:
                self._copy()

    def _copy(self) -> None:
        if not (self._goes_on and self._owner.is_here):
            return
        for descriptor, copied in self._copied.items():
            self._copied[descriptor] = self._copy_from(descriptor, copied)

    def _copy_from(self, descriptor: int, copied: int) -> int:
        """Copy what of a file has not been copied; return how much of it has been now."""
        data = _read(descriptor, copied)
        if not data and copied and not self._of_another:  # where the phase is over, which is told next
            copied = min(copied, _size(descriptor))  # it was emptied
            data = _read(descriptor, copied)
        while data:
            self._logs.write(data)
            copied += len(data)
            self._has_copied = True
            data = _read(descriptor, copied)
        return copied


def _size(descriptor: int) -> int:
    try:
        return os.fstat(descriptor).st_size
    except OSError:  # a test may close all descriptors that it finds
        return 0


def _read(descriptor: int, offset: int) -> bytes:
    try:
        return os.pread(descriptor, _PIECE, offset)
    except OSError:
        return b""
