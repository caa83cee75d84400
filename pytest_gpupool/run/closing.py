"""Closing: the end of a run in the controller. Its exit status is judged, and everything is written."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from ..processes import garbage
from ..records import durations
from ..records.journal import read
from ..reports import json as json_report
from ..reports import terminal
from ..values.errors import EXIT_USAGE, UsageProblem
from ..values.texts import iso, one_line, safe_repr, visible
from ..worker.recorder import ALONE
from . import testcases
from .controller import Controller

if TYPE_CHECKING:
    from ..trends.additions import Additions
    from ..verdicts.judge import Judge

_FAILED = frozenset({"failed", "error"})
"""Outcomes of results that are kept, by which a run is no success."""

_SILENT = frozenset({"passed", "xpassed", "skipped"})
"""Outcomes of tests that say nothing of their own of a metric that is missing."""


class Closing:
    """What is done once every worker has ended."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._results = controller.results
        self._notes: list[str] = []  # on what was done at the end

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """No incomplete run is a success, and the reports are written."""
        controller = self._controller
        self._catch_up()
        testcases.add(controller.config, [test for test in self._results.tests if not test.reported])
        try:
            return (yield)
        except BaseException:  # another plugin's: it goes on, and pytest ends with 1
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            raise
        finally:
            with garbage.ignored():
                self._finish(session)

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show the metrics, the makespan, and what went wrong with the run itself."""
        controller = self._controller
        resumable = None if controller.run_dir is None or controller.unjournaled else controller.run_id
        terminal.show(
            terminalreporter,
            self._results,
            names={device.id: device.name for device in controller.pool.devices},
            notes=self._notes,
            updates=controller.options.update_baseline,
            warnings=controller.warnings,
            resumable=resumable,
        )

    def _finish(self, session: pytest.Session) -> None:
        controller = self._controller
        # Where nothing was collected here, they were not asked for yet.
        controller.facts.keep(controller.run_dir, each=self._results.each, aside=False)
        controller.facts.wait()
        self._catch_up()
        self._judge(session)
        for worker in list(self._results.workers.values()):
            if worker.exit is None:
                how = "finished" if worker.id == ALONE else "killed"  # xdist ends at once what Ctrl-C finds running
                controller.record("worker-end", worker=worker.id, ended=iso(time.time()), exit=how)
        self._tell_of_lost_records()
        self._tell_of_missing_metrics()
        ended = iso(time.time())
        try:
            self._report(session)
            self._fit_junit()
        finally:  # last, since a report that cannot be written changes the exit status
            controller.record("run-end", ended=ended, exit_status=int(session.exitstatus))
            controller.journal.close()
            self._tell_of_lost_records()
            self._keep_history()

    def _catch_up(self) -> None:
        """Fold what workers have written and we have not heard: Ctrl-C came first. Twice changes nothing."""
        run_dir = self._controller.run_dir
        for worker in list(self._results.workers.values()):
            if worker.exit is None and run_dir is not None:
                self._results.add_all(read(run_dir / f"{worker.id}.jsonl"))

    def _judge(self, session: pytest.Session) -> None:
        """See that no run is a success that is incomplete, or keeps a failure of an earlier one."""
        failed = [test.nodeid for test in self._results.tests if test.run is not None and test.outcome in _FAILED]
        if failed:
            names = ", ".join(failed[:3]) + (f" and {len(failed) - 3} more" if len(failed) > 3 else "")
            self._controller.warn(f"{len(failed)} of the results kept from the earlier run failed: {names}")
        nothing_left = session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and bool(self._results.collected)
        if session.exitstatus == pytest.ExitCode.OK or nothing_left:
            bad = bool(failed or self._results.not_run)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED if bad else pytest.ExitCode.OK
        if session.exitstatus == pytest.ExitCode.OK and self._controller.broken:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _tell_of_lost_records(self) -> None:
        if problem := self._controller.journal.problem or self._controller.facts.problem:
            self._controller.lost_records("controller", problem)

    def _tell_of_missing_metrics(self) -> None:
        """A metric that a test no longer records can get no verdict, and must not go unnoticed."""
        try:
            missing = self._missing_metrics(self._controller.judge())
        except UsageProblem as problem:  # the copy of the start is gone
            self._controller.warn(str(problem))
            return
        if missing:
            names = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            self._controller.warn(f"the baseline has metrics that were not recorded: {names}")

    def _missing_metrics(self, judge: Judge) -> list[str]:
        ended = [test for test in self._results.tests if test.outcome in _SILENT and test.kind is not None]
        return [
            f"{test.nodeid} {name}{' (skipped)' if test.outcome == 'skipped' else ''}"
            for test in ended
            for name in judge.missing(test.nodeid, test.kind or "", test.metrics)
        ]

    def _keep_history(self) -> None:
        controller = self._controller
        if controller.run_dir is None or controller.unjournaled:
            return
        names = {device.id: device.name for device in json_report.pool_devices(controller.pool, self._results)}
        observed = durations.from_results(self._results, names)
        if observed and (problem := durations.save(controller.options.directory, observed)):
            controller.warn(problem)

    def _report(self, session: pytest.Session) -> None:
        from ..reports.publish import Wanted, publish  # not while workers wait for the controller

        controller, options = self._controller, self._controller.options
        wanted = Wanted(json=options.json, html=options.html, markdown=options.markdown)
        if options.update_baseline:
            self._update_baseline(session)
        if not wanted.any():
            return
        found = self._additions(session)
        problems = publish(self._built(session) | found.to_report(), wanted, found.past)
        kept = f"; 'gpupool report {controller.run_id}' makes it from the run's records"
        for problem in problems:
            controller.warn(problem if controller.run_dir is None or controller.unjournaled else problem + kept)
        if problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = EXIT_USAGE

    def _built(self, session: pytest.Session) -> dict[str, Any]:
        controller = self._controller
        facts = controller.facts.of_report(int(session.exitstatus))
        return json_report.build(facts, controller.pool, self._results)

    def _additions(self, session: pytest.Session) -> Additions:
        """Return what earlier runs add, where a report has use for it: a chart, or several devices to compare."""
        from ..trends import additions, placement

        controller = self._controller
        devices = json_report.pool_devices(controller.pool, self._results)
        if controller.options.html is None and len(controller.pool.devices) < 2:
            return additions.Additions()
        facts = controller.facts.of_report(int(session.exitstatus))
        try:
            found = additions.collect(controller.options.directory, facts, self._results, devices)
        except Exception as error:  # it is made of other runs' files, and must not cost this run's report
            controller.warn(f"earlier runs are not in the reports: {safe_repr(error)}")
            return additions.Additions()
        labels = {device.id: device.label for device in devices}
        for text in placement.sentences(found.findings, labels):
            controller.warn(visible(text))
        return found

    def _update_baseline(self, session: pytest.Session) -> None:
        from ..verdicts import acceptance, baseline_file

        path = self._controller.options.baseline
        assert path is not None
        if not self._results.is_complete:
            self._controller.warn(f"the baseline {path} was not updated: the run is incomplete")
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
            return
        accept = partial(acceptance.accept, self._built(session), reason="--gpupool-update-baseline")
        try:
            accepted = baseline_file.update(path, accept)
        except UsageProblem as problem:
            self._controller.warn(f"the baseline was not updated: {problem}")
            session.exitstatus = session.exitstatus or EXIT_USAGE
            return
        shown = min(str(path), os.path.relpath(path, self._controller.config.invocation_params.dir), key=len)
        self._notes.append(f"baseline {shown}: {accepted.text()}")
        for line in accepted.left_out_lines():
            self._controller.warn(one_line(line))

    def _fit_junit(self) -> None:
        """See that the file which pytest has just written is one that CI systems take."""
        path = testcases.path(self._controller.config)
        if path is None:
            return
        from ..reports import junit

        report = self._controller.options.json
        try:
            told = junit.fit(path, "the run's record" if report is None else f"the JSON report {report}")
        except OSError as error:
            told = f"{path} is too large for CI systems, and could not be written anew: {error.strerror}"
        if told is not None:
            self._controller.warn(told)
