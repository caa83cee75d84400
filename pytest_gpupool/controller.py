"""The controller's side of a run: its pool, its records, its results, and what the user is told."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from . import history, host, leases, pool, store
from .errors import EXIT_USAGE, UsageProblem
from .estimates import Known
from .journal import Journal, dump, read
from .model import Device, Size, cpu_device, iso
from .options import Options
from .recorder import ALONE, RECORDS_ATTRIBUTE, params_of
from .reports import json as json_report
from .reports import terminal
from .results import Results
from .worker import Orders


class Controller:
    """One run, seen from the process that the user started. Its methods named ``pytest_…`` are hooks."""

    def __init__(self, config: pytest.Config, *, each: bool = False) -> None:
        """Find the pool and make the run's directory.

        Raises:
            UsageProblem, RequirementNotMet: see :class:`Options`, :func:`pool.discover`, :mod:`leases`.
        """
        self.config = config
        self.options = Options.read(config)
        self.pool = pool.discover(self.options.devices, require=self.options.require)
        self.lock_dir: Path | None = None
        if not self.pool.is_cpu:
            self.lock_dir = leases.lock_directory(self.options.lock_dir)
        self.run_id = store.new_run_id()
        self.results = Results(each=each)
        self._started = time.time()
        self._header: list[str] = []
        self._warnings: list[str] = []
        self.unjournaled: set[str] = set()
        self.left: str | None = None
        """The file that lists what has no result, None where all have one."""
        self._workers = 1
        self.run_dir = self._make_run_dir()
        if self.lock_dir is not None:
            leases.locked_devices(self.pool.devices, self.lock_dir)  # a bad lock file is said now
        self._journal = Journal(None if self.run_dir is None else self.run_dir / "controller.jsonl")

    def record(self, kind: str, **values: Any) -> None:
        """Write a record of the controller's own, and fold it."""
        record = {"record": kind, **values}
        self._journal.append(dump(record))
        self.results.add(record)

    def tell(self, text: str, *, label: bool = True) -> None:
        """Show a line while the run goes on, unless the user asked for quiet."""
        reporter: Any = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and self.config.get_verbosity() >= 0:
            reporter.ensure_newline()
            reporter.write_line(f"gpupool: {text}" if label else text)

    def warn(self, text: str) -> None:
        """Show a warning at the end of the run, in any case."""
        self._warnings.append(text)

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
        """Return what earlier runs say of tests, by nodeid."""
        base, names = self.options.directory, {device.id: device.name for device in self.pool.devices}
        killed = history.of_killed_runs(base / "runs", names, skip=self.run_id)
        known, problem = history.load(base, self.kinds(), killed)
        if problem:
            self.warn(problem)
        return known

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
        )

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
        reporter.ensure_newline()
        reporter.write_line(f"gpupool: {text}", red=True)
        pytest.exit("gpupool cannot go on, see above", status)

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
        if session.items:
            tests = [[item.nodeid, params_of(item)] for item in session.items]
            self.record("collected", worker=ALONE, tests=tests)

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take over the records that a report carries."""
        for line in vars(report).pop(RECORDS_ATTRIBUTE, ()):
            record = json.loads(line)
            self.results.add(record)
            if record["record"] == "journal-problem":
                self._unjournaled(record["worker"], record["text"])

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Once every worker has ended: no incomplete run is a success, and the report is written."""
        result = yield
        if self.results.not_run and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for worker in list(self.results.workers.values()):
            if worker.exit is None:
                if self.run_dir is not None:
                    # Ctrl-C came before what it had sent was heard; folding it twice changes nothing.
                    self.results.add_all(read(self.run_dir / f"{worker.id}.jsonl"))
                how = "finished" if worker.id == ALONE else "killed"  # xdist ends at once what Ctrl-C finds running
                self.record("worker-end", worker=worker.id, ended=iso(time.time()), exit=how)
        self.record("run-end", ended=iso(time.time()), exit_status=int(session.exitstatus))
        self._journal.close()
        if self._journal.problem:
            self._unjournaled("controller", self._journal.problem)
        self._keep_history()
        self._list_what_is_left()
        self._write_json(session)
        return result

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show the metrics, the makespan, and what went wrong with the run itself."""
        terminal.show(terminalreporter, self.results, warnings=self._warnings, left=self.left)

    def _list_what_is_left(self) -> None:
        """Write the tests without a result to a file that pytest takes as an argument."""
        if not self.results.not_run or self.run_dir is None:
            return
        path, start = self.run_dir / "left.txt", self.config.invocation_params.dir
        lines = []
        for test in self.results.not_run:
            file, _, rest = test.nodeid.partition("::")
            lines.append(f"{os.path.relpath(self.config.rootpath / file, start)}::{rest}")
        try:
            store.write_whole(path, "".join(f"{line}\n" for line in dict.fromkeys(lines)))
        except OSError:
            return  # it only helps
        self.left = os.path.relpath(path, start)

    def _keep_history(self) -> None:
        if self.run_dir is None:
            return
        names = {device.id: device.name for device in json_report.pool_devices(self.pool, self.results)}
        observed = history.from_results(self.results, names)
        if observed and (problem := history.save(self.options.directory, observed)):
            self.warn(problem)

    def _unjournaled(self, writer: str, problem: str) -> None:
        if not self.unjournaled:
            self.warn(f"records could not be kept: {problem}; the reports of this run are complete all the same")
        self.unjournaled.add(writer)

    def _make_run_dir(self) -> Path | None:
        try:
            return store.create_run(self.options.directory, self.run_id)
        except UsageProblem as problem:
            if self.options.directory_given:
                raise
            # A read-only checkout is no reason not to run: reports do not need the directory.
            self._header.append(f"gpupool: {problem}; this run keeps no records")
            return None

    def _write_json(self, session: pytest.Session) -> None:
        path = self.options.json
        if path is None:
            return
        try:
            json_report.write(path, json_report.build(self._facts(session), self.pool, self.results))
        except OSError as error:
            kept = "" if self.run_dir is None else f"; the run's records are in {self.run_dir}"
            self.warn(f"the report {path} could not be written: {error.strerror}{kept}")
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = EXIT_USAGE

    def _facts(self, session: pytest.Session) -> dict[str, Any]:
        return {
            "id": self.run_id,
            "started": iso(self._started),
            "duration_s": time.time() - self._started,
            "exit_status": int(session.exitstatus),
            "command": shlex.join([*sys.argv[:1], *map(str, self.config.invocation_params.args)]),
            "rootdir": str(self.config.rootpath),
            "git": host.git(self.config.rootpath),
            "host": host.describe(),
            "software": host.software(self.pool.driver),
        }
