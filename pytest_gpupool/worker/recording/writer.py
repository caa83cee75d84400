"""The writer: a worker's records go to its journal first, then with pytest's next report to the controller."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any

import pytest

from ...processes.own.forks import Owner
from ...records.journal import Journal, dump

SINGLE_PROCESS = "main"
"""The name of the worker where the one process is both controller and worker."""

RECORDS_ATTRIBUTE = "gpupool_records"
"""Where a report carries its records: as lines of JSON, which cost execnet far less than dictionaries."""


class RecordWriter:
    """Writes the records of one worker."""

    def __init__(self, worker: str, journal: Journal) -> None:
        self.worker = worker
        self.send_at_once: Callable[[list[str]], None] | None = None
        """Where records go that no disk keeps, given by the process's link to the controller: reports may be late."""
        self._journal = journal
        self._unsent: list[str] = []
        self._problem_told = False
        self._owner = Owner()
        self._writing = RLock()  # a test may record metrics in a thread

    @property
    def run_dir(self) -> Path | None:
        """The run's directory, None where the run keeps no records."""
        return None if self._journal.path is None else self._journal.path.parent

    def write(self, kind: str, **values: Any) -> None:
        """Write one record, and once that the journal cannot be written, where it cannot. A forked child does not."""
        if self._owner.is_here:
            with self._writing:
                self._write(self.line(kind, **values))

    def _write(self, line: str) -> None:
        self._journal.append(line)
        self._unsent.append(line)
        problem = self._journal.problem
        if problem is not None and not self._problem_told:
            self._problem_told = True
            self._unsent.append(self.line("journal-problem", text=problem))
        if self.send_at_once is not None and (self._journal.path is None or problem is not None):
            self.send_at_once(self._unsent)
            self._unsent = []

    def send_piece(self, nodeid: str, file: str, data: bytes) -> None:
        """Have the controller append to a file of a test, whose path is from the run's directory, which is not here."""
        self.write("piece", test=nodeid, file=file, data=base64.b64encode(data).decode())

    def attach_to(self, report: pytest.TestReport) -> None:
        """Have a report carry what was written since the last one."""
        if self._owner.is_here:
            with self._writing:
                lines, self._unsent = self._unsent, []
            setattr(report, RECORDS_ATTRIBUTE, lines)

    def flush(self) -> None:
        """Send what was written since the last report, after which none may come."""
        if self.send_at_once is not None and self._unsent:
            with self._writing:
                lines, self._unsent = self._unsent, []
            self.send_at_once(lines)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def line(self, kind: str, **values: Any) -> str:
        """Return the line of a record, which is not written by this."""
        return dump({"record": kind, "worker": self.worker, **values})
