"""The job: a command in a process group of its own, which has the terminal, hears our signals, and stops when we do.

Where this program is alone in its group, as where a person has typed it, the command gets the terminal at once: Ctrl-C
and Ctrl-Z reach it as if we were not there. Where others share our group (a pipeline's pager, a script) it gets the
terminal when it asks for it; until then Ctrl-C reaches us, as it reaches them, and we pass it on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from ...processes import marks, table
from . import signals
from .family import Family, describe
from .signals import Signals
from .terminal import Terminal
from .wishes import cannot_run

_TICK = 1.0
"""Seconds between two looks at the locks."""

_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5
"""Seconds between two looks at what the command left behind; nobody tells of their end."""

_SILENT_SECONDS = 1.0
"""What ends by itself so soon goes unmentioned."""

_GRACE_SECONDS = 5.0
"""What those may take to end that the command left behind and somebody wants ended."""


class Job:
    """One command. ``tick`` is called about once a second while it or what it started lives."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], marks: Mapping[str, str], tick: Callable[[], None]
    ) -> None:
        self.killed_by: int | None = None
        """The signal that ended the command, None where it ended by itself."""
        self._command = command
        self._environ = environ
        self._marks = marks
        self._tick = tick
        self._ticked = 0.0
        self._signals = Signals()
        self._terminal = Terminal()
        self._gets_terminal = self._terminal.is_ours() and _is_alone()
        self._pid = 0

    def run(self, started: Callable[[int], None]) -> int:
        """Run the command, and return its exit status, 128 + N for signal N, once nothing of it lives any more.

        ``started`` is told its pid. Raises NoCommand.
        """
        with self._signals.heard():
            process = self._start()
            self._pid = process.pid
            try:
                started(self._pid)
                while (ended := self._look()) is None:
                    self._hear(self._next(_TICK))
                self._terminal.take_back(self._pid)
                self._wait_for_family()
                process.returncode = 0 if ended is None else ended
                os.waitpid(self._pid, 0)  # only now, so that its number stays its own
            finally:
                self._terminal.take_back(self._pid)
        return ended

    def was_interrupted(self) -> bool:
        """Return whether it is a terminal's Ctrl-C that has ended it, of which whoever started us should know."""
        return self.killed_by == signal.SIGINT and self._gets_terminal

    def _start(self) -> subprocess.Popen[bytes]:
        sys.stdout.flush()
        try:
            # What we have inherited the command inherits as well; what is our own is not inheritable.
            return subprocess.Popen(
                self._command,
                env=self._environ,
                close_fds=False,
                process_group=0,
                preexec_fn=self._in_the_child,  # noqa: PLW1509 - no thread runs here
            )
        except OSError as error:
            raise cannot_run(self._command[0], error) from None

    def _in_the_child(self) -> None:
        if self._gets_terminal:
            self._terminal.give(os.getpgrp())  # before it reads
        marks.bear(self._marks)
        self._signals.restore()

    def _next(self, seconds: float) -> int | None:
        """Return the next signal, None after so long; look at the locks when it is time."""
        number = self._signals.wait(seconds)
        if time.monotonic() - self._ticked >= _TICK:
            self._ticked = time.monotonic()
            self._tick()
        return number

    def _look(self) -> int | None:
        """Return the command's exit status, None while it lives; where it has stopped, stop as well."""
        ended = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            self.killed_by = None if ended.si_code == os.CLD_EXITED else ended.si_status
            return ended.si_status if self.killed_by is None else 128 + self.killed_by
        with suppress(ChildProcessError):  # it has ended just now
            if (stopped := os.waitid(os.P_PID, self._pid, os.WSTOPPED | os.WNOHANG)) is not None:
                self._has_stopped(stopped.si_status)
        return None

    def _hear(self, number: int | None) -> None:
        if number == signal.SIGCONT:
            self._go_on()
        elif number in signals.PASSED_ON:
            self._send(number)

    def _has_stopped(self, number: int) -> None:
        if number in (signal.SIGTTIN, signal.SIGTTOU) and self._terminal.is_ours():
            self._gets_terminal = True  # it asks for it
            self._go_on()
        elif number != signal.SIGSTOP:
            self._stop(number)
        elif self._terminal.group() == self._pid:  # as programs stop themselves that have heard Ctrl-Z
            self._stop(signal.SIGTSTP)

    def _stop(self, number: int) -> None:
        self._terminal.take_back(self._pid)
        signals.stop_like(number)
        self._go_on()

    def _go_on(self) -> None:
        if self._gets_terminal and self._terminal.is_ours():
            self._terminal.give(self._pid)
        self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def _wait_for_family(self) -> None:
        family, began, told = Family(self._pid, self._marks), time.monotonic(), frozenset[int]()
        pause, kill_at = _FIRST_LOOK, float("inf")
        while living := family.living():
            if time.monotonic() - began >= _SILENT_SECONDS and not told.issuperset(living):
                self._tell(living)
                told |= set(living)
            number = self._next(pause)
            pause = min(pause * 1.5, _LAST_LOOK)
            if number == signal.SIGTSTP:
                signals.stop_like(signal.SIGTSTP)
            if number in signals.ENDING or time.monotonic() >= kill_at:
                # A second one does not wait.
                family.send(signal.SIGTERM if kill_at == float("inf") else signal.SIGKILL)
                kill_at = min(kill_at, time.monotonic() + _GRACE_SECONDS)

    def _tell(self, pids: list[int]) -> None:
        count = f"{len(pids)} process{'' if len(pids) == 1 else 'es'}"
        name = os.path.basename(self._command[0])  # noqa: PTH119 - a word, not a path of ours
        print(
            f"gpupool run: waiting for {count} that {name} left behind: {describe(pids)} (Ctrl-C ends "
            f"{'it' if len(pids) == 1 else 'them'})",
            file=sys.stderr,
            flush=True,
        )


def _is_alone() -> bool:
    """Say whether no other process is in our group: no other part of a pipeline, no script."""
    group = os.getpgrp()
    return [pid for pid, known in table.all_processes().items() if known.group == group] == [os.getpid()]
