"""Terminals that are not there: what a person would see on them, and a pytest run on one."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import termios
import time
from collections.abc import Callable
from typing import Any

import pyte
from support import LIMIT, Host


class Picture:
    """What a terminal shows that is fed all that comes out of a descriptor."""

    def __init__(self, descriptor: int, *, columns: int = 100, lines: int = 24) -> None:
        self.descriptor = descriptor
        self.raw = b""
        self._screen: Any = pyte.HistoryScreen(columns, lines, history=1000, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        termios.tcsetwinsize(descriptor, (lines, columns))

    def resize(self, *, columns: int, lines: int) -> None:
        """Make the terminal larger or smaller."""
        termios.tcsetwinsize(self.descriptor, (lines, columns))
        self._screen.resize(lines, columns)

    def look(self, seconds: float = 0.0) -> str:
        """What it shows once that has been written which comes in time."""
        while select.select([self.descriptor], [], [], seconds)[0]:
            data = os.read(self.descriptor, 1 << 16)
            self.raw += data
            self._stream.feed(data)
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def everything(self) -> str:
        """What it shows and what has gone at its top."""
        gone = ["".join(line[x].data for x in range(self._screen.columns)) for line in self._screen.history.top]
        return "\n".join(line.rstrip() for line in [*gone, *self._screen.display]).rstrip()

    @property
    def cursor(self) -> tuple[int, int]:
        """The column and the line of the cursor; fails where it cannot be seen."""
        assert not self._screen.cursor.hidden
        return self._screen.cursor.x, self._screen.cursor.y


class Terminal:
    """A pytest run on a terminal of its own."""

    def __init__(self, host: Host, *args: str, columns: int = 100, lines: int = 24, **environ: str | None) -> None:
        changes = {"TERM": "xterm-256color", "COLUMNS": None, "LANG": "C.UTF-8", **environ}
        command = host.command(*args)
        self.pid, descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(host.project)
            os.execve(command[0], command, host.environ(**changes))
        self.picture = Picture(descriptor, columns=columns, lines=lines)
        self._status: int | None = None

    def until(self, *texts: str, gone: str | None = None) -> str:
        """Wait until it shows each of the texts and not the other one, and return what it shows."""
        return self.until_it(
            lambda seen: all(text in seen for text in texts) and (gone is None or gone not in seen), (texts, gone)
        )

    def until_it(self, is_right: Callable[[str], bool], what: object) -> str:
        """Wait until what it shows is right, and return it."""
        deadline = time.monotonic() + LIMIT
        seen = ""
        while time.monotonic() < deadline:
            try:
                seen = self.picture.look(0.02)
            except OSError:
                break  # the run has ended
            if is_right(seen):
                return seen
        raise AssertionError(f"never shown: {what}\n{self.picture.everything}")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.picture.descriptor, keys.encode())

    def finish(self) -> int:
        """Wait for its end; return the exit status."""
        with contextlib.suppress(OSError):
            while True:
                self.picture.look(0.1)
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self.picture.descriptor)
        return self._status

    def kill(self) -> None:
        """End it and everything that it started."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.finish()
