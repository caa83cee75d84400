"""The attempt: one try at an isolated test, as the process sees it that has been given the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ..foreign import companion_names, pytest_names, pytest_phases, xdist_protocol, xdist_warnings
from ..leases.lease import Lease
from ..logs.captured import CapturedOutput
from ..processes.own import clock
from ..values.orders import Orders
from ..values.texts import shortened
from ..worker.recording import verdict_failure
from ..worker.recording.recorder import Recorder
from ..worker.trespass import hooks as trespass
from . import fresh, shared, start
from .process import Died, IsolatedProcess, TookTooLong
from .safety import Safety

_WORDS = {"setup": "set-up", "call": "call", "teardown": "tear-down"}


class IsolatedTest:
    """A test whose protocol runs here and whose phases run in another process, a new one for each attempt.

    ``limit`` is how many seconds an attempt may take, ``tell`` tells the user why no process can be forked.
    """

    def __init__(
        self,
        item: pytest.Item,
        recorder: Recorder,
        lease: Lease,
        safety: Safety,
        orders: Orders,
        *,
        limit: float | None,
        tell: Callable[[str], None],
    ) -> None:
        self._item = item
        self._recorder = recorder
        self._lease = lease
        self._safety = safety
        self._orders = orders
        self._limit = limit
        self._tell = tell
        self._deadline: float | None = None
        self._process: IsolatedProcess | None = None
        self._copied: CapturedOutput | None = None  # where the process captures, and does not write the log itself
        self._reports: dict[str, pytest.TestReport] = {}
        self._used: set[Any] = set()  # what of other devices was told, in the present attempt

    def hooks(self) -> Mapping[str, Callable[..., object]]:
        """Return what is called in place of the test's own hooks."""
        return {
            "pytest_runtest_setup": self._set_up,
            "pytest_runtest_call": lambda item: self._run("call"),
            "pytest_runtest_teardown": self._tear_down,
            "pytest_runtest_makereport": self._report,
        }

    def close(self) -> None:
        """Nothing more is asked of it: end what is left."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _set_up(self, item: pytest.Item) -> None:
        self.close()
        self._used.clear()
        attempts = self._recorder.attempts
        attempts.is_tried_again()
        companion_names.begin_reruns(item)
        devices = self._lease.devices
        fixture = shared.set_up(item, lambda: self._safety.uses(devices), self._recorder.captured.copied())
        self._safety.fixture = self._safety.fixture or fixture
        attempts.present.is_isolated = True
        try:
            self._process = self._started()
        except fresh.NotFound as error:
            problem = str(error)
        else:
            self._deadline = None if self._limit is None else clock.monotonic() + self._limit
            self._run("setup")
            problem = ""
        if problem:
            self._ends_badly("setup", f"this isolated test has got no process: {problem}")
        attempts.present.enters("setup")

    def _started(self) -> IsolatedProcess:
        """Start the test's own process: fork this one, where that is safe. Raises NotFound."""
        why = self._safety.why_not(self._lease.devices)
        if why is None:
            return start.fork(self._item, self._recorder, self._lease)
        self._tell(why)
        return fresh.start(self._item, self._recorder, self._lease, self._orders)

    def _run(self, phase: str) -> None:
        """Have a phase run in the other process, and take its report."""
        assert self._process is not None
        end: Died | TookTooLong
        files = self._process.capture_files
        if not files and self._recorder.logs.are_sent:  # a child that was forked writes into this one's
            files = pytest_names.capture_descriptors(self._item.config)
        self._copied = copied = CapturedOutput(self._recorder.logs, files, of_another=True)
        copied.begin()
        try:
            for message in self._process.ask(phase, deadline=self._deadline):
                if self._hears(phase, *message):
                    return
        except (Died, TookTooLong) as error:
            end = error
        except BaseException:  # the session ends, or this process's own time does
            self.close()
            raise
        finally:
            copied.close()
        if isinstance(end, Died):
            self._has_died(phase, end.how)
        else:
            self._took_too_long(phase, end.stacks)

    def _hears(self, phase: str, kind: str, *values: Any) -> bool:
        """Take what the other process says; return whether the phase is over."""
        match kind:
            case "logged":
                report = self._made(values[0])
                pytest_phases.note_part(self._item, report)
                self._item.ihook.pytest_runtest_logreport(report=report)
            case "done":
                self._is_done(phase, values[0])
            case "exit":
                raise pytest.exit.Exception(*values)
            case "interrupt":
                raise KeyboardInterrupt
            case "broke":
                raise RuntimeError(f"in the process of {self._item.nodeid}:\n{values[0]}")
        return kind == "done"

    def _is_done(self, phase: str, told: Mapping[str, Any]) -> None:
        item, report = self._item, self._made(told["report"])
        for values in told["warnings"]:
            message, rest = xdist_warnings.from_wire(values)
            item.ihook.pytest_warning_recorded.call_historic(kwargs={"warning_message": message, **rest})
        vars(item).update(told["attributes"])
        if told["shouldfail"]:
            item.session.shouldfail = told["shouldfail"]
        if told["shouldstop"]:
            item.session.shouldstop = told["shouldstop"]
        if told["unfit"] is not None:
            self._recorder.becomes_unfit(told["unfit"])
        assert self._copied is not None
        self._copied.end_with(_written_in(report, phase))
        self._recorder.attempts.present.torch_peak = told["torch_peak"]
        self._take(phase, report)

    def _made(self, data: Any) -> pytest.TestReport:
        made = self._item.config.hook.pytest_report_from_serializable(config=self._item.config, data=data)
        assert isinstance(made, pytest.TestReport)
        return made

    def _take(self, phase: str, report: pytest.TestReport) -> None:
        """Keep a report for pytest, once what else is known of the phase is in it."""
        attempts, item = self._recorder.attempts, self._item
        new = [pair for pair in report.user_properties if pair not in item.user_properties]
        item.user_properties.extend(new)
        used = [f"gpupool: {used}" for used in trespass.used_outside(self._recorder, item, self._used)]
        if problems := attempts.problems(has_failed=not report.passed) + used:
            verdict_failure.fail_phase(report, item, "\n".join(problems))
        if phase == "teardown":
            attempts.reconsider()
            report.user_properties.extend(attempts.present.metrics.properties())
        self._reports[phase] = report

    def _has_died(self, phase: str, how: str) -> None:
        assert self._process is not None
        text = f"the process of this isolated test {how}, in its {_WORDS[phase]}"
        if stacks := self._process.crash():
            text += f":\n{stacks.strip()}"
        self._ends_badly(phase, text)
        expected = pytest_phases.expects_failure(self._item)
        report = self._reports[phase]
        if expected is None:
            report.when = xdist_protocol.UNKNOWN_PHASE  # type: ignore[assignment]  # as of a process that has died
        else:
            report.outcome, report.wasxfail = "skipped", expected

    def _took_too_long(self, phase: str, stacks: str) -> None:
        self._recorder.takes_too_long()
        self._ends_badly(phase, f"this test took longer than {self._limit:g} s; its stacks then:\n{stacks}")

    def _ends_badly(self, phase: str, text: str) -> None:
        """Make the report of a phase that the other process does not end, and end that."""
        item, output = self._item, None
        if self._process is not None:
            output = self._process.captured()
            self.close()
        if output is None:
            output = pytest_phases.take_captured(item.config)
            self._recorder.logs.complete(output)
        if self._copied is not None:
            self._copied.end_with(output)
        for kind, written in output.items():
            item.add_report_section(phase, kind, written)
        companion_names.note_failure(item, phase)

        def fail() -> None:
            pytest.fail(f"gpupool: {shortened(text)}", pytrace=False)

        call = pytest.CallInfo.from_call(fail, phase)  # type: ignore[arg-type]
        self._take(phase, pytest.TestReport.from_item_and_call(item, call))

    def _tear_down(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        if self._process is not None:
            self._run("teardown")
        if self._process is not None:
            self._process.finish()
            self._process = None
        with pytest_phases.captured_as("teardown", item):
            call = pytest.CallInfo.from_call(
                lambda: pytest_phases.tear_down_above(item.session, nextitem),
                "teardown",
                reraise=pytest_phases.SESSION_ENDS,
            )
        made = pytest.TestReport.from_item_and_call(item, call)
        report = self._reports.get("teardown")
        if report is None:
            self._take("teardown", made)
        elif made.failed:
            verdict_failure.fail_phase(report, item, made.longreprtext)

    def _report(self, item: pytest.Item, call: pytest.CallInfo[None]) -> object:
        report = self._reports.pop(call.when, None)
        if report is None:
            return pytest_phases.real_hooks(item).pytest_runtest_makereport(item=item, call=call)
        return report


def _written_in(report: pytest.TestReport, phase: str) -> dict[str, str]:
    """Return what was captured in one phase, by stream."""
    named = {f"Captured {stream} {phase}": stream for stream in ("stdout", "stderr")}
    return {named[name]: text for name, text in report.sections if name in named}
