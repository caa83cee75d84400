"""The recorder: pytest's hooks in the process that runs the tests, by which each attempt at a test is written down."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ...options import companions
from ...processes.own import clock, forks
from ...values.errors import MarkerProblem
from ...values.outcomes import RERUN
from ...values.repeats import REPEAT, Repeat, test_of
from ..items import confirming, repeats
from ..items.identity import tell_apart
from . import junit_properties, verdict_failure
from .attempts.attempt import Attempt
from .attempts.captured import Captured
from .attempts.sequence import Attempts
from .present import RunningTest
from .recipes import Recipes
from .retries import Retries
from .set_ups import SetUps
from .sticky_error import StickyError
from .writer import RecordWriter

if TYPE_CHECKING:
    from ...leases.lease import Lease
    from ...logs.worker_logs import WorkerLogs
    from ...metrics.metric import Metric
    from ...values.device import Device
    from ...values.orders import Orders
    from ..leased.equipment import Equipment
    from ..leased.gate import Gate
    from ..trespass.own_devices import OwnDevices

recorder_key: pytest.StashKey[Recorder] = pytest.StashKey()


class Recorder:
    """Records attempts, phases and metrics. Without a writer (the pool is off) only JUnit properties are kept."""

    def __init__(
        self,
        *,
        fail_on: frozenset[str],
        writer: RecordWriter | None = None,
        equipment: Equipment | None = None,
        retries: Retries | None = None,
        repeated: int = 1,
        clock: Callable[[], float] = clock.now,
    ) -> None:
        self.writer = writer
        self._equipment = equipment
        self._sticky_error = StickyError()
        self._retries = retries or Retries()
        self._repeats = repeated
        self._attempts = Attempts(fail_on, writer, self._sticky_error, clock)
        self.set_ups = None if writer is None else SetUps(self._attempts, writer)
        """What times wide fixtures, None where the pool is off."""
        self.captured = Captured(self._attempts.logs)
        """What copies the tests' output to their logs."""
        self._unfit: str | None = None
        self._to_confirm: set[str] = set()
        self._watch()

    @classmethod
    def of(cls, worker: str, lease: Lease, orders: Orders, own: OwnDevices) -> Recorder:
        """Return the recorder of a worker that has its lease."""
        from ..leased.equipment import Equipment, journal_of  # not where the pool is off

        writer = RecordWriter(worker, journal_of(orders, worker))
        equipment, retries = Equipment.of(orders, lease, own), Retries(orders.retried)
        recorder = cls(
            fail_on=frozenset(orders.fail_on),
            writer=writer,
            equipment=equipment,
            retries=retries,
            repeated=orders.repeats,
        )
        if orders.engine is not None:
            recorder.logs.send = recorder.attempts.send_piece
        return recorder

    @property
    def gate(self) -> Gate | None:
        """What lets tests in, None where the pool is off."""
        return None if self._equipment is None else self._equipment.gate

    @property
    def equipment(self) -> Equipment | None:
        """What goes with the lease, None where the pool is off."""
        return self._equipment

    @property
    def attempts(self) -> Attempts:
        """The attempts at the tests of this process, for who has another process run them."""
        return self._attempts

    @property
    def logs(self) -> WorkerLogs:
        """What keeps what tests write."""
        return self._attempts.logs

    @property
    def worker(self) -> str | None:
        """The worker's name, None where the pool is off."""
        return None if self.writer is None else self.writer.worker

    @property
    def shares_devices(self) -> bool:
        """Whether other workers use this one's devices as well."""
        return self._equipment is not None and self._equipment.is_shared

    @property
    def unfit(self) -> str | None:
        """Why this process can run no more tests, as a clause; None while it can."""
        return self._unfit or self._sticky_error.clause

    @property
    def seconds_of_set_ups(self) -> float:
        """What has been set up and torn down of what tests share has taken so long."""
        return 0.0 if self.set_ups is None else self.set_ups.seconds

    def becomes_unfit(self, why: str) -> None:
        """This process can run no more tests, for a reason that is told of the running one."""
        self._unfit = self._unfit or why

    def equip(self, equipment: Equipment) -> None:
        """Go on with another lease, before the first test."""
        self._equipment = equipment
        self._watch()

    def close(self) -> None:
        """Stop."""
        if self._equipment is not None:
            self._equipment.sampler.stop()
        self.session_ends()
        self._attempts.log.close()
        self.captured.close()
        if self.writer is not None:
            self.writer.close()

    def tells(self, tell: Callable[[str], None]) -> None:
        """Have a warning for the run's end told by this, until :meth:`session_ends`."""
        self._attempts.log.tell = tell

    def warns(self, text: str) -> None:
        """Warn the user, at the run's end."""
        self._attempts.log.tell(text)

    def goes_on_here(self) -> None:
        """This is a child that was forked for the running test, and copies what that writes to its log."""
        self._attempts.logs.goes_on_here()
        self.captured.goes_on_here()

    def session_ends(self) -> None:
        """No test runs any more, and hardly anything that is told now would be shown."""
        self._attempts.logs.end()
        self._attempts.log.ends(self._attempts.present)

    def metric(self, metric: Metric, attempt: Attempt) -> None:
        """Record a metric of an attempt, see :meth:`attempt_at`.

        Raises:
            MetricProblem: see :meth:`MetricLog.add`.
        """
        self._attempts.log.add(metric, attempt)

    def sample(self, item: object, attempt: Attempt, **told: Any) -> None:
        """Record what is said of an item, see :func:`metrics.sample.make`, in an attempt.

        Raises:
            MetricProblem: it cannot be taken so, or there is one of that id.
        """
        from ...metrics import sample  # most suites have none

        log = self._attempts.log
        log.sample(sample.make(item, **told, is_full=log.samples.is_full(attempt)), attempt)

    def fact(self, name: object, text: object, attempt: Attempt) -> None:
        """Record what an attempt says of itself.

        Raises:
            MetricProblem: it is no short text, or there is another one of that name.
        """
        from .attempts import fact  # most suites record none

        self._attempts.log.fact(*fact.make(name, text), attempt)

    def attach(self, data: object, name: object, attempt: Attempt) -> None:
        """Keep a file, or what is to be one, of an attempt.

        Raises:
            MetricProblem: it cannot be kept.
        """
        self._attempts.log.attach(data, name, attempt)

    def out_dir(self, attempt: Attempt) -> Path:
        """Return the folder of an attempt, which is there. Raises MetricProblem."""
        return self._attempts.log.out_dir(attempt)

    def throttled_spans(self) -> Sequence[tuple[float, float]]:
        """Return from when to when, on the monotonic clock, a device was seen throttled in the present attempt."""
        return () if self._equipment is None else self._equipment.sampler.throttled_spans()

    def attempt_at(self, item: pytest.Item) -> Attempt:
        """Return the attempt at a test that runs now."""
        return self._attempts.at(item, self._held())

    def begins_anew(self, nodeid: str, attempts: int, spent: Collection[str] = (), *, confirms: bool = False) -> None:
        """A test that ran before, here or elsewhere, runs here: so many attempts at it there have been.

        ``spent`` are the causes for which it is not tried again any more. Where it ``confirms``, what it measures is
        all that is wanted of it.
        """
        self._attempts.before[nodeid] = attempts
        self._retries.are_spent(nodeid, spent)
        if confirms:
            self._to_confirm.add(nodeid)

    @property
    def confirms(self) -> bool:
        """Whether the running test has ended before, and is only measured again."""
        return self._attempts.confirms

    def has_waited(self, seconds: float) -> None:
        """The running attempt waited so long for the controller, which is not in its duration."""
        self._attempts.present.has_waited(seconds)

    def takes_too_long(self) -> None:
        """The running test has reached its time limit, says who keeps the time in this process: it will be failed."""
        self._attempts.present.took_too_long = True

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Tests of one id are told apart, in all that is said of them, and the repeats of each take its place."""
        if self.writer is not None:
            tell_apart(items)
            if not companions.runs_each(config):  # else every worker measures each test anyway
                repeats.unfold(items, self._repeats)

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Know what each test depends on, as it was loaded."""
        if self.writer is not None:
            self._attempts.recipes = Recipes(session)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Wait until the test can start, and know what it may use."""
        gate = self.gate
        test = self._attempts.test = self._let_in(item, gate)
        self._attempts.confirms = test.nodeid in self._to_confirm
        self._to_confirm.discard(test.nodeid)
        try:
            with forks.Border(test.nodeid):
                result = yield
            self._attempts.close()
            if self.writer is not None:
                self.writer.flush()
            return result
        finally:
            self._attempts.present.is_over = True
            if gate is not None:
                gate.leave()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """An attempt begins; pytest-rerunfailures calls this once per attempt."""
        test = self._attempts.test
        if test is not None and test.nodeid == nodeid:
            self._attempts.begin(test)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """What is recorded meanwhile belongs to this phase."""
        __tracebackhide__ = True
        with self._attempts.phase("setup", item):
            return (yield)

    def refuses(self, item: pytest.Item) -> str | None:
        """Return why the test that is about to be set up cannot run, None where it can."""
        test = self._attempts.test
        return test.refused if test is not None and test.item is item else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """A verdict fails the test that would have passed; of one that fails anyway it is told with its message."""
        __tracebackhide__ = True
        attempts = self._attempts
        with attempts.phase("call", item):
            try:
                result = yield
            except pytest.skip.Exception:  # what it has measured counts
                verdict_failure.fail_by(attempts.bad_verdicts())
                raise
            except BaseException:
                attempts.present.verdict_lines = "\n".join(attempts.bad_verdicts())
                raise
            if attempts.test is not None and attempts.test.has_failed_as_unittest:
                attempts.present.verdict_lines = "\n".join(attempts.bad_verdicts())
            else:
                verdict_failure.fail_by(attempts.bad_verdicts())
            return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """See how the phase failed, where it did."""
        report = yield
        if self._attempts.runs(item):
            self._attempts.present.makes(report, call)
            if report.failed and (lines := self._attempts.log.attachments.lines(self._attempts.present)):
                report.sections.append(("Attachments", "\n".join(lines)))
            if not self.confirms and (why := self._retries.look_at(report, self._attempts.present)) is not None:
                self.becomes_unfit(why)
        verdict_failure.mark(report, call)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """A verdict fails a test also by what a fixture recorded as it was torn down."""
        __tracebackhide__ = True
        attempts = self._attempts
        with attempts.phase("teardown", item):
            # JUnit takes properties from this phase's report; pytest keeps all reports, each with a copy of them.
            if self.writer is not None:
                item.user_properties.extend(junit_properties.place(attempts.present.devices, self.writer.worker))
            try:
                result = yield
            finally:
                attempts.reconsider()
                item.user_properties.extend(attempts.present.metrics.properties())
                item.user_properties.extend(junit_properties.cause(attempts.present.cause))
            verdict_failure.fail_by(attempts.bad_verdicts())
            return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        """Add what was recorded since the last report; the tear-down's report ends the attempt.

        Before all other plugins, and pytest itself, which counts failures.
        """
        if self.confirms:
            setattr(report, confirming.CONFIRMS, True)
        if self.writer is None or not (self.confirms or test_of(report.nodeid) is not None):
            if self.repeat is None:  # else it is of the test that its repeats make
                self._attempts.logged(report)
        else:
            self._attempts.logged(copy.copy(report))
            # The test's outcome is known when all have ended. Pytest calls the test where its set-up has passed.
            if report.outcome != RERUN and not (report.when == "setup" and report.passed):
                report.outcome = REPEAT  # type: ignore[assignment]
        if self.writer is not None:
            self.writer.attach_to(report)
        return (yield)

    @property
    def repeat(self) -> Repeat | None:
        """Which repeat of its test runs, None where it is the test itself."""
        test = self._attempts.test
        return None if test is None else test.repeat

    def _let_in(self, item: pytest.Item, gate: Gate | None) -> RunningTest:
        """Wait until a test can start; return it, with why it cannot, where it never can."""
        test = RunningTest(item=item, refused=None, held=self._held())
        try:
            requirement, refused = test.requirement, None
        except MarkerProblem as problem:
            return replace(test, refused=str(problem))
        if gate is not None:
            refused = gate.enter(test.nodeid, requirement)
            if gate.lost is not None:
                self.becomes_unfit(f"its lease is lost: {gate.lost}")
        return test if refused is None else replace(test, refused=refused)

    @property
    def held(self) -> tuple[Device, ...]:
        """The devices of this process, none where the pool is off."""
        return self._held()

    def _held(self) -> tuple[Device, ...]:
        return () if self._equipment is None else self._equipment.lease.devices

    def _watch(self) -> None:
        self._attempts.sampler = None if self._equipment is None else self._equipment.sampler
