"""Attempts: fold what is recorded of the attempts at tests.

Pure: standard library only, no clock, no files. The kinds of record are told in :mod:`record`.
"""

from __future__ import annotations

from typing import TypeVar

from ...values.repeats import test_of
from ...values.texts import epoch
from ..record import Record
from .result import NOTHING, SetUp, TestResult

T = TypeVar("T")

Key = tuple[str, str | None]
"""What tells one result from another: the test and, where every worker runs every test, its worker."""


class Attempts:
    """The results of tests, each from its last attempt, with what is kept of those before.

    With ``each`` (xdist's ``--dist each``) every worker runs every test, and each pair has a result of its own.
    """

    def __init__(self, *, each: bool) -> None:
        self.each = each
        self.tests: dict[Key, TestResult] = {}
        self.repeats: dict[str, dict[Key, None]] = {}
        """The keys of the repeats of a test, in order, by its id."""
        self.set_ups: dict[tuple[str, int], SetUp] = {}
        """Each time that something was set up which tests share, by worker and its number there."""
        self._before: dict[Key, list[tuple[str | None, str | None]]] = {}  # attempts before the last one
        self._confirming: dict[Key, TestResult] = {}  # what goes on of tests that are measured again
        self._replayed: set[Key] = set()  # an earlier attempt is being folded once more
        self._same, self._stands_for = dict[object, object](), dict[str, str]()

    def key(self, nodeid: str, worker: str) -> Key:
        """Return what tells the result of a test from others."""
        return (nodeid, self._stands_for.get(worker, worker) if self.each else None)

    def replace(self, worker: str, dead: str) -> None:
        """Have a worker go on with a dead one's tests."""
        self._stands_for[worker] = self._stands_for.get(dead, dead)

    def known(self, key: Key) -> TestResult:
        """Return the result of a test, a new one where nobody knew it."""
        test = self.tests.get(key)
        if test is None:
            test = self.tests[key] = TestResult(nodeid=key[0])
            if (whole := test_of(key[0])) is not None:
                self.repeats.setdefault(whole, {})[key] = None
        return test

    def latest(self, key: Key) -> TestResult | None:
        """Return the result of the last attempt at a test, be it one that measures again."""
        return self._confirming.get(key) or self.tests.get(key)

    def first_start(self, key: Key) -> str | None:
        """Return when the first attempt at a test began."""
        return self._before[key][0][1] if key in self._before else self.tests[key].started

    def shared(self, value: T) -> T:
        """Return the value, the same object for the same value: there are as many of them as tests."""
        return self._same.setdefault(value, value)  # type: ignore[return-value]

    def whole_test(self, record: Record) -> TestResult:
        """Return the result of the test of a record."""
        return self.known(self.key(record["test"], record["worker"]))

    def _going_on(self, record: Record) -> TestResult:
        """Return the result of the attempt that goes on, or went on last."""
        key = self.key(record["test"], record["worker"])
        return self._confirming.get(key) or self.whole_test(record)

    def _is_replayed(self, record: Record) -> bool:
        return self.key(record["test"], record["worker"]) in self._replayed

    def start(self, record: Record) -> bool:
        """Begin an attempt; say whether it is a new one, and none that only measures again."""
        key, test = self.key(record["test"], record["worker"]), self.whole_test(record)
        if record.get("confirms"):
            self._measures_again(key, test, record)
            return False
        self._confirming.pop(key, None)
        attempt = (self.shared(record["worker"]), record["started"])
        last, before = (test.worker, test.started), self._before.get(key, [])
        if attempt == last or attempt in before:
            (self._replayed.discard if attempt == last else self._replayed.add)(key)
            return False
        if test.started is not None and test.run is None:
            self._before[key] = before = [*before, last]
            test.before = [*test.before, test.to_attempt()]
        elif test.run is not None:
            test.before = ()
        self._replayed.discard(key)
        test.again, test.suspects = [], ()
        # A rerun starts with empty metrics: the last attempt counts.
        test.attempt = len(before) + 1
        test.worker, test.started = attempt
        test.asked = record.get("asked", NOTHING)
        test.devices = self.shared(tuple(record["devices"]))
        test.outcome, test.ended, test.duration, test.message = "not-run", None, None, None
        test.cause, test.declared = None, _declared(test)
        test.phases, test.metrics, test.peak = NOTHING, NOTHING, None
        test.items, test.facts, test.attachments, test.folder = NOTHING, NOTHING, (), None
        test.resources, test.output, test.is_judged, test.set_ups = NOTHING, NOTHING, False, NOTHING
        test.repeat = record.get("repeat", NOTHING)
        test.recipe, test.run, test.is_final = self.shared(record.get("recipe")), None, True
        test.source = record.get("source", test.source)
        test.kind = self.shared(record.get("device_kind"))
        test.reported = False
        return True

    def _measures_again(self, key: Key, test: TestResult, record: Record) -> None:
        attempt = (record["worker"], record["started"])
        self._replayed.discard(key)
        known = next((one for one in test.again if (one.worker, one.started) == attempt), None)
        if known is None:
            number = max(1, test.attempt) + len(test.again) + 1
            known = TestResult(nodeid=test.nodeid, attempt=number, worker=self.shared(attempt[0]), started=attempt[1])
            known.devices = self.shared(tuple(record["devices"]))
            known.kind = self.shared(record.get("device_kind"))
            test.again.append(known)
        self._confirming[key] = known

    def suspect(self, record: Record) -> None:
        """Keep the names of the metrics that are to be measured again."""
        self.whole_test(record).suspects = tuple(record["metrics"])

    def metric(self, record: Record) -> None:
        """Add a metric."""
        if self._is_replayed(record):
            return
        test, metric = self._going_on(record), record["metric"]
        metrics = test.metrics or {}
        metrics[self.shared(metric["name"])] = metric
        test.metrics = metrics

    def items(self, record: Record) -> None:
        """Keep what is said of its items."""
        if not self._is_replayed(record):
            self._going_on(record).items = record["items"]

    def facts(self, record: Record) -> None:
        """Add facts."""
        if not self._is_replayed(record):
            test = self._going_on(record)
            test.facts = {**test.facts, **record["facts"]}

    def attached(self, record: Record) -> None:
        """Add what it has kept, and where."""
        if self._is_replayed(record):
            return
        test, told = self._going_on(record), record.get("attachment")
        test.folder = record.get("folder", test.folder)
        if told is not None and told not in test.attachments:
            test.attachments = [*test.attachments, told]

    def set_up(self, record: Record) -> None:
        """Count a wide fixture that was set up for it."""
        number, fixture = (record["worker"], record["number"]), self.shared(record["fixture"])
        if number in self.set_ups:
            return
        test, seconds, failed = self._going_on(record), record["seconds"], record.get("failed", False)
        self.set_ups[number] = SetUp(fixture=fixture, devices=test.devices, took=seconds, failed=failed)
        test.set_ups = {**test.set_ups, fixture: test.set_ups.get(fixture, 0.0) + seconds}

    def torn_down(self, record: Record) -> None:
        """Add how long the tear-down of one took."""
        number = record["worker"], record["number"]
        if number not in self.set_ups:  # which took next to nothing
            devices = self._going_on(record).devices
            self.set_ups[number] = SetUp(fixture=self.shared(record["fixture"]), devices=devices, took=0.0)
        self.set_ups[number].tear_down = record["seconds"]

    def end(self, record: Record) -> None:
        """End the attempt."""
        if self._is_replayed(record):
            return
        test = self._going_on(record)
        test.outcome, test.message = self.shared(record["outcome"]), record["message"]
        test.ended, test.duration = record["ended"], record["duration_s"]
        test.phases, test.peak = record["phases"], record.get("torch_peak")
        test.is_final, test.waited = record.get("is_final", True), record.get("waited_s", 0.0)
        test.cause = self.shared(record.get("cause"))
        _take_measured(test, record)
        for name, verdict in record.get("verdicts", NOTHING).items():
            if name in test.metrics:
                test.metrics[name] = {**test.metrics[name], "verdict": verdict}

    def kept(self, record: Record) -> None:
        """Take what an earlier run found, unless the test has run since."""
        key = (record["test"], None)
        test = self.known(key)
        if test.started is not None and test.run is None:
            return  # it has run since
        result = record["result"]
        test.run, test.recipe, test.kind = record["run"], result.get("recipe"), self.shared(result.get("device_kind"))
        test.params, test.outcome, test.attempt = result["params"], result["outcome"], result["attempt"]
        test.source = result.get("source")
        test.worker, test.devices = self.shared(result["worker"]), self.shared(tuple(result["devices"]))
        test.started, test.ended, test.duration = result["started"], result["ended"], result["duration_s"]
        test.cause, test.before, test.declared = result.get("cause"), result.get("before", ()), result.get("memory")
        test.waited, test.set_ups = result.get("waited_s", 0.0), result.get("set_ups", NOTHING)
        test.phases, test.message, test.peak = result["phases"], result["message"], result.get("torch_peak")
        test.metrics = {metric["name"]: metric for metric in result["metrics"]}
        test.repeat, test.items = result.get("repeat", NOTHING), result.get("items", NOTHING)
        test.facts, test.attachments = result.get("facts", NOTHING), result.get("attachments", ())
        test.again = [_kept_attempt(test.nodeid, one) for one in result.get("again", ())]
        _take_measured(test, result)

    def cut_off(self, record: Record, outcome: str) -> None:
        """End an attempt that did not come to its own end."""
        if self._is_replayed(record):
            return
        test = self._going_on(record)
        whole = self.whole_test(record)
        if test is not whole and record.get("started") in (None, test.started):
            # It has died of being measured again: that is its end as well.
            whole.outcome, whole.message, whole.suspects = outcome, record["message"], ()
            whole.cause = self.shared(record.get("cause"))
        told = {"outcome": outcome, "message": record["message"], "cause": record.get("cause")}
        if record.get("started") not in (None, test.started):
            test.before = [{**one, **told} if _is_of(one, record) else one for one in test.before]
            return  # of an attempt before the last one
        test.outcome, test.message, test.cause = outcome, record["message"], self.shared(record.get("cause"))
        test.output, test.resources = record.get("output", NOTHING), record.get("resources", NOTHING)
        test.worker, test.ended = record["worker"], record["ended"]
        test.attempt = max(test.attempt, 1)
        if test.started is not None:
            test.duration = max(0.0, epoch(record["ended"]) - epoch(test.started))

    def not_retried(self, record: Record) -> None:
        """Say in its message why it is not tried again."""
        if self._is_replayed(record):
            return
        test = self._going_on(record)
        if record.get("started") == test.started and record["text"] not in (test.message or ""):
            test.message = "\n".join(filter(None, [test.message, record["text"]]))


