"""Results: fold the records of a run into one result per test.

Pure: standard library only, no clock, no files. Records are plain dictionaries, the same whether they come over a
worker's channel while the run goes on or from a journal afterwards; folding one twice changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from ...values.device import Device
from ...values.repeats import test_of
from ...values.texts import epoch
from ..record import Record
from .attempts import Attempts, Key
from .result import NOTHING, DeviceUse, SetUp, TestResult, WorkerResult, of_repeats


class Results:
    """The results of one run, kept up to date by :meth:`add`.

    With ``each`` (xdist's ``--dist each``) every worker runs every test, and each pair has a result of its own.
    """

    def __init__(self, *, each: bool = False) -> None:
        self.each = each
        self._attempts = Attempts(each=each)
        self._repeated: dict[str, Record] = {}
        self.are_reported: set[str] = set()
        """The tests of which pytest has heard what their repeats make."""
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
    def set_ups(self) -> Mapping[tuple[str, int], SetUp]:
        """Each time that something was set up which tests share, by worker and its number there."""
        return self._attempts.set_ups

    @property
    def tests(self) -> list[TestResult]:
        """One result per collected test, in the order of collection."""
        if not self._attempts.repeats:
            return list(self._attempts.tests.values())
        return list(self._folded())

    @property
    def single(self) -> list[TestResult]:
        """As :attr:`tests`, but each repeat of a test has a result of its own."""
        return list(self._attempts.tests.values())

    @property
    def collected(self) -> int:
        """How many results there should be."""
        return len(self._attempts.tests) - sum(len(names) - 1 for names in self._attempts.repeats.values())

    @property
    def not_run(self) -> list[TestResult]:
        """The collected tests without an outcome."""
        return [test for test in self.tests if not test.finished]

    def repeats_of(self, nodeid: str) -> list[TestResult]:
        """Return the results of a test's repeats, as far as they are known to be."""
        return [self._attempts.tests[key] for key in self._attempts.repeats.get(nodeid, ())]

    def is_concluded(self, nodeid: str) -> bool:
        """Whether it is told what the repeats of a test make."""
        return nodeid in self._repeated

    def _folded(self) -> Iterator[TestResult]:
        told = set()
        for (nodeid, _), test in self._attempts.tests.items():
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
        return self._whole(test.nodeid) if test.nodeid in self._attempts.repeats else test

    @property
    def is_complete(self) -> bool:
        """Whether tests were collected, all that there are, and every one has a result."""
        is_collected = bool(self._attempts.tests) or self.is_empty_shard
        return is_collected and not self.uncollected and all(test.finished for test in self._attempts.tests.values())

    @property
    def is_empty_shard(self) -> bool:
        """Whether there are tests, and all are other shards'."""
        return self.shard is not None and bool(self.shard["tests"]) and not self._attempts.tests

    @property
    def ran(self) -> Iterator[TestResult]:
        """The tests whose results are this run's own."""
        return (test for test in self._attempts.tests.values() if test.run is None)

    def key(self, nodeid: str, worker: str) -> Key:
        """Return what tells a result from others: the test, and its worker where every worker runs every test."""
        return self._attempts.key(nodeid, worker)

    def get(self, nodeid: str, worker: str) -> TestResult | None:
        """Return the result of a test, on that worker where every worker runs every test."""
        return self._attempts.tests.get(self.key(nodeid, worker))

    def latest(self, nodeid: str, worker: str) -> TestResult | None:
        """Return the result of the last attempt at a test, be it one that measures again."""
        return self._attempts.latest(self.key(nodeid, worker))

    def message_of(self, nodeid: str) -> str:
        """Return what a report says of a test that failed."""
        return next((test.message or "" for (name, _), test in self._attempts.tests.items() if name == nodeid), "")

    def add_all(self, records: Iterable[Record]) -> None:
        """Fold several records."""
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Fold one record; an unknown kind is left for a newer version."""
        kind = record.get("record", "")
        if (fold := _FOLDS.get(kind)) is not None:
            self.changes += 1
            fold(self, record)
        elif (of_attempt := _OF_ATTEMPTS.get(kind)) is not None:
            self.changes += 1
            of_attempt(self._attempts, record)

    def makespan(self) -> float | None:
        """Return the seconds from the first test's start to the last one's end, None where none ran."""
        ended = [
            (key, test) for key, test in self._attempts.tests.items() if test.ended and test.started and not test.run
        ]
        if not ended:
            return None
        lasts = [one.ended or "" for _, test in ended for one in (test, *test.again)]
        firsts = (self._attempts.first_start(key) for key, _ in ended)
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

    def _worker(self, record: Record) -> WorkerResult:
        return self.workers.setdefault(record["worker"], WorkerResult(id=record["worker"]))

    def _collected(self, record: Record) -> None:
        for nodeid, params in record["tests"]:
            test = self._attempts.known(self.key(nodeid, record["worker"]))
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
        self._attempts.replace(record["worker"], str(record["dead"]))

    def _start(self, record: Record) -> None:
        worker = self.workers.get(record["worker"])
        if self._attempts.start(record) and worker is not None and worker.ready is None:
            worker.ready = record["started"]

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
        test = self._attempts.whole_test(record)
        test.suspects = ()
        test.metrics = {
            name: _with(metric, record["metrics"].get(name, NOTHING)) for name, metric in test.metrics.items()
        } | {metric["name"]: metric for metric in record.get("gone", ())}
        if "outcome" in record:
            test.outcome, test.message, test.is_judged = (
                self._attempts.shared(record["outcome"]),
                record["message"],
                True,
            )
        elif "message" in record:
            test.message = record["message"]

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


def _with(metric: Record, decided: Record) -> Record:
    """Return a metric with what is decided of it; where that has another value, its own one is kept beside it."""
    single = {"single": metric.get("single", metric["value"])} if "value" in decided else NOTHING
    return {**metric, **decided, **single}


_FOLDS: Mapping[str, Callable[[Results, Record], None]] = {
    "collected": Results._collected,
    "shard": Results._shard,
    "deselected": Results._deselected,
    "collect-error": Results._collect_error,
    "setting": Results._setting,
    "worker": Results._worker_began,
    "worker-end": Results._worker_ended,
    "replaces": Results._replaces,
    "start": Results._start,
    "repeated": Results._concludes,
    "policy": Results._policy,
    "decided": Results._decided,
    "aggregate": Results._aggregate,
    "aggregated": Results._aggregated,
    "device": Results._device,
    "quarantined": Results._quarantined,
}

_OF_ATTEMPTS: Mapping[str, Callable[[Attempts, Record], None]] = {
    "kept": Attempts.kept,
    "metric": Attempts.metric,
    "items": Attempts.items,
    "attached": Attempts.attached,
    "facts": Attempts.facts,
    "set-up": Attempts.set_up,
    "torn-down": Attempts.torn_down,
    "end": Attempts.end,
    "suspect": Attempts.suspect,
    "no-retry": Attempts.not_retried,
    "crash": partial(Attempts.cut_off, outcome="crashed"),
    "timeout": partial(Attempts.cut_off, outcome="timeout"),
}
