"""Distribution: the workers of a run under xdist, from their start to their end, as the controller sees them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import execnet
import pytest
import xdist.workermanage
from xdist.workermanage import WorkerController

from . import journal, remote, wire
from .controller import Controller
from .errors import EXIT_NO_LEASE
from .interactor import DESCRIBE, PARCEL
from .leases import locked_devices
from .model import iso
from .pool import cpu_count
from .scheduler import EachLeasedScheduling, LateScheduling, Message
from .worker import CANCELLED

_ENDING_SECONDS = 10.0  # what xdist gives its workers to end, too
_KILLING = {-1, -2, -9, -15}  # ended by SIGHUP, SIGINT, SIGKILL or SIGTERM; other signals are crashes


@dataclass(slots=True)
class _Node:
    node: WorkerController
    number: int
    leased: bool = False
    expired: bool = False
    collected: bool = False


@dataclass(slots=True, eq=False)
class Distribution:
    """xdist's hooks in the controller."""

    controller: Controller
    _nodes: dict[str, _Node] = field(default_factory=dict)
    _died: set[str] = field(default_factory=set)
    _ending: list[WorkerController] = field(default_factory=list)
    _scheduler: LateScheduling | EachLeasedScheduling | None = None
    _describer: WorkerController | None = None
    _described: bool = False
    _lines_told: set[str] = field(default_factory=set)

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_auto_num_workers(self) -> int | None:
        """``-n auto``: one worker per free slot of the pool, at least one, which then waits."""
        if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
            return None  # the user has said how many; xdist reads it
        controller = self.controller
        if controller.pool.is_cpu:
            return cpu_count()
        assert controller.lock_dir is not None
        held = locked_devices(controller.pool.devices, controller.lock_dir)
        return max(1, len(controller.pool.devices) - len(held))

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Start no more workers than there are slots. xdist reads these options in its own pytest_configure."""
        specs = xdist.workermanage.parse_tx_spec_config(config)
        for spec in specs:
            if not execnet.XSpec(spec).popen:
                raise pytest.UsageError(
                    f"gpupool: --tx {spec}: a worker on another host cannot lease this host's devices; "
                    "use -n, or switch the pool off with -p no:gpupool"
                )
        devices = self.controller.pool.devices
        config.option.tx = specs if self.controller.pool.is_cpu else specs[: len(devices)]
        self.controller.workers_planned(asked=len(specs), started=len(config.option.tx))

    @pytest.hookimpl
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Give a worker its orders before it starts."""
        taken = {known.number for known in self._nodes.values()}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        self._nodes[node.gateway.id] = _Node(node, number)
        node.process_from_remote = _unpacking(node.process_from_remote)
        node.workerinput["gpupool"] = self.controller.orders(number).to_wire()

    @pytest.hookimpl
    def pytest_xdist_getremotemodule(self) -> Any:
        """Have our own program run in the worker, so that the lease comes before pytest."""
        return remote

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> LateScheduling | EachLeasedScheduling:
        """Our workers speak our scheduler's language only."""
        if config.getvalue("dist") == "each":
            self._scheduler = EachLeasedScheduling(config, self, log)
        else:
            self._scheduler = LateScheduling(config, self, self._has_failed)
        return self._scheduler

    @pytest.hookimpl
    def pytest_xdist_node_collection_finished(self, node: WorkerController) -> None:
        """A worker has collected: from now on it hears commands."""
        if (known := self._nodes.get(node.gateway.id)) is not None:
            known.collected = True

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The end of a test's call is the moment to choose the next test."""
        # Neither a subtest's report nor that of an attempt which will be repeated is the end of the call.
        ended = type(report) is pytest.TestReport and report.outcome in ("passed", "failed", "skipped")
        node = getattr(report, "node", None)
        if ended and report.when == "call" and node is not None and isinstance(self._scheduler, LateScheduling):
            self._scheduler.call_has_ended(node)

    @pytest.hookimpl(trylast=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """A worker has ended: end its process too, since its device is only free then."""
        known = self._nodes.pop(node.gateway.id, None)
        if known is None:
            return
        node.gateway.exit()
        self._ending.append(node)
        if error:
            self._died.add(node.gateway.id)
        if self._describer is node and not self._described:
            self._ask_for_params(next((other.node for other in self._nodes.values() if other.collected), None))
        if not error and isinstance(self._scheduler, LateScheduling):
            self._scheduler.remove_node(node)  # xdist does it for those only that died
        cancelled = CANCELLED in getattr(node, "workeroutput", {})
        how = _how_it_ended(node) if error else "cancelled" if cancelled else "finished"
        self.controller.record("worker-end", worker=node.gateway.id, ended=iso(time.time()), exit=how)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Leave no worker behind. xdist waits for those only that were not told to exit before."""
        deadline = time.monotonic() + _ENDING_SECONDS
        for node in self._ending:
            if _exit_code(node, max(0.0, deadline - time.monotonic())) is None:
                node.gateway._io.popen.kill()
                _exit_code(node, _ENDING_SECONDS)

    # What the scheduler asks (scheduler.Nodes)

    def live(self) -> list[WorkerController]:
        """Every worker that was started and has not ended, with or without a lease."""
        return [known.node for known in self._nodes.values()]

    def collected(self, node: WorkerController, tests: Sequence[str]) -> None:
        """A worker's collection is what the run will run; its tests' parameters follow on demand."""
        self.controller.record("collected", worker=node.gateway.id, tests=[[nodeid, {}] for nodeid in tests])
        self._ask_for_params(node)

    def crashed(self, node: WorkerController, queue: Sequence[str]) -> tuple[str | None, list[str]]:
        """A worker died; say which test of its queue it was running, and blame that one, and which had ended."""
        worker = node.gateway.id
        begun = self._begun(worker)
        over = [nodeid for nodeid in queue if self._has_result(worker, nodeid, begun)]
        left = [nodeid for nodeid in queue if nodeid not in over and (begun is None or nodeid in begun)]
        running = left[0] if left else None
        if running is not None:
            # Metrics of a test that died with its worker are in the journal alone.
            self.controller.results.add_all([] if begun is None else begun[running])
            self.controller.record(
                "crash",
                worker=worker,
                test=running,
                ended=iso(time.time()),
                message=f"worker {worker} died ({_exit_words(node)}) while it ran this test",
            )
        return running, over

    def left_out(self, node: WorkerController, difference: str) -> None:
        """A worker's collection differs from the run's: it gets no tests."""
        text = f"{node.gateway.id} collected other tests than the first worker and is left out:\n{difference}"
        if len(self._nodes) == 1:
            self.controller.stop(f"{text}\nNo other worker is left.", pytest.ExitCode.TESTS_FAILED)
        self.controller.warn(text)

    def quit(self, node: WorkerController, queue: Sequence[str]) -> None:
        """A worker ended its session before its tests had ended, as pytest.exit makes it: that ends the run."""
        if node.workeroutput["shouldfail"] or node.workeroutput["shouldstop"]:
            return  # -x, for instance, of which xdist knows
        if node.workeroutput["exitstatus"] == pytest.ExitCode.INTERRUPTED:
            return
        status = node.workeroutput["exitstatus"] or pytest.ExitCode.TESTS_FAILED
        self.controller.stop(f"{node.gateway.id} ended the session in {queue[0]}", status)

    def heard(self, node: WorkerController, message: Message) -> None:
        """A worker spoke of its lease."""
        known = self._nodes.get(node.gateway.id)
        if known is None:
            return  # it died after it spoke
        match message["kind"]:
            case "leased":
                known.leased, known.expired = True, False
                self.controller.results.add(message["record"])
                self._tell_joined(message["record"])
            case "waiting":
                self._tell_waiting(node.gateway.id, message["blockers"])
            case "params":
                self._described = True
                self.controller.record("collected", worker=node.gateway.id, tests=json.loads(message["text"]))
            case "expired":
                known.expired = True
                self._give_up_unless_leased(message["blockers"])
            case "failed" if any(other.leased for other in self._nodes.values()):
                # The others' work is not to be lost for it.
                self.controller.warn(f"{node.gateway.id} is left out: {message['text']}")
                node.shutdown()
            case "failed":
                self.controller.stop(message["text"], message["status"])

    def replaces(self, node: WorkerController, dead: WorkerController) -> None:
        """With ``--dist each`` a worker goes on with a dead one's tests."""
        self.controller.record("replaces", worker=node.gateway.id, dead=dead.gateway.id)

    def _ask_for_params(self, node: WorkerController | None) -> None:
        self._describer = node
        if node is not None:
            with contextlib.suppress(OSError):  # it has died, which is heard next
                node.sendcommand(DESCRIBE)

    def _has_failed(self, node: WorkerController) -> bool:
        return node.gateway.id in self._died

    def _begun(self, worker: str) -> dict[str, list[dict[str, Any]]] | None:
        """Return what a worker's journal has of the last attempt at each test, None where there is no journal."""
        if self.controller.run_dir is None or worker in self.controller.unjournaled:
            return None
        begun: dict[str, list[dict[str, Any]]] = {}
        for record in journal.read(self.controller.run_dir / f"{worker}.jsonl"):
            if record["record"] == "start":
                begun[record["test"]] = []
            if record.get("test") in begun:
                begun[record["test"]].append(record)
        return begun

    def _has_result(self, worker: str, nodeid: str, begun: dict[str, list[dict[str, Any]]] | None) -> bool:
        """Say whether the result of a worker's last attempt at a test has come, if not the word that it is over."""
        result = self.controller.results.get(nodeid, worker)
        if result is None or not result.finished or result.worker != worker:
            return False
        # A rerun may have begun since, of which only the journal knows.
        return begun is None or nodeid not in begun or begun[nodeid][0]["started"] == result.started

    def _tell_joined(self, record: Message) -> None:
        if record["lease_wait_s"] >= 1.0:
            waited, devices = record["lease_wait_s"], ", ".join(record["devices"])
            self.controller.tell(f"{record['worker']} leased {devices} after {waited:.0f} s")

    def _tell_waiting(self, worker: str, blockers: list[str]) -> None:
        self.controller.tell(f"{worker} waits for a device")
        for line in blockers:
            # Every waiting worker meets the same holders; their times differ by moments.
            key = line.rpartition(" for ")[0] or line
            if key not in self._lines_told:
                self._lines_told.add(key)
                self.controller.tell(f"  {line}", label=False)

    def _give_up_unless_leased(self, blockers: list[str]) -> None:
        # With --dist each every worker has tests of its own; else one that has a lease runs them all.
        enough = any if isinstance(self._scheduler, EachLeasedScheduling) else all
        if not enough(known.expired for known in self._nodes.values()):
            return
        self.controller.stop(self.controller.no_lease_text(blockers), EXIT_NO_LEASE)


def _unpacking(process: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return what xdist calls with each event of a worker, for parcels of them."""

    def unpack(event: Any) -> None:
        if isinstance(event, tuple) and event[0] == PARCEL:
            for inner in wire.loads(event[1]):
                process(inner)
        else:
            process(event)

    return unpack


def _exit_code(node: WorkerController, seconds: float = 2.0) -> int | None:
    """Wait that long for the worker's process to end; return its exit status, None where it goes on."""
    process = node.gateway._io.popen
    try:
        code: int | None = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    return code


def _how_it_ended(node: WorkerController) -> str:
    return "killed" if _exit_code(node) in _KILLING else "crashed"


def _exit_words(node: WorkerController) -> str:
    code = _exit_code(node)
    if code is None:
        return "its process still runs"
    return f"signal {-code}" if code < 0 else f"exit status {code}"
