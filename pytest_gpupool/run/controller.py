"""The controller: one run in the process that the user started. Its parts, and pytest's hooks that feed them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ..options import scope
from ..options.options import Options
from ..planning.problem import Problem
from ..records import archive
from ..records.journal import dump
from ..shards.part import Part
from ..values.repeats import test_of
from ..worker.choosing.resume import WholeCollection, whole_collection_key
from ..worker.choosing.shard import part_key
from ..worker.items.params import params_of
from ..worker.recording.writer import RECORDS_ATTRIBUTE, SINGLE_PROCESS
from .baseline import RunBaseline
from .console import Console
from .devices.cluster import ClusterDevices
from .devices.run_devices import RunDevices
from .earlier.history import History
from .earlier.resume import EarlierRun
from .ending import junit_file
from .ending.facts import Facts
from .orders import WorkerOrders
from .records import RunRecords


@dataclass(eq=False, kw_only=True)
class Controller:
    """The parts of one run, made by :func:`start.start`. Its methods named ``pytest_…`` are hooks."""

    config: pytest.Config
    options: Options
    console: Console
    records: RunRecords
    devices: RunDevices
    history: History
    baseline: RunBaseline
    orders: WorkerOrders
    facts: Facts
    earlier: EarlierRun | None
    deadline: float | None = None
    """On the monotonic clock: no test starts that is expected to end after that. None where there is none."""
    header: list[str] = field(default_factory=list)
    """More lines for pytest's header."""
    problem: Problem | None = None
    """What the run is planned from, once that is known."""
    out_of_budget: int = 0
    """How many tests did not start, because of that."""
    called_off: bool = False
    """Whether a plugin has ended the run as it chose tests, in this process: none was to run."""
    broken: bool = False
    """Whether there was an error in some process that is no test's."""

    def workers_planned(self, *, asked: int, started: int) -> None:
        """Say in the header, and to the workers, how many there will be. Called before the first one starts."""
        self.orders.workers = started
        if started < asked and self.devices.engine is not None:
            self.header.append(
                f"gpupool: {asked} workers asked for, but there {'is 1 GPU' if started == 1 else f'are {started} GPUs'}"
                " now: the others start when there are more"
            )
            return
        if started < asked:
            self.header.append(
                f"gpupool: {asked} workers asked for, but the pool has {started} "
                f"slot{'' if started == 1 else 's'}: starting {started}"
            )

    def has_leased(self, record: Mapping[str, Any], devices: Sequence[Mapping[str, Any]]) -> None:
        """A worker has its lease: the record of that, and the devices, which only its host may know."""
        if isinstance(self.devices, ClusterDevices):
            self.devices.hear_of(devices)
        self.records.take(dump(record))

    def collected(
        self,
        worker: str,
        tests: Sequence[tuple[str, Mapping[str, Any]]],
        whole: WholeCollection | None,
        part: Part | None = None,
    ) -> None:
        """Tests were collected that are to run; ``whole`` has those besides that an earlier run has finished.

        In a sharded run ``part`` has those of other shards.
        """
        if part is not None:
            paths = scope.of_all_shards(self.config)
            self.records.write("shard", **part.to_record(), paths=paths)
            self.console.tell(part.text())
        params = dict(tests)
        nodeids = params if whole is None else whole.tests
        is_first = not self.records.results.collected
        self.records.write("collected", worker=worker, tests=[[nodeid, params.get(nodeid, {})] for nodeid in nodeids])
        if (
            is_first and nodeids and self.records.directory is not None
        ):  # only now it is a run that others make room for
            archive.prune(self.options.directory, self.options.keep_runs)
        if whole is not None and self.earlier is not None:
            for kept in self.earlier.kept(whole, params, self.records.items, self.records.directory):
                # The repeats of a test are judged together, when all have ended.
                is_whole = test_of(kept["test"]) is None
                result = self.baseline.undecided(kept["result"]) if is_whole else kept["result"]
                self.records.write("kept", **(kept | {"result": result}))
            self.console.tell(self.earlier.text(whole, len(params)))

    @pytest.hookimpl
    def pytest_report_header(self) -> list[str]:
        """Say what the pool is. What the pool had to leave out follows."""
        notes = [f"gpupool: {note}" for note in self.devices.notes()]
        return [self.devices.header(self.orders.workers), *self.header, *notes]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self) -> Generator[None, object, object]:
        """Know whether some plugin ends the run, not by an error of its own: pytest's next hook comes all the same."""
        try:
            return (yield)
        except (pytest.UsageError, pytest.exit.Exception):
            self.called_off = True
            raise

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without xdist the collection is here; with it, ``distribution`` hears of it."""
        if self.called_off:
            return
        whole = self.config.stash.get(whole_collection_key, None)
        part = self.config.stash.get(part_key, None)
        if session.items or whole is not None or part is not None:
            self.facts.keep(self.records.directory, each=False, aside=False)
            self.collected(SINGLE_PROCESS, [(item.nodeid, params_of(item)) for item in session.items], whole, part)

    @pytest.hookimpl
    def pytest_internalerror(self) -> None:
        """Here or in a worker, as xdist passes it on: whatever the others do, such a run is no success."""
        self.broken = True

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """What cannot be collected may hold tests that nobody knows of."""
        if report.failed:
            self.records.write("collect-error", where=report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take over the records that a report carries. A test that died with its worker has one more report."""
        for line in vars(report).pop(RECORDS_ATTRIBUTE, ()):
            record = self.records.take(line)
            if record["record"] == "end":  # by the test that ran: other plugins may rewrite the id in its report
                ended = self.records.results.get(record["test"], record["worker"])
                if ended is not None:
                    ended.reported = True
        if report.when != junit_file.UNKNOWN_PHASE or not report.failed:
            return
        test = self.records.results.get(report.nodeid, _worker_of(report))
        if test is not None:
            test.reported = True
            self.config.hook.pytest_runtest_logreport(report=junit_file.last_report(report, test))


def _worker_of(report: pytest.TestReport) -> str:
    node = getattr(report, "node", None)
    return SINGLE_PROCESS if node is None else str(node.gateway.id)
