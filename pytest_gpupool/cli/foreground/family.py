"""The family: what lives of a command, in its group or with its marks, when the command itself has ended."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from ...processes import signals, table, termination
from ...processes.termination import Worker
from ...values.texts import cut, one_line

_LONGEST_COMMAND = 60
_MOST = 5


class Family:
    """The processes that :func:`termination.processes_of` finds of a command.

    It must not have been waited for, or its number may be another process's by now.
    """

    def __init__(self, pid: int, marks: Mapping[str, str]) -> None:
        self._command = Worker(table.identity(pid), marks)

    def living(self) -> list[int]:
        """Return who lives, without this process and those that it descends from."""
        return sorted(termination.processes_of(self._command))

    def send(self, number: int) -> None:
        """Send those that live a signal, which stopped ones hear as well."""
        for pid in self.living():
            started = table.start_of(pid)
            if started is not None:
                signals.send(pid, started, number, signal.SIGCONT)


def describe(pids: list[int]) -> str:
    """Return ``pid 4711 (sleep 100), pid 4712 (python serve.py) and 3 more``."""
    named = [f"pid {pid} ({cut(one_line(table.command(pid)), _LONGEST_COMMAND)})" for pid in pids[:_MOST]]
    more = f" and {len(pids) - _MOST} more" if len(pids) > _MOST else ""
    return ", ".join(named) + more
