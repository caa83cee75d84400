"""The recorder: pytest's hooks in the process that runs the tests, by which each attempt at a test is written down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from ...devices import cuda
from ...values.outcomes import PHASES
from ...values.texts import iso
from ...verdicts.judge import Judge
from ..equipment import Equipment, journal_of, judge_of
from ..items import marker_problem, requirement_of
from . import junit_properties, verdict_failure
from .attempt import Attempt
from .poison import Poison
from .recipes import Recipes
from .writer import SINGLE_PROCESS, RecordWriter

if TYPE_CHECKING:
    from ...leases.lease import Lease
    from ...metrics.metric import Metric
    from ...values.device import Device
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
        self._poison = Poison()
        self._recipes: Recipes | None = None
        self._item: pytest.Item | None = None
        self._refused: str | None = None
        """Why the present test can never run here."""
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
    def poison(self) -> str | None:
        """Why this process can run no more tests, None while it can."""
        return self._poison.why

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
        assert self._item is not None
        judged = self._judge.judge(metric, self._item.nodeid, self._kind())
        self._attempt.metrics.add(judged)
        if self.writer is not None:
            self.writer.write("metric", test=self._item.nodeid, metric=judged)
        value: Any = metric.value if metric.is_finite else str(metric.value)
        self._item.user_properties.append(junit_properties.metric(metric.name, value))

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
        item.user_properties[:] = junit_properties.others(item.user_properties)
        self._attempt = Attempt(devices=self._devices_of(item))
        if self.writer is not None:
            self._begin(item, self.writer)
        if self._equipment is not None:
            self._equipment.sampler.begin(on_devices=bool(self._attempt.devices))

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
            verdict_failure.fail_by(self._bad_verdicts())
            raise
        except BaseException:
            self._attempt.verdict_lines = "\n".join(self._bad_verdicts())
            raise
        if getattr(self._item, "_excinfo", None):  # where pytest keeps the failure of a unittest.TestCase
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
        if self._item is not None and self.writer is not None:
            self._item.user_properties.extend(junit_properties.place(self._attempt.devices, self.writer.worker))
        try:
            result = yield
        finally:
            self._reconsider()
            if self._item is not None:
                self._item.user_properties.extend(self._attempt.metrics.properties())
        verdict_failure.fail_by(self._bad_verdicts())
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what was recorded since the last report; the tear-down's report ends the attempt."""
        if self.writer is None or report.when not in PHASES:
            return
        self._attempt.phases.add(report)
        self._poison.look_at(report)
        if report.when == "teardown":
            self._end(report.nodeid, self.writer)
        self.writer.attach_to(report)

    def _begin(self, item: pytest.Item, writer: RecordWriter) -> None:
        self._attempts[item.nodeid] += 1
        writer.write(
            "start",
            test=item.nodeid,
            devices=self._attempt.devices,
            device_kind=None if self._refused else self._kind(),
            started=iso(self._clock()),
            attempt=self._attempts[item.nodeid],
            recipe=None if self._recipes is None else self._recipes.of(item),
        )

    def _end(self, nodeid: str, writer: RecordWriter) -> None:
        if self._equipment is not None:
            self._attempt.metrics.reconsider(self._equipment.sampler.end())
        record = self._attempt.to_record(
            ended=iso(self._clock()), last_words=self._words_on_poison(writer.worker), torch_peak=self._torch_peak()
        )
        writer.write("end", test=nodeid, **record)

    def _words_on_poison(self, worker: str) -> str:
        words = self._poison.words(worker)
        if words and worker == SINGLE_PROCESS:
            assert self._item is not None
            self._item.session.shouldfail = f"{words}; with -n the worker is replaced and the run goes on"
        return words

    def _torch_peak(self) -> int | None:
        return cuda.torch_peak() if any(device.is_gpu for device in self._devices) else None

    @property
    def _devices(self) -> tuple[Device, ...]:
        return () if self._equipment is None else self._equipment.lease.devices

    def _devices_of(self, item: pytest.Item) -> list[str]:
        """Return the ids of the devices that a test may use: all or none."""
        return [device.id for device in self._devices if self._refused or requirement_of(item).gpus]

    def _kind(self) -> str:
        """Return the kind of device that the running test asks for, as baselines tell them apart."""
        # Without workers the process may hold more for the sake of other tests.
        asked = () if self._item is None else self._devices[: requirement_of(self._item).gpus]
        return _kind_of(asked)

    def _reconsider(self) -> None:
        """Let the verdicts know what went on around the test so far."""
        if self._equipment is not None:
            self._attempt.metrics.reconsider(self._equipment.sampler.figures())

    def _bad_verdicts(self) -> list[str]:
        """Return a line for each metric whose verdict fails a test, once."""
        if not self._attempt.metrics:
            return []
        self._reconsider()
        bad = self._attempt.metrics.failing(self._judge.fail_on)
        if not bad or self._item is None:
            return []
        nodeid, kind = self._item.nodeid, self._kind()
        return [self._judge.sentence(metric, nodeid, kind) for metric in bad]


@cache
def _kind_of(devices: tuple[Device, ...]) -> str:
    from ...verdicts.baseline import kind_of

    return kind_of([device.name for device in devices])
