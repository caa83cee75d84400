"""The controller's side of a run: its pool, its records, its results, and what the user is told."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ..devices import pool
from ..leases import lease
from ..options.options import Options
from ..records import archive, durations, store
from ..records.estimates import Known
from ..records.journal import Journal, dump, read
from ..records.results import Results
from ..values.device import Device, Size, cpu_device
from ..values.errors import UsageProblem
from ..values.orders import Orders
from ..verdicts import baseline_file
from ..verdicts.judge import Judge
from ..worker.earlier import Left, left_key
from ..worker.items import params_of
from ..worker.recorder import ALONE, RECORDS_ATTRIBUTE
from . import testcases
from .facts import Facts
from .resume import Resumption


class Controller:
    """One run, seen from the process that the user started. Its methods named ``pytest_…`` are hooks."""

    def __init__(self, config: pytest.Config, *, each: bool = False, distributed: bool) -> None:
        """Find the pool and make the run's directory. ``distributed``: other processes collect and run the tests.

        Raises:
            UsageProblem, RequirementNotMet: see :class:`Options`, :func:`pool.discover`, :mod:`leases`,
                :class:`Resumption`.
        """
        self.config = config
        self.options = Options.read(config)
        if each and self.options.resume is not None:
            raise UsageProblem("--gpupool-resume and --dist each do not go together: resume without --dist each")
        self.pool = pool.discover(self.options.devices, require=self.options.require)
        self.lock_dir: Path | None = None
        if not self.pool.is_cpu:
            self.lock_dir = lease.lock_directory(self.options.lock_dir)
        self.run_id = store.new_run_id()
        self.results = Results(each=each)
        self.warnings: list[str] = []
        self._resumption = self._resume()
        resumed = None if self._resumption is None else self._resumption.run
        self.facts = Facts(config, self.run_id, self.pool, resumed_from=resumed, baseline=self.options.baseline)
        self._header: list[str] = []
        self.unjournaled: set[str] = set()
        self.broken = False
        """Whether there was an error in some process that is no test's."""
        self._workers = 1
        self._known: dict[str, Known] | None = None
        self._knowing = threading.Lock()
        self.run_dir = self._make_run_dir()
        if self.lock_dir is not None:
            lease.locked_devices(self.pool.devices, self.lock_dir)  # a bad lock file is said now
        self.journal = Journal(None if self.run_dir is None else self.run_dir / archive.CONTROLLER)
        self.journal.open()
        self._baseline = self._read_baseline()
        self._earlier = self._tell_of_earlier_run()
        if self.run_dir is not None:
            archive.prune(self.options.directory, self.options.keep_runs)
        if distributed:
            self.facts.keep(self.run_dir, each=each, aside=True)

    def record(self, kind: str, **values: Any) -> None:
        """Write a record of the controller's own, and fold it."""
        record = {"record": kind, **values}
        self.journal.append(dump(record))
        self.results.add(record)

    def tell(self, text: str, *, label: bool = True) -> None:
        """Show a line while the run goes on, unless the user asked for quiet."""
        reporter: Any = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and self.config.get_verbosity() >= 0:
            self._begin_line(reporter)
            reporter.write_line(f"gpupool: {text}" if label else text)

    def warn(self, text: str) -> None:
        """Show a warning at the end of the run, in any case."""
        self.warnings.append(text)

    def workers_planned(self, *, asked: int, started: int) -> None:
        """Remember for the header how many workers there will be."""
        self._workers = started
        if started < asked:
            self._header.append(
                f"gpupool: {asked} workers asked for, but the pool has {started} "
                f"slot{'' if started == 1 else 's'}: starting {started}"
            )

    def places(self) -> int:
        """Return how many workers could lease a device each, 0 where CPU slots cap nothing."""
        return len(self.usable()) * self.options.slots

    def usable(self) -> list[Device]:
        """Return the pool's devices that have not left it."""
        return [device for device in self.pool.devices if device.id not in self.results.quarantined]

    def kinds(self) -> list[str]:
        """Return the names of the kinds of device that the pool has, the most frequent first."""
        return [name for name, _ in Counter(device.name for device in self.pool.slots(1)).most_common()]

    def known(self) -> dict[str, Known]:
        """Return what earlier runs say of tests, by nodeid; they are read once."""
        with self._knowing:  # the live table asks from a thread of its own
            return self._know()

    def _know(self) -> dict[str, Known]:
        if self._known is None:
            base, names = self.options.directory, {device.id: device.name for device in self.pool.devices}
            killed = durations.of_killed_runs(base, names, skip=self.run_id)
            self._known, problem = durations.load(base, self.kinds(), killed)
            if problem:
                self.warn(problem)
        return self._known

    def returns(self) -> Size | None:
        """Return what may be left in use on a device whose worker died, None where that cannot be told."""
        return self.options.busy_memory if self.options.slots == 1 else None

    def quarantine(self, device: str, reason: str) -> bool:
        """Take a device out of the pool; return whether it was still in it."""
        if device in self.results.quarantined:
            return False
        self.record("quarantined", device=device, reason=reason)
        label = next(known.label for known in self.pool.devices if known.id == device)
        self.warn(f"{label} ({device}) was taken out of the pool: it {reason}")
        return True

    def orders(self, places: Sequence[int], *, gpus: int = 1, memory: int = 0, avoid: Sequence[str] = ()) -> Orders:
        """Return the orders of a worker at these places among the pool's devices, or CPU slots."""
        devices = tuple(self.usable()) if self.pool.devices else tuple(map(cpu_device, places))
        return Orders(
            run=self.run_id,
            run_dir=None if self.run_dir is None else str(self.run_dir),
            directory=str(self.options.directory),
            lock_dir=None if self.lock_dir is None else str(self.lock_dir),
            devices=devices,
            number=places[0],
            wait=self.options.wait,
            export=self.options.export,
            busy_memory=self.options.busy_memory,
            threads=max(1, pool.cpu_count() // self._workers),
            gpus=gpus,
            slots=self.options.slots,
            memory=memory,
            avoid=tuple(avoid),
            pool=len(self.pool.devices),
            earlier=self._earlier,
            baseline=self._baseline,
            rtol=self.options.rtol,
            fail_on=tuple(sorted(self.options.fail_on)),
            sample=self.options.sample,
        )

    def judge(self) -> Judge:
        """Return what judges metrics as the workers do."""
        return Judge(self._baseline, rtol=self.options.rtol, fail_on=self.options.fail_on)

    def collected(self, worker: str, tests: Sequence[tuple[str, Mapping[str, Any]]], left: Left | None) -> None:
        """Tests were collected; ``left`` says which others an earlier run had finished."""
        params = dict(tests)
        everything = params if left is None else left.tests
        self.record("collected", worker=worker, tests=[[nodeid, params.get(nodeid, {})] for nodeid in everything])
        if left is not None and self._resumption is not None:
            judge = self.judge()
            for values in self._resumption.kept(left, tests=params):
                self.record("kept", **(values | {"result": judge.rejudge(values["test"], values["result"])}))
            self.tell(self._resumption.text(left, len(params)))

    def take(self, line: str) -> None:
        """Fold a record that a worker sent."""
        record = json.loads(line)
        self.results.add(record)
        if record["record"] == "journal-problem":
            self.lost_records(record["worker"], record["text"])

    def begun(self, worker: str) -> dict[str, list[dict[str, Any]]] | None:
        """Return what a worker's journal has of the last attempt at each test, None where there is no journal."""
        if self.run_dir is None or worker in self.unjournaled:
            return None
        begun: dict[str, list[dict[str, Any]]] = {}
        for record in read(self.run_dir / f"{worker}.jsonl"):
            if record["record"] == "start":
                begun[record["test"]] = []
            if record.get("test") in begun:
                begun[record["test"]].append(record)
        return begun

    def has_result(self, worker: str, nodeid: str, begun: Mapping[str, Sequence[Mapping[str, Any]]] | None) -> bool:
        """Say whether the result of a worker's last attempt at a test has come, if not the word that it is over."""
        result = self.results.get(nodeid, worker)
        if result is None or not result.finished or result.worker != worker:
            return False
        # A rerun may have begun since, of which only the journal knows.
        return begun is None or nodeid not in begun or begun[nodeid][0]["started"] == result.started

    def no_lease_text(self, blockers: list[str]) -> str:
        """Return what to say when nothing came free."""
        lines = "".join(f"\n  {line}" for line in blockers)
        return (
            f"no device came free in {self.options.wait:g} s.{lines}\n"
            "Wait longer (--gpupool-wait), choose other devices (--gpupool-devices), or end what holds them."
        )

    def stop(self, text: str, status: int) -> NoReturn:
        """End the run now, for a reason that is shown even where the user asked for quiet."""
        reporter: Any = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is None:
            pytest.exit(f"gpupool: {text}", status)
        self._begin_line(reporter)
        reporter.write_line(f"gpupool: {text}", red=True)
        pytest.exit("gpupool cannot go on, see above", status)

    def lost_records(self, writer: str, problem: str) -> None:
        """Say, once, that from now on records of this writer are not on disk."""
        if not self.unjournaled:
            self.warn(f"records could not be kept: {problem}; the reports of this run are complete all the same")
        self.unjournaled.add(writer)

    @pytest.hookimpl
    def pytest_report_header(self) -> list[str]:
        """Say what the pool is. What the pool had to leave out follows."""
        workers = f"{self._workers} worker{'' if self._workers == 1 else 's'}"
        first = f"gpupool: {self.pool.describe()}, {workers}"
        if not self.pool.is_cpu:
            share = "one device each" if self.options.slots == 1 else f"up to {self.options.slots} on a device"
            first += f", {share}, CUDA_VISIBLE_DEVICES by {self.options.export}"
        return [first, *self._header, *(f"gpupool: {note}" for note in self.pool.notes)]

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without xdist the collection is here; with it, ``distribution`` hears of it."""
        left = self.config.stash.get(left_key, None)
        if session.items or left is not None:
            self.facts.keep(self.run_dir, each=False, aside=False)
            self.collected(ALONE, [(item.nodeid, params_of(item)) for item in session.items], left)

    @pytest.hookimpl
    def pytest_internalerror(self) -> None:
        """Here or in a worker, as xdist passes it on: whatever the others do, such a run is no success."""
        self.broken = True

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """What cannot be collected may hold tests that nobody knows of."""
        if report.failed:
            self.record("collect-error", where=report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take over the records that a report carries. A test that died with its worker has one more report."""
        for line in vars(report).pop(RECORDS_ATTRIBUTE, ()):
            self.take(line)
        if report.when not in ("teardown", testcases.UNKNOWN_PHASE):
            return
        test = self.results.get(report.nodeid, _worker_of(report))
        if test is not None and report.when == "teardown":
            test.reported = True
        elif test is not None and report.when == testcases.UNKNOWN_PHASE and report.failed:
            self.config.hook.pytest_runtest_logreport(report=testcases.last_report(report, test))

    def _begin_line(self, reporter: Any) -> None:
        reporter.ensure_newline()
        writer = self.config.get_terminal_writer()
        if writer.width_of_current_line:  # under xdist ensure_newline knows nothing of the dots
            writer.line()

    def _resume(self) -> Resumption | None:
        if self.options.resume is None:
            return None
        resumption = Resumption(self.options.directory, self.options.resume)
        self.config.add_cleanup(resumption.close)
        for problem in resumption.problems:
            self.warn(f"run {resumption.run}: {problem}")
        return resumption

    def _tell_of_earlier_run(self) -> str | None:
        if self._resumption is None:
            return None
        try:
            if self.run_dir is None:
                raise OSError(None, "this run keeps no records")
            return str(self._resumption.write(self.run_dir))
        except OSError as error:
            raise UsageProblem(f"run {self._resumption.run} cannot be resumed here: {error.strerror}") from None

    def _read_baseline(self) -> str | None:
        path = self.options.baseline
        if path is None:
            return None
        copy = baseline_file.copied(path, self.run_dir, may_be_missing=self.options.update_baseline)
        return None if copy is None else str(copy)

    def _make_run_dir(self) -> Path | None:
        try:
            return store.create_run(self.options.directory, self.run_id)
        except UsageProblem as problem:
            # A read-only checkout is no reason not to run: reports do not need the directory.
            self._header.append(f"gpupool: {problem}; this run keeps no records")
            return None


def _worker_of(report: pytest.TestReport) -> str:
    node = getattr(report, "node", None)
    return ALONE if node is None else str(node.gateway.id)
