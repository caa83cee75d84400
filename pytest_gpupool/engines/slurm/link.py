"""The link: one worker's srun, called again where SLURM has refused it for now, and how it is ended for sure."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable

from . import endings
from .queue import Queue
from .srun import Srun
from .turns import Turns

# srun kills what it runs at once, and takes a job that waits out of the queue. As a step begins it may hear nothing.
_JOB_SECONDS = 10.0
_STEP_SECONDS = 2.0
_WORDS_SECONDS = 3.0


class SrunLink:
    """A worker's srun; see :class:`~pytest_gpupool.engines.engine.Link`. ``start`` calls one.

    srun is told by SIGTERM, upon which it kills the step, and takes a job that waits out of the queue. SIGKILL would
    leave that one there, to be placed later with nobody to run anything in it.
    """

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]], name: str, queue: Queue, turns: Turns) -> None:
        self.name = name
        self._start = start
        self._queue = queue
        self._turns = turns
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._unread: list[bytes] = []  # what was written before anything was read: the next srun needs it, too
        self._refusal = ""
        self._was_told = self._was_read = False
        self._making_sure = threading.Thread(target=self._make_sure, name=f"{name} ends", daemon=True)
        self._since = turns.begin(name)
        self._srun = self._called()

    @property
    def pid(self) -> int:
        """The number of its srun's process."""
        return self._srun.process.pid

    def poll(self) -> int | None:
        """Return its srun's exit status, None as long as that runs."""
        return self._srun.process.poll()

    def write(self, data: bytes) -> None:
        """Send all of it; see :meth:`~pytest_gpupool.engines.engine.Link.write`."""
        with self._writing:
            if self._was_read:
                self._srun.write(data)
                return
            self._unread.append(data)
            with contextlib.suppress(OSError):  # whether there is another srun for it, who reads will see
                self._srun.write(data)

    def read(self) -> bytes:
        """Wait for something, ``b""`` at the end; see :meth:`~pytest_gpupool.engines.engine.Link.read`."""
        while not (data := self._srun.read()) and self._is_called_again():
            pass
        self._was_read = True
        self._unread.clear()
        return data

    def waits_for(self) -> str:
        """Return why it is not placed yet; see :meth:`~pytest_gpupool.engines.engine.Link.waits_for`."""
        if self._was_read:
            return ""
        entry = self._queue.entry(self.name)
        if self._refusal and entry is None:
            return f"{self._refusal}; it is asked for again when another worker ends"
        return endings.waiting(self._queue.allocation, entry, self._srun.heard) if self.poll() is None else ""

    def end(self) -> None:
        """End it, placed or not; see :meth:`~pytest_gpupool.engines.engine.Link.end`."""
        with self._lock:
            first, self._was_told = not self._was_told, True
        self._turns.look()
        if first and self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._srun.process.terminate()
            self._making_sure.start()

    def end_words(self) -> str:
        """Return what SLURM says of its end; see :meth:`~pytest_gpupool.engines.engine.Link.end_words`."""
        self._srun.join(_WORDS_SECONDS)
        status = self.poll()
        if self._was_told or status is None:
            return ""
        heard = self._srun.heard
        asks = status > 0 or heard.words()
        return endings.words(self._queue.last(self.name) if asks else None, heard, status)

    def wait(self) -> None:
        """Wait until it has ended for sure; called after :meth:`end`."""
        if self._making_sure.ident is not None:
            self._making_sure.join()
        self._srun.join()

    def _called(self) -> Srun:
        srun = Srun(self._start(), self.name)
        threading.Thread(target=self._see_it_end, args=(srun,), name=f"{self.name} has ended", daemon=True).start()
        return srun

    def _see_it_end(self, srun: Srun) -> None:
        srun.join()
        if (srun.process.poll() or 0) < 0:
            # Somebody has killed it, which may leave a job that nothing ends but its time limit.
            self._queue.cancel(self.name)
        if self._was_read or not srun.refusal():
            self._turns.end(self.name)

    def _is_called_again(self) -> bool:
        """Where SLURM has refused it for now, wait until another worker has ended, and call srun again."""
        if self._was_read:
            return False
        self._srun.join()
        refusal = self._srun.refusal()
        if not refusal:
            return False
        self._refusal = refusal
        if not self._turns.next(self.name, self._since, lambda: self._was_told):
            return False
        with self._writing:  # nothing newer comes before what it has to hear first
            with self._lock:
                if self._was_told:
                    return False
                self._since = self._turns.begin(self.name)
                self._srun = self._called()
            with contextlib.suppress(OSError):  # it may be refused again
                for data in self._unread:
                    self._srun.write(data)
        return True

    def _make_sure(self) -> None:
        srun = self._srun
        try:
            srun.process.wait(_STEP_SECONDS if self._queue.allocation else _JOB_SECONDS)
        except subprocess.TimeoutExpired:
            self._queue.cancel(self.name)
            srun.process.kill()
