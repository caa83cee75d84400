"""Worker logs: those of the tests of one process that runs tests, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..processes.own.forks import Owner
from . import last_words
from .log_file import LogFile
from .place import FOLDER, heading, log_path, rank_path
from .sent_log import MOST_OF_RANK, Send, SentLog


class WorkerLogs:
    """Has one log file open at a time, none where the run keeps no records, nor before anything is written."""

    send: Send | None = None
    """What takes the logs to the run's directory where that is on another host, given by who has a way there."""

    def __init__(self, run_dir: Path | None, worker: str) -> None:
        self._run_dir = run_dir
        self._worker = worker
        self._owner = Owner()
        self._attempt: tuple[str, int, str] | None = None
        self._file: LogFile | None = None

    def begin(self, nodeid: str, attempt: int, started: str) -> None:
        """An attempt at a test begins; ``started`` is ISO 8601 with ``Z``."""
        self.end()
        self._attempt = nodeid, attempt, started

    def end(self) -> None:
        """It is over."""
        self._attempt = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def write(self, data: bytes) -> None:
        """Append what the running attempt has written; a child that this process has forked does not."""
        if not self._owner.is_here:
            return
        if self._file is None and self._attempt is not None:
            self._file = self._begun(*self._attempt)
        if self._file is not None:
            self._file.write(data)

    def _begun(self, nodeid: str, attempt: int, started: str) -> LogFile | None:
        head = heading(nodeid, self._worker, attempt, started)
        if self._run_dir is not None:
            return LogFile(log_path(self._run_dir, self._worker, nodeid), head)
        if self.send is not None:
            return SentLog(nodeid, log_path(Path(), self._worker, nodeid), head, self.send)
        return None

    def goes_on_here(self) -> None:
        """Write in this process, a child of the one that has done so until now, and waits for this one's end.

        What goes to another host is sent by that one.
        """
        if self.are_sent:
            return
        self._owner = Owner()
        if self._file is not None:
            self._file.goes_on_here()

    def complete(self, output: Mapping[str, str]) -> None:
        """Append what such a child, which has died, had written last, by stream, and has not copied yet."""
        if self._attempt is not None and self._run_dir is not None:
            nodeid, attempt, started = self._attempt
            last_words.complete(self._run_dir, self._worker, nodeid, attempt=attempt, started=started, output=output)

    @property
    def are_sent(self) -> bool:
        """Whether they lie on another host."""
        return self._run_dir is None and self.send is not None

    @property
    def are_kept(self) -> bool:
        """Whether they lie anywhere."""
        return self._run_dir is not None or self.send is not None

    @property
    def folder(self) -> Path | None:
        """Where they lie, None where nothing is kept on this host."""
        return None if self._run_dir is None else self._run_dir / FOLDER / self._worker

    def path_of(self, nodeid: str) -> Path | None:
        """Return where the log of a test is, or would be; None where nothing is kept."""
        return None if self._run_dir is None else log_path(self._run_dir, self._worker, nodeid)

    def of_rank(self, rank: int) -> LogFile | None:
        """Return a log of the running attempt that is one rank's alone, of several that compute for the test.

        It is beside the test's log, in a folder of its own. Whoever asks closes it.
        """
        if self._attempt is None:
            return None
        nodeid, attempt, started = self._attempt
        head = heading(nodeid, self._worker, attempt, started)
        path = rank_path(log_path(self._run_dir or Path(), self._worker, nodeid), rank)
        if self._run_dir is not None:
            return LogFile(path, head)
        return None if self.send is None else SentLog(nodeid, path, head, self.send, MOST_OF_RANK)

    @property
    def path(self) -> Path | None:
        """The log of the running attempt, None while there is none."""
        return self._file.path if self._file is not None and self._file.is_there else None
