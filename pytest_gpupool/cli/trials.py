"""Trials: pytest on the same suite, again and again, as child processes that start from the same knowledge."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from ..records import durations as history
from ..records.store import lock
from ..values.errors import UsageProblem
from .sources import Report, report_of

FOLDER = "scaling"
"""Where trials are kept, below the directory of the records."""

CHART = "scaling.svg"

_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
_FINISHED = (0, 1)  # pytest's statuses of a run that went through its tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run of the suite: seconds that the command took, its exit status, its report where it wrote one.

    ``log`` has its output, None where that was shown.
    """

    workers: int
    seconds: float
    status: int
    report: Report | None
    log: Path | None

    @property
    def is_whole(self) -> bool:
        """Whether pytest went through the suite, and there was any test in it."""
        return self.status in _FINISHED and (self.report is None or bool(self.report["tests"]))


@dataclass(slots=True)
class SignalForwarder:
    """Passes on what is to end this program to the child, and remembers it; a terminal's Ctrl-C reaches us alone.

    The child has a process group of its own: it would hear Ctrl-C twice otherwise, and a second one ends it hard.
    """

    received: list[int] = field(default_factory=list)
    _child: subprocess.Popen[bytes] | None = None

    @property
    def status(self) -> int | None:
        """What to exit with, as pytest with this plugin does: 2 after Ctrl-C, 143 after SIGTERM; None without any."""
        if not self.received:
            return None
        return 2 if self.received[0] == signal.SIGINT else 128 + self.received[0]

    @contextlib.contextmanager
    def passed_on(self) -> Iterator[SignalForwarder]:
        """Do so meanwhile. What this program was told to ignore, as by nohup, stays ignored."""
        watched = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        before = [signal.signal(number, self._receive) for number in watched]
        try:
            yield self
        finally:
            for number, handler in zip(watched, before, strict=True):
                signal.signal(number, handler)

    def run(self, command: Sequence[str], log: Path | None) -> int:
        """Run a command, its output in a file or where ours is, and return its exit status, 128 + N for signal N."""
        with contextlib.nullcontext() if log is None else log.open("wb") as output:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, process_group=0
            )
            for number in self.received:  # before there was a child
                self._child.send_signal(number)
            status = self._child.wait()
        return status if status >= 0 else 128 - status

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        if self._child is not None:
            self._child.send_signal(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFolder:
    """``<gpupool-dir>/scaling``: each trial's report, ``n4.json``, and output, ``n4.log``, until the next scaling.

    Trials keep their records apart. Each starts from the durations that were known before the first one, since a run
    that knows more is planned better.
    """

    path: Path
    durations: bytes | None

    @classmethod
    @contextlib.contextmanager
    def opened(cls, base: Path) -> Iterator[TrialFolder]:
        """Make it empty, and keep others out.

        Raises:
            UsageProblem: it cannot be written, or another program measures there.
        """
        path = base / FOLDER
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / ".gitignore").write_text("# Made by pytest-gpupool: what 'gpupool scaling' measured last.\n*\n")
            lock = (path / "lock").open("w")
        except OSError as error:
            raise UsageProblem(f"{path} cannot be written: {error.strerror}; say where to write with --dir") from None
        with lock:
            _lock(lock.fileno(), path)
            for old in (*path.glob("n*.json"), *path.glob("n*.log"), path / CHART):
                old.unlink(missing_ok=True)
            try:
                yield cls(path=path, durations=_read(base / history.NAME))
            finally:
                shutil.rmtree(path / "records", ignore_errors=True)

    def run(
        self,
        workers: int,
        args: Sequence[str],
        signals: SignalForwarder,
        *,
        shown: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> Trial:
        """Run the suite with so many workers, its output in the trial's log, or ``shown`` where ours is."""
        report, log = self.path / f"n{workers}.json", None if shown else self.path / f"n{workers}.log"
        # Where the user's records are, so that writing them takes as long as ever.
        records = self.path / "records"
        shutil.rmtree(records, ignore_errors=True)
        records.mkdir()
        if self.durations is not None:
            (records / history.NAME).write_bytes(self.durations)
        began = clock()
        status = signals.run([*command(workers), f"--gpupool-json={report}", f"--gpupool-dir={records}", *args], log)
        seconds = clock() - began
        read = report_of(str(report), None) if report.exists() else None
        return Trial(workers=workers, seconds=seconds, status=status, report=read, log=log)


def command(workers: int | str) -> list[str]:
    """Return the beginning of a trial's command line."""
    return [sys.executable, "-m", "pytest", "-n", str(workers)]


def _lock(descriptor: int, path: Path) -> None:
    try:
        lock(descriptor, 0.0)
    except TimeoutError:
        raise UsageProblem(
            f"another 'gpupool scaling' measures in {path}: wait for its end, since both would be slower"
        ) from None
    except OSError:
        pass  # without locks: nobody knows of another one


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def tail(log: Path, most: int) -> list[str]:
    """Return the last lines of a trial's output."""
    with log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 200 * most))
        return file.read().decode(errors="replace").splitlines()[-most:]
