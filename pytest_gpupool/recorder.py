"""The recorder: in the process that runs the tests, writes down what happens to each attempt at a test.

Every record goes to the journal first, then rides on pytest's next report to the controller.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from . import cuda
from .errors import MarkerProblem
from .faults import sticky_error
from .journal import Journal, dump
from .model import iso, safe_repr, shortened
from .outcomes import PHASES, outcome_of
from .recipes import Recipes
from .requirement import Requirement

if TYPE_CHECKING:
    from .gate import Gate
    from .leases import Lease
    from .metrics import Metric

ALONE = "main"
"""The name of the worker where the one process is both controller and worker."""

recorder_key = pytest.StashKey["Recorder"]()

RECORDS_ATTRIBUTE = "gpupool_records"
"""Where a report carries its records: as lines of JSON, which cost execnet far less than dictionaries."""

PROPERTY = "gpupool."
"""What the names of our JUnit properties begin with."""

_NOTHING_ASKED = Requirement()


class Recorder:
    """Records attempts, phases and metrics. Without a lease (the pool is off) only JUnit properties are kept."""

    def __init__(
        self,
        *,
        worker: str,
        lease: Lease | None,
        journal: Journal,
        gate: Gate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.journal = journal
        self.gate = gate
        self.poison: str | None = None
        """Why this process can run no more tests, None while it can."""
        self._worker = worker
        self._lease = lease
        self._clock = clock
        self._pending: list[str] = []
        self._problem_told = False
        self._refused: str | None = None
        self._poison_told = False
        self.overdue: str | None = None
        """The test that took too long, where this process keeps the clock."""
        self._item: pytest.Item | None = None
        self._metrics: dict[str, Metric] = {}
        self._phases: dict[str, list[pytest.TestReport]] = {}
        self._judged: set[str] = set()
        self._places: list[tuple[str, str]] = []  # properties: where the test runs
        self._recipes: Recipes | None = None
        self._attempts: Counter[str] = Counter()
        self._asserted: bool | None = None  # whether the call failed by an assertion, None where it did not fail
        self.tell: Callable[[list[str]], None] | None = None
        """Where records go at once that no disk keeps: the reports may come too late."""

    def hold(self, lease: Lease, gate: Gate) -> None:
        """Go on with another lease, before the first test."""
        self._lease, self.gate = lease, gate

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
        """Record a metric of the running test."""
        assert self._item is not None
        if metric.name in self._metrics:
            pytest.fail(
                f"metric {metric.name!r} was recorded before in this test: give each its own name", pytrace=False
            )
        self._metrics[metric.name] = metric
        self.record("metric", test=self._item.nodeid, metric=_with_verdict(metric))
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
        self._refused = _marker_problem(item)
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
        self._metrics, self._phases, self._judged, self._asserted = {}, {}, set(), None
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
            started=iso(self._clock()),
            attempt=self._attempts[nodeid],
            recipe=None if self._recipes is None else self._recipes.of(item),
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """A marker that makes no sense, or asks for what is not to be had, is this test's error."""
        if self._refused:
            pytest.fail(f"gpupool: {self._refused}", pytrace=False)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """A metric that is not finite fails the test that would have passed."""
        result = yield
        self._judge()
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        """See how the call failed: an assertion judges what was tested, another exception may be the machine's."""
        if call.when == "call" and call.excinfo is not None:
            self._asserted = call.excinfo.errisinstance((AssertionError, pytest.fail.Exception))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """So does one that a fixture recorded as it was torn down."""
        # JUnit takes properties from this phase's report; pytest keeps all reports, each with a copy of them.
        if self._item is not None:
            self._item.user_properties.extend(self._places)
        result = yield
        self._judge()
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what was recorded since the last report; the tear-down's report ends the attempt."""
        if self._lease is None or report.when not in PHASES:
            return
        self._phases.setdefault(report.when, []).append(report)  # several where there are subtests
        if report.outcome != "passed" and self.poison is None:
            self.poison = sticky_error(report.longreprtext)  # an expected failure is among the skipped
        if report.when == "teardown":
            self._end(report.nodeid)
        setattr(report, RECORDS_ATTRIBUTE, self._pending)
        self._pending = []

    def _end(self, nodeid: str) -> None:
        reports = [report for phase in self._phases.values() for report in phase]
        outcomes = {phase: _worst(of_phase) for phase, of_phase in self._phases.items()}
        seconds = {f"{phase}_s": _duration(self._phases.get(phase)) for phase in PHASES}
        xfail = any(hasattr(report, "wasxfail") for report in reports)
        self.record(
            "end",
            test=nodeid,
            outcome="timeout" if self.overdue == nodeid else outcome_of(outcomes, xfail=xfail),
            phases=seconds,
            duration_s=sum(value for value in seconds.values() if value is not None),
            ended=iso(self._clock()),
            message=_message(reports, self._words_on_poison()),
            **self._memory(),
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

    def _judge(self) -> None:
        new = [metric for metric in self._metrics.values() if metric.name not in self._judged]
        invalid = [metric for metric in new if not metric.is_finite]
        self._judged.update(metric.name for metric in new)
        if invalid:
            pytest.fail(
                "\n".join(f"metric {metric.name!r} is {metric.value}: invalid" for metric in invalid), pytrace=False
            )


def requirement_of(item: pytest.Item) -> Requirement:
    """Return what the test asks for by its markers. Raises MarkerProblem."""
    if "gpupool" not in item.keywords:  # far quicker than to walk the markers, and true of most tests
        return _NOTHING_ASKED
    return Requirement.from_markers((mark.args, mark.kwargs) for mark in item.iter_markers("gpupool"))


def _marker_problem(item: pytest.Item) -> str | None:
    try:
        requirement_of(item)
    except MarkerProblem as problem:
        return str(problem)
    return None


def params_of(item: pytest.Item) -> dict[str, Any]:
    """Return a parametrized test's parameters as JSON can carry them; what is no plain value, by its repr."""
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else {name: _plain(value) for name, value in callspec.params.items()}


def _plain(value: object) -> Any:
    if value is None or type(value) in (bool, str) or (type(value) is int and value.bit_length() < 64):
        return value
    try:
        # A copy, so that nothing of the user's own types reaches execnet, which takes exact types only.
        return json.loads(json.dumps(value, allow_nan=False))
    except Exception:  # a foreign type may do anything
        return safe_repr(value)


def _with_verdict(metric: Metric) -> dict[str, Any]:
    return metric.to_record() | {"verdict": None if metric.is_finite else "invalid"}


def _worst(reports: Sequence[pytest.TestReport]) -> str:
    # pytest-rerunfailures calls a failure that it will try again "rerun".
    failed = any(report.outcome not in ("passed", "skipped") for report in reports)
    return "failed" if failed else reports[-1].outcome


def _duration(reports: Sequence[pytest.TestReport] | None) -> float | None:
    return reports[-1].duration if reports else None  # the last is the whole phase's, others are of subtests


def _message(reports: Iterable[pytest.TestReport], more: str) -> str | None:
    texts = [text for text in map(_text, reports) if text]
    return "\n".join(filter(None, [shortened("\n".join(texts)), more])) or None


def _text(report: pytest.TestReport) -> str:
    if report.outcome == "passed":
        return str(getattr(report, "wasxfail", ""))
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return str(getattr(report, "wasxfail", "")) or report.longreprtext
