"""The recorder: in the process that runs the tests, writes down what happens to each attempt at a test.

Every record goes to the journal first, then rides on pytest's next report to the controller.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.outcomes import Failed

from ..devices import cuda
from ..devices.faults import sticky_error
from ..records.journal import Journal, dump
from ..values.outcomes import PHASES
from ..values.texts import iso
from ..verdicts.judge import Judge
from .attempt import Attempt
from .equipment import journal_of, judge_of, sampler_of
from .gate import Gate
from .items import marker_problem, requirement_of
from .phases import Phases
from .recipes import Recipes

if TYPE_CHECKING:
    from ..leases.lease import Lease
    from ..metrics.metric import Metric
    from ..sampling.sampler import Sampler
    from ..values.device import Device
    from ..values.orders import Orders

ALONE = "main"
"""The name of the worker where the one process is both controller and worker."""

recorder_key = pytest.StashKey["Recorder"]()

RECORDS_ATTRIBUTE = "gpupool_records"
"""Where a report carries its records: as lines of JSON, which cost execnet far less than dictionaries."""

BY_VERDICT = "gpupool_by_verdict"
"""What marks a report of a failure that is none but for a verdict."""

PROPERTY = "gpupool."
"""What the names of our JUnit properties begin with."""


class Verdict(Failed):
    """A test fails by the verdict on a metric."""

    __module__ = "builtins"  # as pytest's own: its summary shows the bare name before the message


class Recorder:
    """Records attempts, phases and metrics. Without a lease (the pool is off) only JUnit properties are kept."""

    def __init__(
        self,
        *,
        worker: str,
        lease: Lease | None,
        journal: Journal,
        judge: Judge | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.journal = journal
        self.gate: Gate | None = None
        self.poison: str | None = None
        """Why this process can run no more tests, None while it can."""
        self._worker = worker
        self._lease = lease
        self._clock = clock
        self._pending: list[str] = []
        self._problem_told = False
        self._refused: str | None = None
        self._poison_told = False
        self._lines = ""  # on verdicts of a test that has failed anyway
        self.overdue: str | None = None
        """The test that took too long, where this process keeps the clock."""
        self._item: pytest.Item | None = None
        self._judge = judge or Judge()
        self._sampler: Sampler | None = None
        self._attempt = Attempt()
        self._phases = Phases()
        self._places: list[tuple[str, str]] = []  # properties: where the test runs
        self._recipes: Recipes | None = None
        self._attempts: Counter[str] = Counter()
        self._kinds: dict[tuple[Device, ...], str] = {}
        self._asserted: bool | None = None  # whether the call failed by an assertion, None where it did not fail
        self.tell: Callable[[list[str]], None] | None = None
        """Where records go at once that no disk keeps: the reports may come too late."""

    @classmethod
    def of(cls, worker: str, lease: Lease, orders: Orders) -> Recorder:
        """Return the recorder of a worker that has its lease."""
        journal, judge = journal_of(orders, worker), judge_of(orders)
        recorder = cls(worker=worker, lease=lease, journal=journal, judge=judge)
        recorder.hold(lease, orders)
        return recorder

    def hold(self, lease: Lease, orders: Orders) -> None:
        """Go on with this lease, before the first test."""
        self._lease, self.gate, self._sampler = lease, Gate(lease, orders), sampler_of(orders, lease)

    def close(self) -> None:
        """Stop."""
        if self._sampler is not None:
            self._sampler.stop()
        self.journal.close()

    def record(self, kind: str, **values: Any) -> None:
        """Write one record."""
        record = {"record": kind, "worker": self._worker, **values}
        if self._lease is not None:
            line = dump(record)
            self.journal.append(line)
            self._pending.append(line)
            if self.journal.problem is not None and not self._problem_told:
                self._problem_told = True
                told = {"record": "journal-problem", "worker": self._worker, "text": self.journal.problem}
                self._pending.append(dump(told))
            if self.tell is not None and (self.journal.path is None or self.journal.problem is not None):
                self.tell(self._pending)
                self._pending = []

    def metric(self, metric: Metric) -> None:
        """Record a metric of the running test, with the verdict on it.

        Raises:
            MetricProblem: the test has recorded one of that name.
            UsageProblem: the baseline cannot be read.
        """
        assert self._item is not None
        judged = self._judge.judge(metric, self._item.nodeid, self._kind())
        self._attempt.add(judged)
        self.record("metric", test=self._item.nodeid, metric=judged)
        value: Any = metric.value if metric.is_finite else str(metric.value)
        self._item.user_properties.append((f"{PROPERTY}metric.{metric.name}", value))

    def begins_anew(self, nodeid: str, attempts: int) -> None:
        """A test that ran elsewhere before runs here: so many attempts at it there have been."""
        self._attempts[nodeid] = attempts

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Know what each test depends on, as it was loaded."""
        if self._lease is not None:
            self._recipes = Recipes(session)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Know the item: pytest's later hooks name only its id. Wait until it can start."""
        self._item = item
        self._refused = marker_problem(item)
        if self.gate is None:
            return (yield)
        if self._refused is None:
            self._refused = self.gate.enter(item.nodeid, requirement_of(item))
        try:
            return (yield)
        finally:
            self.gate.leave()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """An attempt begins; pytest-rerunfailures calls this once per attempt."""
        item = self._item
        if item is None or item.nodeid != nodeid:
            return
        self._attempt, self._phases, self._asserted, self._lines = Attempt(), Phases(), None, ""
        self.overdue = None
        item.user_properties[:] = [pair for pair in item.user_properties if not pair[0].startswith(PROPERTY)]
        if self._lease is None:
            return
        devices = [device.id for device in self._lease.devices if self._refused or requirement_of(item).gpus]
        self._places = [(f"{PROPERTY}device", ",".join(devices))] if devices else []
        self._places.append((f"{PROPERTY}worker", self._worker))
        self._attempts[nodeid] += 1
        self.record(
            "start",
            test=nodeid,
            devices=devices,
            device_kind=None if self._refused else self._kind(),
            started=iso(self._clock()),
            attempt=self._attempts[nodeid],
            recipe=None if self._recipes is None else self._recipes.of(item),
        )
        if self._sampler is not None:
            self._sampler.begin(on_devices=bool(devices))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """A marker that makes no sense, or asks for what is not to be had, is this test's error."""
        if self._refused:
            pytest.fail(f"gpupool: {self._refused}", pytrace=False)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """A verdict fails the test that would have passed; of one that fails anyway it is told with its message."""
        try:
            result = yield
        except pytest.skip.Exception:  # what it has measured counts
            self._fail_by_verdict()
            raise
        except BaseException:
            self._lines = "\n".join(self._bad_verdicts())
            raise
        if getattr(self._item, "_excinfo", None):  # where pytest keeps the failure of a unittest.TestCase
            self._lines = "\n".join(self._bad_verdicts())
        else:
            self._fail_by_verdict()
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """See how the call failed: an assertion judges what was tested, another exception may be the machine's."""
        report = yield
        if call.when == "call" and call.excinfo is not None:  # by now also that of a unittest.TestCase
            self._asserted = call.excinfo.errisinstance((AssertionError, pytest.fail.Exception))
            if self._lines:
                report.sections.append(("Verdicts", self._lines))
        if call.excinfo is not None and call.excinfo.errisinstance(Verdict):
            setattr(report, BY_VERDICT, True)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """A verdict fails a test also by what a fixture recorded as it was torn down."""
        # JUnit takes properties from this phase's report; pytest keeps all reports, each with a copy of them.
        if self._item is not None:
            self._item.user_properties.extend(self._places)
        try:
            result = yield
        finally:
            self._settle()
            if self._item is not None:
                self._item.user_properties.extend(self._attempt.properties(PROPERTY))
        self._fail_by_verdict()
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what was recorded since the last report; the tear-down's report ends the attempt."""
        if self._lease is None or report.when not in PHASES:
            return
        self._phases.add(report)
        if report.outcome != "passed" and self.poison is None:
            self.poison = sticky_error(report.longreprtext)  # an expected failure is among the skipped
        if report.when == "teardown":
            self._end(report.nodeid)
        setattr(report, RECORDS_ATTRIBUTE, self._pending)
        self._pending = []

    def _end(self, nodeid: str) -> None:
        if self._sampler is not None:
            self._attempt.settle(self._sampler.end())
        seconds = self._phases.seconds()
        self.record(
            "end",
            test=nodeid,
            outcome="timeout" if self.overdue == nodeid else self._phases.outcome(),
            phases=seconds,
            duration_s=sum(value for value in seconds.values() if value is not None),
            ended=iso(self._clock()),
            message=self._phases.message("\n".join(filter(None, [self._lines, self._words_on_poison()]))),
            **self._memory(),
            **self._attempt.to_record(),
            **({"is_judged": True} if self.overdue != nodeid and self._phases.failed_by(BY_VERDICT) else {}),
            **({"output": output} if (output := self._phases.output()) else {}),
            **({"is_final": False} if self._asserted is False else {}),
        )

    def _words_on_poison(self) -> str:
        if self.poison is None or self._poison_told:
            return ""
        self._poison_told = True
        text = f"gpupool: after a CUDA error of this kind ({self.poison}) a process can use its GPU no more"
        if self._worker != ALONE:
            return f"{text}; {self._worker} ran no more tests"
        assert self._item is not None
        self._item.session.shouldfail = f"{text}; with -n the worker is replaced and the run goes on"
        return text

    def _memory(self) -> dict[str, int]:
        peak = cuda.torch_peak() if self._lease is not None and any(d.is_gpu for d in self._lease.devices) else None
        return {} if peak is None else {"torch_peak": peak}

    def _kind(self) -> str:
        """Return the kind of device that the running test asks for, as baselines tell them apart."""
        from ..verdicts.baseline import kind_of

        if self._lease is None or self._item is None:
            return kind_of(())
        # Without workers the process may hold more for the sake of other tests.
        devices = self._lease.devices[: requirement_of(self._item).gpus]
        if devices not in self._kinds:
            self._kinds[devices] = kind_of([device.name for device in devices])
        return self._kinds[devices]

    def _settle(self) -> None:
        """Let the verdicts know what went on around the test so far."""
        if self._sampler is not None:
            self._attempt.settle(self._sampler.figures())

    def _fail_by_verdict(self) -> None:
        if lines := self._bad_verdicts():
            raise Verdict("\n".join(lines), pytrace=False)

    def _bad_verdicts(self) -> list[str]:
        """Return a line for each metric whose verdict fails a test, once."""
        if not self._attempt.has_metrics:
            return []
        self._settle()
        bad = self._attempt.failing(self._judge.fail_on)
        if not bad or self._item is None:
            return []
        nodeid, kind = self._item.nodeid, self._kind()
        return [self._judge.sentence(metric, nodeid, kind) for metric in bad]
