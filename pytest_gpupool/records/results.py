"""Results: fold the records of a run into one result per test.

Pure: standard library only, no clock, no files. Records are plain dictionaries, the same whether they come over a
worker's channel while the run goes on or from a journal afterwards; folding one twice changes nothing.

===================  ====================================================================================
record               keys
===================  ====================================================================================
``journal``          ``version``; the first line of each file, changes no result
``collected``        ``tests``: a list of ``[nodeid, params]``; ``worker``
``shard``            ``index, count, tests, fingerprint, paths``: the run has one of several parts of these tests, cut
                     from what the fingerprint is of; ``paths``: where all shards together have looked for tests
``deselected``       ``worker, tests``: the ids of those that a conftest.py or a plugin has left out
``collect-error``    ``where``: what could not be collected
``kept``             ``test, run, result``: what an earlier run found, see :meth:`TestResult.to_record`
``worker``           ``worker, host, pid, devices, lease_wait_s, started, environment``
``setting``          ``name, value``: ``cores`` that the run may use, ``timeout`` (seconds) of tests that name none
``policy``           ``error, rtol, fail_on``: how its metrics are judged, by the baseline beside the records
``start``            ``worker, test, devices, device_kind, started, attempt, recipe``: an attempt at a test begins;
                     and ``asked``, where its marker says so: ``memory`` (bytes), ``timeout`` (seconds; null: no limit);
                     ``confirms`` (true) where it only measures again what is suspect
``metric``           ``worker, test, metric``
``items``            ``worker, test, items``: what the attempt has said of single items: the ``file``, when it begins,
                     and with how many, and their scores' means, when it ends; see :mod:`beside.samples`
``attached``         ``worker, test``, and ``attachment``: what the attempt has kept; or ``folder``: where it keeps it
``piece``            ``worker, test, file, data``: of a file that it has kept, in base64, from a worker without the
                     run's directory; in no journal, changes no result
``facts``            ``worker, test, facts``: texts by name, which the attempt says of itself
``lines``            ``worker, test, file, lines``: for that file, from a worker without the run's directory; in no
                     journal, changes no result
``set-up``           ``worker, test, number, fixture, seconds``, and ``failed`` (true): a wide fixture was set up for it
``torn-down``        ``worker, test, number, fixture, seconds``: the one of that number was torn down again
``repeated``         ``test, outcome, message, metrics, is_judged``: the repeats of the test have ended, which make this
``end``              ``worker, test, outcome, phases, duration_s, ended, message``
                     and ``torch_peak`` (bytes) where torch used a GPU, ``is_final`` (false) where it is to run again,
                     ``resources``, ``output``, ``verdicts`` (by metric, where it has changed since it was recorded),
                     ``is_judged`` (true) where a verdict made it fail, ``cause`` where it failed of one
``crash``            ``worker, test, started, ended, message, output``: the worker died while it ran this test;
                     and ``cause``, ``resources``, as at an end
``timeout``          the same keys: the test took too long, and its worker was ended
``no-retry``         ``worker, test, started, text``: it is not tried again, though its cause would have it
``device``           ``device``: one of a cluster's, which a worker holds; see :class:`Device`
``quarantined``      ``device, reason``: the device has left the pool
``worker-end``       ``worker, ended, exit``, and, with ``-n``, ``ready`` (when it had collected) and
                     ``idle``: the seconds in which it then had no test, by what it waited for
``replaces``         ``worker, dead``: with ``--dist each``, a worker goes on with a dead one's tests
``suspect``          ``worker, test, metrics``: the names of those that are to be measured again, none where none is
``decided``          ``worker, test, metrics``: verdicts, by metric, with what they are based on, once the run is over;
                     ``gone``: metrics that the baseline has, and the test, or the run, has not;
                     and ``outcome, message`` where they change these
``aggregate``        ``worker, test, aggregate, left_out``, and ``narrowed`` (text): what is judged over the tests of
                     a function, class, file or folder; ``left_out``: ``group, tests`` of those that were deselected;
                     ``shard`` (``2/4``) where other shards may have some of them
``aggregated``       ``group, metric, outcome, message``: the verdict on a group of them, as at ``decided``
``run-end``          ``ended, exit_status``; written by the controller, changes no result
``late-metric``      ``worker, text``: a metric came after its test had ended; in no journal, changes no result
``journal-problem``  ``worker, text``: later records of this worker are not on disk; changes no result
===================  ====================================================================================
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from ..values.device import Device
from ..values.repeats import test_of
from ..values.texts import epoch
from .record import Record
from .result import NOTHING, DeviceUse, SetUp, TestResult, WorkerResult, of_repeats

T = TypeVar("T")

Key = tuple[str, str | None]
"""What tells one result from another, see :meth:`Results.key`."""


class Results:
    """The results of one run, kept up to date by :meth:`add`.

    With ``each`` (xdist's ``--dist each``) every worker runs every test, and each pair has a result of its own.
    """

    def __init__(self, *, each: bool = False) -> None:
        self.each = each
        self._tests: dict[Key, TestResult] = {}
        self._before: dict[Key, list[tuple[str | None, str | None]]] = {}  # attempts before the last one
        self._same, self._stands_for = dict[object, object](), dict[str, str]()
        self._repeats: dict[str, dict[Key, None]] = {}
        self._repeated: dict[str, Record] = {}
        self.are_reported: set[str] = set()
        """The tests of which pytest has heard what their repeats make."""
        self._confirming: dict[Key, TestResult] = {}  # what goes on of tests that are measured again
        self._replayed: set[Key] = set()  # an earlier attempt is being folded once more
        self.set_ups: dict[tuple[str, int], SetUp] = {}
        """Each time that something was set up which tests share, by worker and its number there."""
        self.workers: dict[str, WorkerResult] = {}
        self.uncollected: set[str] = set()
        """The ids of what could not be collected."""
        self.shard: Record | None = None
        """Which part of which tests the run has, None where it has all that were collected."""
        self.deselected: set[str] = set()
        """The ids of tests that a conftest.py or a plugin has left out, where no option has."""
        self.devices: dict[str, Device] = {}
        """Those of a cluster that workers have held, by id; none where the pool is this host's."""
        self.quarantined: dict[str, str] = {}
        """Why devices have left the pool, by id."""
        self.policy: Record | None = None
        """How its metrics are judged, None where there is no baseline."""
        self.is_decided = False
        """Whether they have been."""
        self.aggregates: dict[tuple[str, str], Record] = {}
        """What is judged over many tests, by whose tests these are, and its name."""
        self.changes = 0
        """How many records were folded: as long as it is the same, so is what is made of the results."""
        self.decided_groups: dict[str, Record] = {}
        """What is decided of groups of tests, by :attr:`Group.key`."""
        self.settings: dict[str, float] = {}
        """What the run goes by: ``cores`` that it may use, ``timeout`` of tests that name none, where there is one."""

    @property
    def tests(self) -> list[TestResult]:
        """One result per collected test, in the order of collection."""
        if not self._repeats:
            return list(self._tests.values())
        return list(self._folded())

    @property
    def single(self) -> list[TestResult]:
        """As :attr:`tests`, but each repeat of a test has a result of its own."""
        return list(self._tests.values())

    @property
    def collected(self) -> int:
        """How many results there should be."""
        return len(self._tests) - sum(len(names) - 1 for names in self._repeats.values())

    @property
    def not_run(self) -> list[TestResult]:
        """The collected tests without an outcome."""
        return [test for test in self.tests if not test.finished]

    def repeats_of(self, nodeid: str) -> list[TestResult]:
        """Return the results of a test's repeats, as far as they are known to be."""
        return [self._tests[key] for key in self._repeats.get(nodeid, ())]

    def is_concluded(self, nodeid: str) -> bool:
        """Whether it is told what the repeats of a test make."""
        return nodeid in self._repeated

    def _folded(self) -> Iterator[TestResult]:
        told = set()
        for (nodeid, _), test in self._tests.items():
            whole = test_of(nodeid)
            if whole is None:
                yield test
            elif whole not in told:
                told.add(whole)
                yield self._whole(whole)

    def _whole(self, nodeid: str) -> TestResult:
        made = of_repeats(nodeid, self.repeats_of(nodeid), self._repeated.get(nodeid))
        made.reported = nodeid in self.are_reported
        return made

    def as_it_is(self, test: TestResult) -> TestResult:
        """Return a result as it is by now: that of a test that is repeated is made anew each time."""
        return self._whole(test.nodeid) if test.nodeid in self._repeats else test

    @property
    def is_complete(self) -> bool:
        """Whether tests were collected, all that there are, and every one has a result."""
        is_collected = bool(self._tests) or self.is_empty_shard
        return is_collected and not self.uncollected and all(test.finished for test in self._tests.values())

    @property
    def is_empty_shard(self) -> bool:
        """Whether there are tests, and all are other shards'."""
        return self.shard is not None and bool(self.shard["tests"]) and not self._tests

    @property
    def ran(self) -> Iterator[TestResult]:
        """The tests whose results are this run's own."""
        return (test for test in self._tests.values() if test.run is None)

    def key(self, nodeid: str, worker: str) -> Key:
        """Return what tells a result from others: the test, and its worker where every worker runs every test."""
        return (nodeid, self._stands_for.get(worker, worker) if self.each else None)

    def get(self, nodeid: str, worker: str) -> TestResult | None:
        """Return the result of a test, on that worker where every worker runs every test."""
        return self._tests.get(self.key(nodeid, worker))

    def message_of(self, nodeid: str) -> str:
        """Return what a report says of a test that failed."""
        return next((test.message or "" for (name, _), test in self._tests.items() if name == nodeid), "")

    def add_all(self, records: Iterable[Record]) -> None:
        """Fold several records."""
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Fold one record; an unknown kind is left for a newer version."""
        fold = _FOLDS.get(record.get("record", ""))
        if fold is not None:
            self.changes += 1
            fold(self, record)

    def makespan(self) -> float | None:
        """Return the seconds from the first test's start to the last one's end, None where none ran."""
        ended = [(key, test) for key, test in self._tests.items() if test.ended and test.started and not test.run]
        if not ended:
            return None
        lasts = [one.ended or "" for _, test in ended for one in (test, *test.again)]
        firsts = (self._before[key][0][1] if key in self._before else test.started for key, test in ended)
        # Such texts are in the order of the times. The clock may have been set back.
        return max(0.0, epoch(max(lasts)) - epoch(min(first or "" for first in firsts)))

    def busy(self) -> dict[str, float]:
        """Return, per device id, the sum of the durations of the tests that ran on it."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for test in (one for ran in self.ran for one in (ran, *ran.again)):
            for device in test.devices:
                seconds[device] += test.duration or 0.0
        return dict(seconds)

    def use(self) -> DeviceUse:
        """Return how well the devices were used."""
        return DeviceUse(makespan=self.makespan(), busy=self.busy())

    def _is_replayed(self, record: Record) -> bool:
        return self.key(record["test"], record["worker"]) in self._replayed

    def _test(self, record: Record) -> TestResult:
        """Return the result of the attempt that goes on, or went on last."""
        key = self.key(record["test"], record["worker"])
        return self._confirming.get(key) or self._whole_test(record)

    def _whole_test(self, record: Record) -> TestResult:
        key = self.key(record["test"], record["worker"])
        test = self._tests.get(key)
        return self._new(key) if test is None else test

    def latest(self, nodeid: str, worker: str) -> TestResult | None:
        """Return the result of the last attempt at a test, be it one that measures again."""
        return self._confirming.get(self.key(nodeid, worker)) or self.get(nodeid, worker)

    def _new(self, key: Key) -> TestResult:
        """Return the result of a test that nobody knew."""
        test = self._tests[key] = TestResult(nodeid=key[0])
        if (whole := test_of(key[0])) is not None:
            self._repeats.setdefault(whole, {})[key] = None
        return test

    def _shared(self, value: T) -> T:
        """Return the value, the same object for the same value: there are as many of them as tests."""
        return self._same.setdefault(value, value)  # type: ignore[return-value]

    def _worker(self, record: Record) -> WorkerResult:
        return self.workers.setdefault(record["worker"], WorkerResult(id=record["worker"]))

    def _collected(self, record: Record) -> None:
        for nodeid, params in record["tests"]:
            key = self.key(nodeid, record["worker"])
            test = self._tests.get(key) or self._new(key)
            test.params = params or test.params  # they may be told after the ids

    def _worker_began(self, record: Record) -> None:
        worker = self._worker(record)
        worker.host, worker.pid = record["host"], record["pid"]
        worker.devices = list(record["devices"])
        worker.lease_wait, worker.started = record["lease_wait_s"], record["started"]
        worker.environment = record.get("environment", {})

    def _worker_ended(self, record: Record) -> None:
        worker = self._worker(record)
        worker.ended, worker.exit = record["ended"], record["exit"]
        worker.ready, worker.idle = record.get("ready", worker.ready), record.get("idle", NOTHING)

    def _setting(self, record: Record) -> None:
        self.settings[record["name"]] = record["value"]

    def _replaces(self, record: Record) -> None:
        dead = str(record["dead"])
        self._stands_for[record["worker"]] = self._stands_for.get(dead, dead)

    def _start(self, record: Record) -> None:
        key, test = self.key(record["test"], record["worker"]), self._whole_test(record)
        if record.get("confirms"):
            self._measures_again(key, test, record)
            return
        self._confirming.pop(key, None)
        attempt = (self._shared(record["worker"]), record["started"])
        last, before = (test.worker, test.started), self._before.get(key, [])
        if attempt == last or attempt in before:
            (self._replayed.discard if attempt == last else self._replayed.add)(key)
            return
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
        if (worker := self.workers.get(record["worker"])) is not None and worker.ready is None:
            worker.ready = record["started"]
        test.devices = self._shared(tuple(record["devices"]))
        test.outcome, test.ended, test.duration, test.message = "not-run", None, None, None
        test.cause, test.declared = None, _declared(test)
        test.phases, test.metrics, test.peak = NOTHING, NOTHING, None
        test.items, test.facts, test.attachments, test.folder = NOTHING, NOTHING, (), None
        test.resources, test.output, test.is_judged, test.set_ups = NOTHING, NOTHING, False, NOTHING
        test.repeat = record.get("repeat", NOTHING)
        test.recipe, test.run, test.is_final = self._shared(record.get("recipe")), None, True
        test.source = record.get("source", test.source)
        test.kind = self._shared(record.get("device_kind"))
        test.reported = False

    def _measures_again(self, key: Key, test: TestResult, record: Record) -> None:
        attempt = (record["worker"], record["started"])
        self._replayed.discard(key)
        known = next((one for one in test.again if (one.worker, one.started) == attempt), None)
        if known is None:
            number = max(1, test.attempt) + len(test.again) + 1
            known = TestResult(nodeid=test.nodeid, attempt=number, worker=self._shared(attempt[0]), started=attempt[1])
            known.devices = self._shared(tuple(record["devices"]))
            known.kind = self._shared(record.get("device_kind"))
            test.again.append(known)
        self._confirming[key] = known

    def _suspect(self, record: Record) -> None:
        self._whole_test(record).suspects = tuple(record["metrics"])

    def _metric(self, record: Record) -> None:
        if self._is_replayed(record):
            return
        test, metric = self._test(record), record["metric"]
        metrics = test.metrics or {}
        metrics[self._shared(metric["name"])] = metric
        test.metrics = metrics

    def _items(self, record: Record) -> None:
        if not self._is_replayed(record):
            self._test(record).items = record["items"]

    def _facts(self, record: Record) -> None:
        if not self._is_replayed(record):
            test = self._test(record)
            test.facts = {**test.facts, **record["facts"]}

    def _attached(self, record: Record) -> None:
        if self._is_replayed(record):
            return
        test, told = self._test(record), record.get("attachment")
        test.folder = record.get("folder", test.folder)
        if told is not None and told not in test.attachments:
            test.attachments = [*test.attachments, told]

    def _set_up(self, record: Record) -> None:
        number, fixture = (record["worker"], record["number"]), self._shared(record["fixture"])
        if number in self.set_ups:
            return
        test, seconds, failed = self._test(record), record["seconds"], record.get("failed", False)
        self.set_ups[number] = SetUp(fixture=fixture, devices=test.devices, took=seconds, failed=failed)
        test.set_ups = {**test.set_ups, fixture: test.set_ups.get(fixture, 0.0) + seconds}

    def _torn_down(self, record: Record) -> None:
        number = record["worker"], record["number"]
        if number not in self.set_ups:  # which took next to nothing
            devices = self._test(record).devices
            self.set_ups[number] = SetUp(fixture=self._shared(record["fixture"]), devices=devices, took=0.0)
        self.set_ups[number].tear_down = record["seconds"]

    def _end(self, record: Record) -> None:
        if self._is_replayed(record):
            return
        test = self._test(record)
        test.outcome, test.message = self._shared(record["outcome"]), record["message"]
        test.ended, test.duration = record["ended"], record["duration_s"]
        test.phases, test.peak = record["phases"], record.get("torch_peak")
        test.is_final, test.waited = record.get("is_final", True), record.get("waited_s", 0.0)
        test.cause = self._shared(record.get("cause"))
        _take_measured(test, record)
        for name, verdict in record.get("verdicts", NOTHING).items():
            if name in test.metrics:
                test.metrics[name] = {**test.metrics[name], "verdict": verdict}

    def _shard(self, record: Record) -> None:
        self.shard = record

    def _policy(self, record: Record) -> None:
        self.policy = record

    def _aggregate(self, record: Record) -> None:
        self.aggregates.setdefault((record["test"], record["aggregate"]["name"]), record)

    def _aggregated(self, record: Record) -> None:
        self.is_decided = True
        self.decided_groups[record["group"]] = record

    def _decided(self, record: Record) -> None:
        self.is_decided = True
        if (made := self._repeated.get(record["test"])) is not None:
            metrics = [{**one, **record["metrics"].get(one["name"], NOTHING)} for one in made["metrics"]]
            metrics += record.get("gone", ())
            told = {key: record[key] for key in ("outcome", "message") if key in record}
            judged = {"is_judged": True} if "outcome" in record else {}
            self._repeated[record["test"]] = {**made, "metrics": metrics, **told, **judged}
            return
        test = self._whole_test(record)
        test.suspects = ()
        test.metrics = {
            name: _with(metric, record["metrics"].get(name, NOTHING)) for name, metric in test.metrics.items()
        } | {metric["name"]: metric for metric in record.get("gone", ())}
        if "outcome" in record:
            test.outcome, test.message, test.is_judged = self._shared(record["outcome"]), record["message"], True
        elif "message" in record:
            test.message = record["message"]

    def _kept(self, record: Record) -> None:
        key = (record["test"], None)
        test = self._tests.get(key) or self._new(key)
        if test.started is not None and test.run is None:
            return  # it has run since
        result = record["result"]
        test.run, test.recipe, test.kind = record["run"], result.get("recipe"), self._shared(result.get("device_kind"))
        test.params, test.outcome, test.attempt = result["params"], result["outcome"], result["attempt"]
        test.source = result.get("source")
        test.worker, test.devices = self._shared(result["worker"]), self._shared(tuple(result["devices"]))
        test.started, test.ended, test.duration = result["started"], result["ended"], result["duration_s"]
        test.cause, test.before, test.declared = result.get("cause"), result.get("before", ()), result.get("memory")
        test.waited, test.set_ups = result.get("waited_s", 0.0), result.get("set_ups", NOTHING)
        test.phases, test.message, test.peak = result["phases"], result["message"], result.get("torch_peak")
        test.metrics = {metric["name"]: metric for metric in result["metrics"]}
        test.repeat, test.items = result.get("repeat", NOTHING), result.get("items", NOTHING)
        test.facts, test.attachments = result.get("facts", NOTHING), result.get("attachments", ())
        test.again = [_kept_attempt(test.nodeid, one) for one in result.get("again", ())]
        _take_measured(test, result)

    def _concludes(self, record: Record) -> None:
        self._repeated[record["test"]] = record

    def _deselected(self, record: Record) -> None:
        self.deselected.update(record["tests"])

    def _collect_error(self, record: Record) -> None:
        self.uncollected.add(record["where"])

    def _device(self, record: Record) -> None:
        device = Device.from_wire(record["device"])
        self.devices.setdefault(device.id, device)

    def _quarantined(self, record: Record) -> None:
        self.quarantined.setdefault(record["device"], record["reason"])

    def _cut_off(self, record: Record, outcome: str) -> None:
        if self._is_replayed(record):
            return
        test = self._test(record)
        whole = self._whole_test(record)
        if test is not whole and record.get("started") in (None, test.started):
            # It has died of being measured again: that is its end as well.
            whole.outcome, whole.message, whole.suspects = outcome, record["message"], ()
            whole.cause = self._shared(record.get("cause"))
        told = {"outcome": outcome, "message": record["message"], "cause": record.get("cause")}
        if record.get("started") not in (None, test.started):
            test.before = [{**one, **told} if _is_of(one, record) else one for one in test.before]
            return  # of an attempt before the last one
        test.outcome, test.message, test.cause = outcome, record["message"], self._shared(record.get("cause"))
        test.output, test.resources = record.get("output", NOTHING), record.get("resources", NOTHING)
        test.worker, test.ended = record["worker"], record["ended"]
        test.attempt = max(test.attempt, 1)
        if test.started is not None:
            test.duration = max(0.0, epoch(record["ended"]) - epoch(test.started))

    def _not_retried(self, record: Record) -> None:
        if self._is_replayed(record):
            return
        test = self._test(record)
        if record.get("started") == test.started and record["text"] not in (test.message or ""):
            test.message = "\n".join(filter(None, [test.message, record["text"]]))


def _with(metric: Record, decided: Record) -> Record:
    """Return a metric with what is decided of it; where that has another value, its own one is kept beside it."""
    single = {"single": metric.get("single", metric["value"])} if "value" in decided else NOTHING
    return {**metric, **decided, **single}


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


_FOLDS: Mapping[str, Callable[[Results, Record], None]] = {
    "collected": Results._collected,
    "shard": Results._shard,
    "deselected": Results._deselected,
    "collect-error": Results._collect_error,
    "kept": Results._kept,
    "setting": Results._setting,
    "worker": Results._worker_began,
    "worker-end": Results._worker_ended,
    "replaces": Results._replaces,
    "start": Results._start,
    "metric": Results._metric,
    "items": Results._items,
    "attached": Results._attached,
    "facts": Results._facts,
    "set-up": Results._set_up,
    "torn-down": Results._torn_down,
    "repeated": Results._concludes,
    "end": Results._end,
    "policy": Results._policy,
    "suspect": Results._suspect,
    "decided": Results._decided,
    "aggregate": Results._aggregate,
    "aggregated": Results._aggregated,
    "crash": lambda results, record: results._cut_off(record, "crashed"),
    "timeout": lambda results, record: results._cut_off(record, "timeout"),
    "no-retry": Results._not_retried,
    "device": Results._device,
    "quarantined": Results._quarantined,
}


def _declared(test: TestResult) -> int | None:
    """Return how many bytes of a device's memory a test's marker asks for, None where it says nothing."""
    memory = test.asked.get("memory")
    return None if memory is None else int(memory)
