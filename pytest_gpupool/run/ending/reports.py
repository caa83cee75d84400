"""Reports: those that the user asked for are written when the run is over, and the baseline is updated."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from ...values.errors import EXIT_USAGE, UsageProblem
from ...values.texts import safe_repr, visible
from ..controller import Controller

if TYPE_CHECKING:
    from ...trends.additions import Additions


class RunReports:
    """The reports of one run."""

    def __init__(self, controller: Controller) -> None:
        self._run = controller
        self.notes: list[str] = []
        """What pytest's summary says of what was done here."""
        self._updated: int | None = None  # the exit status that the update calls for, once it was tried
        self._problems: set[str] = set()  # the user knows of them
        self._found: Additions | None = None  # of earlier runs, once they were read

    def write(self, status: int) -> int:
        """Write them, for a run that ends with this exit status; return the one with which it ends after that.

        What goes wrong is a warning. A second call writes them anew, for another status: not what is appended to a
        file, and the baseline stays.
        """
        from ...reports.publish import Wanted, publish  # not while workers wait for the controller

        options = self._run.options
        if options.update_baseline:
            status = self._update_baseline(status)
        is_again = self._found is not None
        wanted = Wanted(
            json=options.json,
            html=options.html,
            markdown=None if is_again else options.markdown,
            folder=self._run.records.directory,
        )
        if not wanted.paths():
            if self._run.records.are_kept and not is_again:
                self._note(f"for a report: gpupool report {self._run.records.run_id} --html report.html")
            return status
        found = self._found = self._found or self._of_earlier_runs(status)
        problems = publish(self._report(status) | found.to_report(), wanted, found, self._run.records.directory)
        records = self._run.records
        kept = f"; 'gpupool report {records.run_id}' makes it from the run's records" if records.are_kept else ""
        if not problems:
            self._note(f"reports: {', '.join(map(os.path.relpath, wanted.paths()))}")
        for problem in problems:
            if problem not in self._problems:
                self._problems.add(problem)
                self._run.console.warn(problem + kept)
        return EXIT_USAGE if problems and status == pytest.ExitCode.OK else status

    def tell_plugins(self, status: int) -> None:
        """Call the hooks that other plugins implement, at the end of the run; what goes wrong is a warning."""
        from ...exports import plugins  # after the workers have ended

        if plugins.wants(self._run.config):
            for problem in plugins.tell(self._run.config, self._report(status)):
                self._run.console.warn(problem)

    def keep(self, status: int) -> None:
        """Add the run to the store of metrics over runs, where there is one; what goes wrong is a warning.

        A sharded run is none by itself: 'gpupool ingest' adds the one that its parts were merged to.
        """
        path = self._run.options.history
        if path is None or self._run.options.shard is not None:
            return
        from ...trends import store, trend  # most runs have no store

        run = trend.measured(
            self._run.facts.of_report(int(status)), self._run.records.results, self._run.devices.seen()
        )
        try:
            added = store.add(path, [run] if run.workers else [])
        except Exception as error:  # whatever has become of that file must not cost this run anything
            told = str(error) if isinstance(error, UsageProblem) else safe_repr(error)
            self._run.console.warn(f"this run is not in the history: {told}")
            return
        if added.aside is not None:
            self._run.console.warn(f"the history {path} was damaged; it is kept as {added.aside}, and begins anew")

    def _note(self, text: str) -> None:
        if not any(note.startswith(text) for note in self.notes):
            self.notes.append(text)

    def _report(self, status: int) -> dict[str, Any]:
        from ...reports import json

        facts = self._run.facts.of_report(int(status))
        return json.build(facts, self._run.devices.reported, self._run.records.results)

    def _update_baseline(self, status: int) -> int:
        if self._updated is None:
            folder = self._run.config.invocation_params.dir
            update = self._run.baseline.update(self._report(status), folder=folder)
            self._updated = update.status
            self.notes.extend(update.notes)
            for warning in update.warnings:
                self._run.console.warn(warning)
        return status or self._updated

    def _of_earlier_runs(self, status: int) -> Additions:
        """Return what earlier runs add, where a report has use for it: a chart, or several devices to compare."""
        from ...trends import additions, placement

        run, devices = self._run, self._run.devices.seen()
        if run.options.html is None and len(devices) < 2:
            return additions.Additions()
        facts = run.facts.of_report(int(status))
        try:
            history = run.options.history
            found = additions.collect(run.options.directory, facts, run.records.results, devices, history)
        except Exception as error:  # it is made of other runs' files, and must not cost this run's report
            run.console.warn(f"earlier runs are not in the reports: {safe_repr(error)}")
            return additions.Additions()
        if found.problem is not None:
            run.console.warn(f"earlier runs are not all in the reports: {found.problem}")
        labels = {device.id: device.label for device in devices}
        for text in placement.sentences(found.findings, labels):
            run.console.warn(visible(text))
        return found
