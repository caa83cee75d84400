"""Displays: the two ways in which a run that goes on is shown, a table on a terminal and lines in a log."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Any, TextIO

from ..foreign.pytest_names import TerminalFile
from ..processes.own import clock
from ..values.texts import duration_text
from .painter import Painter, short
from .redirect import StderrRedirect
from .run_state import Row, longest
from .screen import Screen, ScreenFile
from .snapshot import Observer, Snapshot

_SHARE = 0.02
"""Of one core's time, which looking at the run may take: where a look takes longer there are fewer of them."""

_TICK_SECONDS = 0.1  # after which a table stands again where lines came faster than it can be drawn
_STILL = 10  # where nothing has changed a line is said so many times as rarely: a long silence looks like a hang


class TableDisplay:
    """Shows a table below what pytest writes on a terminal."""

    seconds = _TICK_SECONDS
    """Between two steps."""

    def __init__(self, observer: Observer, reporter: Any, *, refresh: float, shared: bool, workers: bool) -> None:
        """Take the terminal over. ``shared``: tests, or workers, write to it as well.

        Raises:
            OSError: pytest does not write to a terminal.
        """
        self._observer = observer
        self._refresh = refresh
        self._colour: bool = reporter.hasmarkup
        self._painter: Painter | None = None
        self._terminal = TerminalFile(reporter)
        self._screen = Screen(self._terminal.file)
        self._files: list[tuple[Any, str, ScreenFile]] = []
        self._stderr = StderrRedirect(self._screen.write_bytes)
        self._size = (0, 0)
        self._due = 0.0
        self._take(self._terminal, "file")
        if shared:
            self._take(sys, "stdout")
        if workers and sys.stderr.isatty():
            with contextlib.suppress(OSError):
                self._stderr.open(self._screen.fit)
        elif shared:
            self._take(sys, "stderr")

    def step(self) -> None:
        """Show the run as it is, if it is time to look again."""
        size = self._screen.size()
        if clock.monotonic() < self._due and size == self._size:
            self._screen.redraw()
            return
        if self._painter is None:
            self._painter = Painter(colour=self._colour)
        if size != self._size and self._stderr.is_open:
            self._screen.fit(self._stderr.terminal)
        self._size, began = size, clock.processor_time()
        snapshot = self._observer.look()
        if snapshot.counts.total:
            self._screen.show(self._painter.paint(snapshot, columns=size[0], lines=size[1]))
        self._due = clock.monotonic() + max(self._refresh, (clock.processor_time() - began) / _SHARE)

    def pause(self) -> None:
        """Leave the terminal to others for a while."""
        self._screen.pause()

    def resume(self) -> None:
        """Go on."""
        self._screen.resume()

    def stop(self) -> None:
        """Leave the terminal to pytest's summary."""
        self._screen.pause()
        for owner, name, file in self._files:
            if getattr(owner, name) is file:  # others may have put theirs in its place
                setattr(owner, name, file.file)
        self._files = []

    def close(self) -> None:
        """Put everything back, once workers have ended, which write to standard error until then."""
        self.stop()
        self._stderr.close()
        self._screen.close()

    def _take(self, owner: Any, name: str) -> None:
        file = getattr(owner, name)
        if file is not None and file.isatty():
            wrapped = self._screen.file_for(file)
            setattr(owner, name, wrapped)
            self._files.append((owner, name, wrapped))


class LogDisplay:
    """Writes a line now and then to where pytest writes, which is no terminal."""

    def __init__(self, observer: Observer, reporter: Any, *, interval: float) -> None:
        self.seconds = interval
        self._observer = observer
        self._last: object = None
        self._silent = 0
        self._is_paused = False
        self._terminal = TerminalFile(reporter)
        self._file = self._terminal.file = LineFile(self._terminal.file)

    def step(self) -> None:
        """Say how far the run has come, if it has come any further."""
        snapshot = self._observer.look()
        now = (snapshot.counts, [row.test for row in snapshot.rows])
        self._silent += 1
        if self._is_paused or not snapshot.counts.total or (now == self._last and self._silent < _STILL):
            return
        self._last, self._silent = now, 0
        self._file.add(f"gpupool: {sentence(snapshot)}")
        self._terminal.is_on_a_new_line()

    def pause(self) -> None:
        """Say nothing for a while."""
        self._is_paused = True

    def resume(self) -> None:
        """Go on."""
        self._is_paused = False

    def stop(self) -> None:
        """Say nothing more."""
        self._is_paused = True

    def close(self) -> None:
        """Let go of the file."""
        if self._terminal.file is self._file:
            self._terminal.file = self._file.file
        self._file.close()


class LineFile:
    """A text file, to which whole lines can be added from a thread without breaking into others."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self._lock = threading.RLock()
        self._is_fresh = True
        self._descriptor: int | None = None
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a program may have put something else there
            # Of its own: pytest puts a file in the place of standard output while a test runs.
            self._descriptor = os.dup(file.fileno())

    def write(self, text: str) -> int:
        """Write a text, at once: what waits in a buffer would come after a line that is added."""
        with self._lock:
            written = self.file.write(text)
            self.file.flush()
            self._is_fresh = text.endswith("\n") if text else self._is_fresh
            return written

    def add(self, line: str) -> None:
        """Write a line of its own."""
        with self._lock:
            text = f"{line}\n" if self._is_fresh else f"\n{line}\n"
            self._is_fresh = True
            if self._descriptor is None:
                self.file.write(text)
            else:
                os.write(self._descriptor, text.encode(self.file.encoding or "utf-8", "replace"))

    def close(self) -> None:
        """Add nothing more."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def sentence(snapshot: Snapshot) -> str:
    """Return in one line how far the run has come, and what has run the longest."""
    counts = snapshot.counts
    text = (
        f"{counts.done} of {counts.total} done, {counts.failed} failed, {counts.running} running, {counts.waiting} left"
    )
    if snapshot.remaining is not None:
        text += f", about {duration_text(snapshot.remaining)} to go"
    for row in longest([row for row in snapshot.rows if row.test is not None], 1):
        text += f"; longest now: {_about(row, snapshot)}"
    return text


def _about(row: Row, snapshot: Snapshot) -> str:
    return f"{short(row.test or '')} on {snapshot.labels[row.worker]} for {duration_text(row.seconds or 0.0)}"
