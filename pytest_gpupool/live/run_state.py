"""The state of a run: how far it has come and what its workers do, folded from the records of its journals.

Pure: standard library only, no clock, no files. It keeps far less of a test than ``records.folding`` does, and does not
mind that the journals of several writers are read a little out of order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..records.estimates import duration_of_all
from ..records.folding.results import Results
from ..records.record import Record
from ..values.outcomes import FAILED
from ..values.texts import epoch

Key = tuple[str, str | None]
"""A test, and where every worker runs every test its worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One worker: the ids of what it holds, its test, the seconds since that began, and its last metric's record."""

    worker: str
    pid: int
    devices: tuple[str, ...]
    test: str | None = None
    seconds: float | None = None
    metric: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many tests there are, how many of them have ended (failed ones are among these), and run now."""

    total: int
    done: int
    failed: int
    running: int

    @property
    def waiting(self) -> int:
        """How many have not begun."""
        return max(0, self.total - self.done - self.running)


@dataclass(slots=True)
class _WorkerState:
    """A worker, and the test that it runs: its key, and when it began, in seconds since 1970."""

    worker: str
    pid: int
    devices: tuple[str, ...]
    key: Key | None = None
    since: float = 0.0
    metric: Mapping[str, Any] | None = None
    confirms: bool = False
    """Whether its test has ended before, and is only measured again."""


class RunState:
    """The state of a run, kept up to date by :meth:`fold`. With ``each`` every worker runs every test."""

    def __init__(self, *, each: bool = False) -> None:
        self._each = each
        self._tests: dict[Key, bool | None] = {}  # whether it failed, None while it has not ended
        self._waiting: dict[Key, None] = {}
        self._workers: dict[str, _WorkerState] = {}
        self._gone: set[str] = set()
        self._stands_for: dict[str, str] = {}
        self._expected: Mapping[str, float | None] = {}
        self._seconds = 0.0  # of tests that have ended
        self._ended = 0
        self._done = 0
        self._failed = 0
        self.failure: tuple[str, str] | None = None
        """The test that failed last, and its message."""
        self.suspects: dict[str, tuple[str, ...]] = {}
        """The metrics that are to be measured again, by test."""

    @property
    def tests(self) -> list[str]:
        """The ids of the tests, as they were collected."""
        return [nodeid for nodeid, _ in self._tests]

    def expect(self, seconds: Mapping[str, float | None]) -> None:
        """Know what tests will take, by id; None where nothing is known."""
        self._expected = seconds

    def fold_all(self, records: Iterable[Record]) -> None:
        """Fold several records."""
        for record in records:
            self.fold(record)

    def fold(self, record: Record) -> None:
        """Fold one sound record; one of a kind that shows nowhere changes nothing."""
        fold = _FOLDS.get(record["record"])
        if fold is not None:
            fold(self, record)

    def counts(self) -> Counts:
        """Return how far the run has come."""
        running = sum(state.key is not None for state in self._workers.values())
        return Counts(total=len(self._tests), done=self._done, failed=self._failed, running=running)

    def rows(self, now: float) -> list[Row]:
        """Return a row for each worker that has a lease; ``now`` is in seconds since 1970."""
        return [
            Row(
                worker=state.worker,
                pid=state.pid,
                devices=state.devices,
                test=None if state.key is None else state.key[0],
                seconds=None if state.key is None else max(0.0, now - state.since),
                metric=state.metric,
            )
            for state in self._workers.values()
        ]

    def remaining(self, now: float) -> float | None:
        """Return the seconds that the rest of the run will take, None where nothing tells.

        By what each test took in earlier runs, else by the mean of what this run's have taken.
        """
        usual = self._usual()
        ahead = [self._expects(nodeid, usual) for nodeid, _ in self._waiting]
        for state in self._workers.values():
            if state.key is not None:
                expected = self._expects(state.key[0], usual)
                ahead.append(None if expected is None else max(0.0, expected - (now - state.since)))
        return duration_of_all(ahead, len(self._workers))

    def _usual(self) -> float | None:
        if self._ended:
            return self._seconds / self._ended
        known = [seconds for seconds in self._expected.values() if seconds is not None]
        return sum(known) / len(known) if known else None

    def _expects(self, nodeid: str, usual: float | None) -> float | None:
        seconds = self._expected.get(nodeid)
        return usual if seconds is None else seconds

    def _key(self, nodeid: str, worker: str) -> Key:
        return (nodeid, self._stands_for.get(worker, worker) if self._each else None)

    def _set_outcome(self, key: Key, failed: bool | None) -> None:
        """Note what became of a test, None where it begins anew."""
        before = self._tests.get(key)
        self._done += (failed is not None) - (before is not None)
        self._failed += bool(failed) - bool(before)
        self._tests[key] = failed
        self._waiting.pop(key, None)

    def _clear_test(self, key: Key, worker: str) -> None:
        """A worker runs a test no more."""
        state = self._workers.get(worker)
        if state is not None and state.key == key:
            state.key, state.metric = None, None

    def _collected(self, record: Record) -> None:
        for nodeid, _ in record["tests"]:
            key = self._key(nodeid, record["worker"])
            if key not in self._tests:
                self._tests[key] = self._waiting[key] = None

    def _kept(self, record: Record) -> None:
        self._set_outcome((record["test"], None), record["result"]["outcome"] in FAILED)

    def _worker_began(self, record: Record) -> None:
        worker = record["worker"]
        if worker not in self._gone:
            self._workers[worker] = _WorkerState(worker, record["pid"], tuple(record["devices"]))

    def _worker_ended(self, record: Record) -> None:
        self._gone.add(record["worker"])
        state = self._workers.pop(record["worker"], None)
        if state is not None and state.key is not None and self._tests.get(state.key) is None:
            self._waiting[state.key] = None  # nothing is known of it, so it is still to be run

    def _replaces(self, record: Record) -> None:
        dead = str(record["dead"])
        self._stands_for[record["worker"]] = self._stands_for.get(dead, dead)

    def _start(self, record: Record) -> None:
        state = self._workers.get(record["worker"])
        if state is None:
            return  # it is read late, of a worker that has ended
        state.key = self._key(record["test"], record["worker"])
        state.since, state.metric = epoch(record["started"]), None
        state.confirms = record.get("confirms", False)
        if not state.confirms:
            self._set_outcome(state.key, None)

    def _metric(self, record: Record) -> None:
        state = self._workers.get(record["worker"])
        if state is not None and state.key is not None and state.key[0] == record["test"]:
            state.metric = record["metric"]

    def _end(self, record: Record) -> None:
        key, failed = self._key(record["test"], record["worker"]), record["outcome"] in FAILED
        state = self._workers.get(record["worker"])
        self._clear_test(key, record["worker"])
        if state is not None and state.confirms:
            return  # which changes nothing of its outcome
        self._set_outcome(key, failed)
        self._seconds += record["duration_s"]
        self._ended += 1
        if failed:
            self.failure = (record["test"], record["message"] or record["outcome"])

    def _suspect(self, record: Record) -> None:
        self.suspects.pop(record["test"], None)
        if record["metrics"]:
            self.suspects[record["test"]] = tuple(record["metrics"])

    def _cut_off(self, record: Record) -> None:
        key = self._key(record["test"], record["worker"])
        self._clear_test(key, record["worker"])
        self._gone.add(record["worker"])  # of which the journal may still be read
        self._workers.pop(record["worker"], None)
        self._set_outcome(key, True)
        self.failure = (record["test"], record["message"] or record["record"])


_FOLDS = {
    "collected": RunState._collected,
    "kept": RunState._kept,
    "worker": RunState._worker_began,
    "worker-end": RunState._worker_ended,
    "replaces": RunState._replaces,
    "start": RunState._start,
    "metric": RunState._metric,
    "end": RunState._end,
    "suspect": RunState._suspect,
    "crash": RunState._cut_off,
    "timeout": RunState._cut_off,
}


def records_of(results: Results) -> Iterator[Record]:
    """Yield records that say what the results of a run know, for a run that keeps no journals."""
    workers = list(results.workers.values())
    for worker in workers:
        yield {"record": "worker", "worker": worker.id, "pid": worker.pid, "devices": worker.devices}
    for number, test in enumerate(results.single):
        worker_id = test.worker or f"of {number}"  # with "each" there is one for every worker
        about = {"worker": worker_id, "test": test.nodeid}
        yield {"record": "collected", "worker": worker_id, "tests": [(test.nodeid, {})]}
        if test.started is not None and test.run is None:
            yield {"record": "start", **about, "started": test.started}
            yield from ({"record": "metric", **about, "metric": metric} for metric in list(test.metrics.values())[-1:])
        if test.finished:
            yield {
                "record": "end",
                **about,
                "outcome": test.outcome,
                "duration_s": test.duration or 0.0,
                "message": test.message,
            }
        if test.suspects:
            yield {"record": "suspect", **about, "metrics": list(test.suspects)}
    for worker in workers:
        if worker.exit is not None:
            yield {"record": "worker-end", "worker": worker.id}


def longest(rows: Sequence[Row], most: int) -> list[Row]:
    """Return so many of the rows: those whose tests run the longest, in the order in which they were."""
    by_time = sorted(rows, key=lambda row: -1.0 if row.seconds is None else row.seconds, reverse=True)
    shown = {row.worker for row in by_time[:most]}
    return [row for row in rows if row.worker in shown]
