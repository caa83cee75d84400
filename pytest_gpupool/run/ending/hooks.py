"""The ending's hooks: once every worker has ended, the exit status is judged and everything is written, in order."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from ...devices.pool import cpu_count
from ...processes.own import clock, garbage
from ...records.folding.result import TestResult
from ...values.errors import EXIT_USAGE
from ...values.texts import iso
from ...worker.recording.writer import SINGLE_PROCESS
from ..console import first_few
from ..controller import Controller
from . import exit_status, junit_file, kept_results
from .confirmation import Confirmation
from .repeats import Repeats
from .reports import RunReports
from .verdicts import Verdicts


class Ending:
    """The plugin that ends a run."""

    def __init__(
        self, controller: Controller, verdicts: Verdicts, repeats: Repeats, confirmation: Confirmation
    ) -> None:
        self._run = controller
        self._verdicts = verdicts
        self._reports = RunReports(controller)
        self._repeats = repeats
        self._confirmation = confirmation

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, object, object]:
        """No incomplete run is a success, and the reports are written.

        Before other plugins' hooks of this name, since one may end this process; and again where they change how the
        run has ended.
        """
        if not hasattr(session, "exitstatus"):
            session.exitstatus = exitstatus  # who calls the hooks without pytest's session around them sets none
        with garbage.collection_paused():
            self._finish(session)
        status = session.exitstatus
        try:
            return (yield)
        except BaseException:  # another plugin's: it goes on, and pytest ends with 1
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            raise
        finally:
            if session.exitstatus != status:
                with garbage.collection_paused():
                    self._write(session)
            self._fit_junit_file()  # which pytest has written by now

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show the metrics, the makespan, and what went wrong with the run itself."""
        from ...reports.terminal import summary  # neither while workers wait for the controller
        from . import plan_line

        records = self._run.records
        kept_results.show(terminalreporter, records.results.tests)
        summary.show(
            terminalreporter,
            records.results,
            names={device.id: device.name for device in self._run.devices.reported.devices},
            cores=cpu_count() if self._run.devices.pool.is_cpu else None,
            notes=(*plan_line.lines(self._run), *self._confirmation.lines(), *self._reports.notes),
            warnings=self._run.console.warnings,
            resumable=records.run_id if records.are_kept else None,
            advice=self._advice(),
        )

    def _advice(self) -> list[str]:
        """Return a line for each thing that the run could have had for less, where such lines are shown."""
        if self._run.config.get_verbosity() <= 0:
            return []
        from ...advice import advise  # not while workers wait for the controller

        found = advise.advice(self._run.records.results, self._run.devices.reported.devices)
        return [item.text for item in found]

    def _finish(self, session: pytest.Session) -> None:
        records, facts = self._run.records, self._run.facts
        # Where nothing was collected here, they were not asked for yet.
        facts.keep(records.directory, each=records.results.each, aside=False)
        facts.wait()
        if facts.git_problem is not None:
            self._run.console.warn(f"git does not tell of the sources of this run: {facts.git_problem}")
        records.catch_up()
        self._end_workers()
        records.look_beside()
        self._decide(session)
        self._refuse_mismatch(session)
        self._warn_of_kept_failures()
        self._tell_of_budget()
        self._warn_of_lost_records()
        try:
            self._write(session)
        finally:
            self._warn_of_lost_records()
            self._run.history.add_this_run()
            self._reports.keep(int(session.exitstatus))
            self._reports.tell_plugins(int(session.exitstatus))

    def _decide(self, session: pytest.Session) -> None:
        """Judge the metrics, now that no more come, and give the JUnit file what it has not heard of."""
        try:
            self._repeats.conclude_the_rest()
            self._verdicts.decide(session)
            self._verdicts.tell_groups(session, self._groups())
            if problem := self._run.records.items.problem:
                self._run.console.warn(problem)
        finally:
            unreported = [test for test in self._run.records.results.tests if not test.reported]
            groups = [replace(one, nodeid=f"{one.nodeid} {name}") for one in self._groups() for name in one.metrics]
            junit_file.add(self._run.config, [*unreported, *groups])

    def _groups(self) -> list[TestResult]:
        """Return what is judged over many tests, as if each were a test."""
        if not self._run.records.results.aggregates:
            return []
        from ...metrics import groups  # most suites have none

        return groups.as_results(self._run.records.results)

    def _refuse_mismatch(self, session: pytest.Session) -> None:
        """Where nothing could be compared the run is no success, and the options, or the suite, are to blame."""
        if self._run.options.shard is not None:
            return  # what is compared is in other shards, perhaps: 'gpupool merge' sees all
        command = self._run.facts.of_report(int(session.exitstatus))["command"]
        results = self._run.records.results
        judged = [one for one in self._groups() if one.outcome != "skipped"]
        causes = [self._run.baseline.mismatch([*results.tests, *judged], command)]
        if results.aggregates:
            from ...metrics import groups

            causes += groups.misused(results)
        for cause in filter(None, causes):
            self._run.console.warn(cause)
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = EXIT_USAGE

    def _write(self, session: pytest.Session) -> None:
        """Judge how the run has ended, and write it down."""
        records = self._run.records
        tests = [*records.results.tests, *self._groups()]
        session.exitstatus = exit_status.judged(
            session.exitstatus, tests, broken=self._run.broken, is_empty_shard=records.results.is_empty_shard
        )
        ended = iso(clock.now())
        try:
            session.exitstatus = self._reports.write(session.exitstatus)
        finally:  # last, since a report that cannot be written changes the exit status
            records.write("run-end", ended=ended, exit_status=int(session.exitstatus))
            records.close()

    def _warn_of_kept_failures(self) -> None:
        if failed := exit_status.kept_failures(self._run.records.results.tests):
            self._run.console.warn(
                f"{len(failed)} of the results kept from the earlier run failed: {first_few(failed)}"
            )

    def _tell_of_budget(self) -> None:
        if count := self._run.out_of_budget:
            tests = "1 test was" if count == 1 else f"{count} tests were"
            self._run.console.warn(f"{tests} not started: the expected end lay beyond --gpupool-budget")

    def _end_workers(self) -> None:
        """Have a last record of each worker."""
        records = self._run.records
        for worker in list(records.results.workers.values()):
            if worker.exit is None:
                # xdist ends at once what Ctrl-C finds running.
                how = "finished" if worker.id == SINGLE_PROCESS else "killed"
                records.write("worker-end", worker=worker.id, ended=iso(clock.now()), exit=how)

    def _warn_of_lost_records(self) -> None:
        if problem := self._run.records.problem or self._run.facts.problem:
            self._run.records.are_lost("controller", problem)

    def _fit_junit_file(self) -> None:
        report = self._run.options.json
        records = self._run.records
        problem = junit_file.name_attachments(self._run.config, records.results.tests, records.directory)
        if problem is not None:
            self._run.console.warn(problem)
        told = junit_file.fit(self._run.config, "the run's record" if report is None else f"the JSON report {report}")
        if told is not None:
            self._run.console.warn(told)
