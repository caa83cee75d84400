"""The screen: a terminal on which a table stands below what is written to it meanwhile.

The cursor stays where the writers' text ends. The table is drawn below that line and the cursor put back; it is never
hidden, and nothing of the terminal is changed that would have to be put right: where the process is killed, a few lines
stay. What goes through the screen (:meth:`Screen.file_for`) makes way for itself. What does not is written over the
table, and is whole on the screen, too; what is left of the table beside it stays there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import termios
import threading
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from ..processes.own import clock, forks

_DOWN = "\x1bD"  # in the same column; at the bottom everything moves up
_SAVE, _RESTORE = "\x1b7", "\x1b8"  # the cursor's place, and its colours
_PLAIN = "\x1b[0m"
_REST_OF_LINE, _REST = "\x1b[K", "\x1b[J"

_MOST_FRAMES = 100.0
"""In a second. Where lines come faster, a table that was drawn after each would cost more than they do."""


class Screen:
    """A terminal; its methods may be called from any thread."""

    def __init__(self, file: TextIO) -> None:
        """Open the terminal that a file is. Raises OSError where it is none.

        A descriptor of its own: pytest puts a file in the place of the standard output while a test runs.
        """
        if not file.isatty():
            raise OSError(errno.ENOTTY, "no terminal")
        self._descriptor = os.dup(file.fileno())
        self._encoding = file.encoding or "utf-8"
        # Reentrant: a signal may come while its handler's own thread writes.
        self._lock = threading.RLock()
        self._rows: Sequence[str] = ()
        self._is_drawn = False
        self._is_paused = False
        self._drawn = 0.0
        self._column = 0
        self._rewound = False
        self._width = self.size()[0]
        forks.in_child(self._abandon)

    def size(self) -> tuple[int, int]:
        """Return its columns and lines at this moment."""
        with contextlib.suppress(OSError):
            columns, lines = os.get_terminal_size(self._descriptor)
            if columns and lines:
                return columns, lines
        return shutil.get_terminal_size()

    def fit(self, other: int) -> None:
        """Let another terminal, by its descriptor, be of the same size."""
        columns, lines = self.size()
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetwinsize(other, (lines, columns))

    def show(self, rows: Sequence[str]) -> None:
        """Show these rows, fewer than the terminal has lines and none wider than it is, in place of those before."""
        with self._lock:
            self._rows = tuple(rows)
            self._width = self.size()[0]
            self._draw()

    def redraw(self) -> None:
        """Draw the table where something was written in its place."""
        with self._lock:
            if not self._is_drawn:
                self._draw()

    def pause(self) -> None:
        """Remove the table, and draw none until :meth:`resume`."""
        with self._lock:
            self._is_paused = True
            if self._is_drawn:
                self._remove()

    def resume(self) -> None:
        """Draw tables again."""
        self._is_paused = False

    def file_for(self, file: TextIO) -> ScreenFile:
        """Return a file that writes to this one, which is the same terminal, so that the table makes way."""
        return ScreenFile(self, file)

    def write_bytes(self, data: bytes) -> None:
        """Write what others have written, as it came."""
        with self._lock:
            text = data.decode(self._encoding, "replace")
            self._make_way(text)
            self._write(data)
            if self._may_stand_again(text):
                self._draw()

    def close(self) -> None:
        """Remove the table for good; files that go through the screen are as if they did not."""
        with self._lock:
            self.pause()
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def write_to(self, file: TextIO, text: str) -> int:
        """Write a text to a file that goes through the screen."""
        with self._lock:
            self._make_way(text)
            written = file.write(text)
            if self._may_stand_again(text):
                file.flush()
                self._draw()
            return written

    def _make_way(self, text: str) -> None:
        fits = "\n" not in text and self._column + _cells(text) < self._width
        if self._is_drawn and not fits:
            self._remove()
        self._follow(text)

    def _follow(self, text: str) -> None:
        _, newline, last = text.rpartition("\n")
        if newline:
            self._column, self._rewound = 0, False
        _, rewound, last = last.rpartition("\r")
        if rewound:
            self._column, self._rewound = 0, True
        self._column += _cells(last)

    def _may_stand_again(self, text: str) -> bool:
        missing = bool(self._rows) and not self._is_drawn and not self._is_paused
        return missing and text.endswith("\n") and clock.monotonic() - self._drawn >= 1 / _MOST_FRAMES

    def _draw(self) -> None:
        if not self._rows or self._is_paused:
            return
        count = len(self._rows)
        # Room for it first, so that nothing moves between the cursor's being kept and its being put back.
        room = f"{_DOWN * count}\x1b[{count}A{_SAVE}{_PLAIN}"
        # Right of the cursor may stand a part of an earlier table, or a line that its writer has gone back in.
        clean = "" if self._rewound else _REST_OF_LINE
        rows = "".join(f"\r\n{row}{_REST_OF_LINE}" for row in self._rows)
        self._write(f"{room}{clean}{rows}{_REST}{_RESTORE}".encode(self._encoding, "replace"))
        self._is_drawn, self._drawn = True, clock.monotonic()

    def _remove(self) -> None:
        self._write(f"{_SAVE}{_DOWN}\r{_REST}{_RESTORE}".encode())
        self._is_drawn = False

    def _write(self, data: bytes) -> None:
        try:
            while data and self._descriptor >= 0:
                data = data[os.write(self._descriptor, data) :]
        except OSError:  # the terminal is gone
            self._rows = ()

    def _abandon(self) -> None:
        """This process is a fork: the table is the other one's, whose threads may have held the lock."""
        self._lock = threading.RLock()
        self._is_paused, self._is_drawn = True, False


class ScreenFile:
    """A text file whose writes go through a screen; else it is the file."""

    def __init__(self, screen: Screen, file: TextIO) -> None:
        self.file = file
        self._screen = screen

    def write(self, text: str) -> int:
        """Write a text."""
        return self._screen.write_to(self.file, text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def _cells(text: str) -> int:
    # No less than what it takes on the screen: a character that is not of ASCII may be wide.
    return len(text) if text.isascii() else 2 * len(text)
