"""The recorder: pytest's hooks in the process that runs the tests, by which each attempt at a test is written down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

from ...values.outcomes import PHASES
from ...values.texts import iso
from ...verdicts.judge import Judge
from ..equipment import Equipment, journal_of, judge_of
from ..items import marker_problem, requirement_of
from . import junit_properties, verdict_failure
from .attempt import Attempt
from .recipes import Recipes
from .running_test import RunningTest
from .sticky_error import StickyError
from .writer import RecordWriter

if TYPE_CHECKING:
    from ...leases.lease import Lease
    from ...metrics.metric import Metric
    from ...values.orders import Orders
    from ..gate import Gate

recorder_key = pytest.StashKey["Recorder"]()


class Recorder:
    """Records attempts, phases and metrics. Without a writer (the pool is off) only JUnit properties are kept."""

    def __init__(
        self,
        *,
        judge: Judge,
        writer: RecordWriter | None = None,
        equipment: Equipment | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.writer = writer
        self._judge = judge
        self._equipment = equipment
        self._clock = clock
        self._sticky_error = StickyError()
        self._recipes: Recipes | None = None
        self._test: RunningTest | None = None
        self._attempt = Attempt()
        self._attempts: Counter[str] = Counter()  # by test, those elsewhere included

    @classmethod
    def of(cls, worker: str, lease: Lease, orders: Orders) -> Recorder:
        """Return the recorder of a worker that has its lease."""
        writer = RecordWriter(worker, journal_of(orders, worker))
        return cls(judge=judge_of(orders), writer=writer, equipment=Equipment.of(orders, lease))

    @property
    def gate(self) -> Gate | None:
        """What lets tests in, None where the pool is off."""
        return None if self._equipment is None else self._equipment.gate

    @property
    def sticky_error(self) -> str | None:
        """Why this process can run no more tests, None while it can."""
        return self._sticky_error.why

    def equip(self, equipment: Equipment) -> None:
        """Go on with another lease, before the first test."""
        self._equipment = equipment

    def close(self) -> None:
        """Stop."""
        if self._equipment is not None:
            self._equipment.sampler.stop()
        if self.writer is not None:
            self.writer.close()

    def metric(self, metric: Metric) -> None:
        """Record a metric of the running test, with the verdict on it.

        Raises:
            MetricProblem: the test has recorded one of that name.
            UsageProblem: the baseline cannot be read.
        """
        assert self._test is not None
        judged = self._judge.judge(metric, self._test.nodeid, self._test.kind())
        self._attempt.metrics.add(judged)
        if self.writer is not None:
            self.writer.write("metric", test=self._test.nodeid, metric=judged)
        value: Any = metric.value if metric.is_finite else str(metric.value)
        self._test.item.user_properties.append(junit_properties.metric(metric.name, value))

    def begins_anew(self, nodeid: str, attempts: int) -> None:
        """A test that ran elsewhere before runs here: so many attempts at it there have been."""
        self._attempts[nodeid] = attempts

    def takes_too_long(self) -> None:
        """The running test has reached its time limit, says who keeps the time in this process: it will be failed."""
        self._attempt.took_too_long = True

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Know what each test depends on, as it was loaded."""
        if self.writer is not None:
            self._recipes = Recipes(session)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Wait until the test can start, and know what it may use."""
        gate, refused = self.gate, marker_problem(item)
        if gate is not None and refused is None:
            refused = gate.enter(item.nodeid, requirement_of(item))
        held = () if self._equipment is None else self._equipment.lease.devices
        self._test = RunningTest(item=item, refused=refused, held=held)
        try:
            return (yield)
        finally:
            if gate is not None:
                gate.leave()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """An attempt begins; pytest-rerunfailures calls this once per attempt."""
        test = self._test
        if test is None or test.nodeid != nodeid:
            return
        test.item.user_properties[:] = junit_properties.others(test.item.user_properties)
        self._attempt = Attempt(devices=test.devices())
        if self.writer is not None:
            self._begin(test, self.writer)
        if self._equipment is not None:
            self._equipment.sampler.begin(on_devices=bool(self._attempt.devices))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """A marker that makes no sense, or asks for what is not to be had, is this test's error."""
        if self._test is not None and self._test.refused:
            pytest.fail(f"gpupool: {self._test.refused}", pytrace=False)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """A verdict fails the test that would have passed; of one that fails anyway it is told with its message."""
        try:
            result = yield
        except pytest.skip.Exception:  # what it has measured counts
            verdict_failure.fail_by(self._bad_verdicts())
            raise
        except BaseException:
            self._attempt.verdict_lines = "\n".join(self._bad_verdicts())
            raise
        if self._test is not None and self._test.has_failed_as_unittest:
            self._attempt.verdict_lines = "\n".join(self._bad_verdicts())
        else:
            verdict_failure.fail_by(self._bad_verdicts())
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """See how the phase failed, where it did."""
        report = yield
        self._attempt.see_call(report, call)
        verdict_failure.mark(report, call)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """A verdict fails a test also by what a fixture recorded as it was torn down."""
        # JUnit takes properties from this phase's report; pytest keeps all reports, each with a copy of them.
        if self.writer is not None:
            self._add(junit_properties.place(self._attempt.devices, self.writer.worker))
        try:
            result = yield
        finally:
            self._reconsider()
            self._add(self._attempt.metrics.properties())
        verdict_failure.fail_by(self._bad_verdicts())
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what was recorded since the last report; the tear-down's report ends the attempt."""
        if self.writer is None or report.when not in PHASES:
            return
        self._attempt.phases.add(report)
        self._sticky_error.look_at(report)
        if report.when == "teardown":
            self._end(report.nodeid, self.writer)
        self.writer.attach_to(report)

    def _add(self, properties: list[junit_properties.Property]) -> None:
        if self._test is not None:
            self._test.item.user_properties.extend(properties)

    def _begin(self, test: RunningTest, writer: RecordWriter) -> None:
        self._attempts[test.nodeid] += 1
        writer.write(
            "start",
            test=test.nodeid,
            devices=self._attempt.devices,
            device_kind=None if test.refused else test.kind(),
            started=iso(self._clock()),
            attempt=self._attempts[test.nodeid],
            recipe=None if self._recipes is None else self._recipes.of(test.item),
        )

    def _end(self, nodeid: str, writer: RecordWriter) -> None:
        if self._equipment is not None:
            self._attempt.metrics.reconsider(self._equipment.sampler.end())
        last_words, torch_peak = "", None
        if self._test is not None:
            last_words = self._sticky_error.last_words(self._test.item.session, writer.worker)
            torch_peak = self._test.torch_peak()
        ended = iso(self._clock())
        record = self._attempt.to_record(ended=ended, last_words=last_words, torch_peak=torch_peak)
        writer.write("end", test=nodeid, **record)

    def _reconsider(self) -> None:
        """Let the verdicts know what went on around the test so far."""
        if self._equipment is not None:
            self._attempt.metrics.reconsider(self._equipment.sampler.figures())

    def _bad_verdicts(self) -> list[str]:
        """Return a line for each metric whose verdict fails the test, once."""
        if self._test is None or not self._attempt.metrics:
            return []
        self._reconsider()
        return verdict_failure.sentences(self._test, self._attempt.metrics, self._judge)
