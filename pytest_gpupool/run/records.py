"""Records: those of one run as the controller has them: its directory, its own journal, and the results so far."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..logs import place
from ..records import archive
from ..records.beside import attachments
from ..records.beside.samples import SampleFile, Samples, is_place
from ..records.folding.results import Results
from ..records.journal import Journal, dump, load, read
from .console import Console

Attempts = Mapping[str, Sequence[Mapping[str, Any]]]
"""Records of the last attempt at each test, by its id."""


class RunRecords:
    """What is on record of one run, and who could not write it down."""

    def __init__(
        self, run_id: str, directory: Path | None, console: Console, *, each: bool, of_all: bool = False
    ) -> None:
        """Nothing is opened yet. ``directory`` is None where the run keeps no records on disk.

        ``of_all`` says that workers have no directory of the run: what they send is written here.
        """
        self.run_id = run_id
        self.directory = directory
        self.results = Results(each=each)
        self.items = archive.items_of(directory)
        """The values per item of its metrics."""
        self.unjournaled: set[str] = set()
        """The workers whose records are not all on disk, ``controller`` for its own."""
        self._journal = Journal(None if directory is None else directory / archive.CONTROLLER)
        self._console = console
        self._of_all = of_all
        self._of_workers: dict[str, Journal] = {}
        self._items_are_lost = self._files_are_lost = False

    @property
    def problem(self) -> str | None:
        """Why the controller's own records are not on disk, None where they are."""
        return self._journal.problem

    @property
    def are_kept(self) -> bool:
        """Whether all is on disk, so that later runs and ``gpupool report`` have it."""
        return self.directory is not None and not self.unjournaled

    def open(self) -> None:
        """Begin the controller's journal."""
        self._journal.open()

    def close(self) -> None:
        """End it, and those of workers that are written here."""
        self._journal.close()
        for journal in self._of_workers.values():
            journal.close()

    def leave_no_trace(self) -> None:
        """At the very end: a run that has collected no test is none, and leaves nothing on record."""
        self.close()
        if self.directory is not None and not self.results.collected and self.results.shard is None:
            archive.remove(self.directory)

    def write(self, kind: str, **values: Any) -> None:
        """Write a record of the controller's own, and fold it."""
        record = {"record": kind, **values}
        self._journal.append(dump(record))
        self.results.add(record)

    def take(self, line: str) -> Mapping[str, Any]:
        """Fold a record that a worker sent; return it. It is in that one's journal, which may be written here."""
        record: Mapping[str, Any] = load(line)
        if record["record"] == "lines":
            self._append(record)
        elif record["record"] == "piece":
            self._append_piece(record)
        elif self._of_all:
            journal = self._journal_of(record["worker"])
            journal.append(line)
            if journal.problem is not None:
                self.are_lost(record["worker"], journal.problem)
        self.results.add(record)
        if record["record"] == "journal-problem":
            self.are_lost(record["worker"], record["text"])
        elif record["record"] == "late-metric":
            self._console.warn(record["text"])
        return record

    def _append(self, record: Mapping[str, Any]) -> None:
        """Write the items that a worker without the run's directory has sent."""
        problem = None if self.directory is not None else "this run keeps no records"
        if self.directory is not None and is_place(record["file"]):
            file = SampleFile(self.directory / record["file"], "")
            file.append("\n".join(record["lines"]))
            file.close()
            problem = file.problem
        if problem is not None and not self._items_are_lost:
            self._items_are_lost = True
            self._console.warn(f"items could not be kept: {problem}; their number and the means of their scores are")

    def _append_piece(self, record: Mapping[str, Any]) -> None:
        """Write a piece of a file that a worker without the run's directory has sent."""
        is_log = place.is_place(record["file"])
        problem = None if self.directory is not None or is_log else "this run keeps no records"
        if self.directory is not None and (is_log or attachments.is_place(record["file"])):
            try:
                path = self.directory / record["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as file:
                    file.write(base64.b64decode(record["data"]))
            except OSError as error:
                problem = f"{record['file']}: {error.strerror or error}"
        if problem is not None and not self._files_are_lost:
            self._files_are_lost = True
            self._console.warn(f"logs or attachments could not be kept: {problem}")

    def look_beside(self) -> None:
        """Know what tests that have died had left beside their records, before they could say so."""
        if self.directory is not None:
            Samples(self.directory).complete(self.results.single)
            attachments.complete(self.directory, self.results.single)

    def _journal_of(self, worker: str) -> Journal:
        if worker not in self._of_workers:
            path = None if self.directory is None else self.directory / f"{worker}.jsonl"
            self._of_workers[worker] = Journal(path)
        return self._of_workers[worker]

    def keep_text(self, name: str, text: str) -> str | None:
        """Write a text beside the records; return its path as users see it, None where that cannot be."""
        if self.directory is None:
            return None
        path = self.directory / name
        try:
            path.write_text(text)
        except OSError:
            return None
        return os.path.relpath(path)

    def are_lost(self, writer: str, problem: str) -> None:
        """Say, once, that from now on records of this writer are not on disk."""
        if not self.unjournaled:
            self._console.warn(
                f"records could not be kept: {problem}; the reports of this run are complete all the same"
            )
        self.unjournaled.add(writer)

    def catch_up(self) -> None:
        """Fold what workers have written and we have not heard: Ctrl-C came first. Twice changes nothing."""
        for worker in list(self.results.workers.values()):
            if worker.exit is None and self.directory is not None:
                self.results.add_all(read(self.directory / f"{worker.id}.jsonl"))

    def last_attempts(self, worker: str) -> Attempts | None:
        """Return what a worker's journal has of the last attempt at each test, None where there is no journal."""
        if self.directory is None or worker in self.unjournaled:
            return None
        attempts: dict[str, list[dict[str, Any]]] = {}
        for record in read(self.directory / f"{worker}.jsonl"):
            if record["record"] == "start":
                attempts[record["test"]] = []
            if record.get("test") in attempts:
                attempts[record["test"]].append(record)
        return attempts

    def has_result(self, worker: str, nodeid: str, attempts: Attempts | None) -> bool:
        """Say whether the result of a worker's last attempt at a test has come, if not the word that it is over.

        ``attempts`` are the worker's :meth:`last_attempts`.
        """
        result = self.results.latest(nodeid, worker)
        if result is None or not result.finished or result.worker != worker:
            return False
        # A rerun may have begun since, of which only the journal knows.
        return attempts is None or nodeid not in attempts or attempts[nodeid][0]["started"] == result.started