def _kept_attempt(nodeid: str, result: Record) -> TestResult:
    """Return an attempt that measured a test again, as :meth:`TestResult.to_record` has it."""
    test = TestResult(nodeid=nodeid, outcome=result["outcome"], attempt=result["attempt"], worker=result["worker"])
    test.devices, test.kind = tuple(result["devices"]), result.get("device_kind")
    test.started, test.ended, test.duration = result["started"], result["ended"], result["duration_s"]
    test.cause, test.message, test.phases = result.get("cause"), result["message"], result["phases"]
    test.metrics = {metric["name"]: metric for metric in result["metrics"]}
    test.items, test.attachments = result.get("items", NOTHING), result.get("attachments", ())
    _take_measured(test, result)
    return test


def _is_of(attempt: Record, record: Record) -> bool:
    return (attempt["worker"], attempt["started"]) == (record["worker"], record.get("started"))


def _take_measured(test: TestResult, values: Record) -> None:
    test.resources, test.output = values.get("resources", NOTHING), values.get("output", NOTHING)
    test.is_judged = values.get("is_judged", False)


def _declared(test: TestResult) -> int | None:
    """Return how many bytes of a device's memory a test's marker asks for, None where it says nothing."""
    memory = test.asked.get("memory")
    return None if memory is None else int(memory)
