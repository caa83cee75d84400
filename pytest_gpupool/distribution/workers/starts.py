"""Starts: which worker is started with what orders."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from xdist.workermanage import WorkerController

from ...engines import node as engine_node
from ...engines.engine import Refused
from ...engines.process import EngineProcess, start_of
from ...foreign import execnet_names, xdist_session
from ...foreign.xdist_session import XdistSession
from ...forkserver import modules
from ...forkserver.client import ForkServer, Unavailable
from ...forkserver.forked import ForkedProcess
from ...processes import marks
from ...processes.guardian import Guardian
from ...run.controller import Controller
from ...values.errors import UsageProblem
from ...worker import remote
from .engine_process import EngineWorkerProcess
from .expected import ExpectedWorkers
from .member import Member, Shape
from .process_ends import LocalProcess, WorkerProcess
from .roster import Roster


class WorkerStarts:
    """Starts workers, and gives each its orders, also those that xdist starts: at first, and in a dead one's place."""

    def __init__(self, controller: Controller, session: XdistSession, roster: Roster) -> None:
        self._controller = controller
        self._session = session
        self._roster = roster
        self._expected = ExpectedWorkers()
        self._guardian = Guardian()
        controller.config.add_cleanup(self._guardian.dismiss)
        self._server: ForkServer | None = None

    def prepare(self) -> None:
        """Workers are about to be started: have a process import meanwhile what each of them needs."""
        if self._controller.devices.engine is not None:
            return
        if not marks.can_be_borne():
            return  # the kernel shows the environment that a program was started with, and not that of a fork
        with suppress(Unavailable):
            self._server = ForkServer(modules.of_workers(), xdist_session.search_path(), execnet_names.PROGRAM)
            self._controller.config.add_cleanup(self._server.close)

    def begin(self) -> None:
        """The first is about to be started."""
        run = self._controller.records.run_id
        self._session.mark_starts(marks.WORKER, lambda worker: marks.of_worker(run, worker)[marks.WORKER])
        self._session.start_by(self._fork if self._controller.devices.engine is None else self._place)

    def start(self, shape: Shape) -> None:
        """Start a worker for the planner; xdist calls ``pytest_configure_node`` for it, and that :meth:`enlist`."""
        if self._session.is_shutting_down:
            return
        spec = self._session.spec_of_one_more()
        self._expected.expect(spec.id, shape)
        self._session.start(spec)

    def will_be_replaced(self, dead: Member) -> None:
        """A worker has died, and xdist is about to start another in its place."""
        self._expected.expect_replacement(dead)

    def enlist(self, node: WorkerController) -> Member:
        """A worker is about to be started: decide what it shall hold, and give it its orders."""
        shape = self._expected.shape_of(node.gateway.id)
        process = self._process_of(node)
        member = Member(node, process, self._roster.free_places(shape.gpus), shape)
        member.has_to_wait = isinstance(process, EngineWorkerProcess)  # nobody knows how long, until it is placed
        self._roster.add(member)
        orders = self._controller.orders.at(
            member.places,
            gpus=shape.gpus,
            memory=shape.memory,
            avoid=shape.avoid,
            is_alone=shape.is_alone,
            retried=self._retried(),
        )
        node.workerinput["gpupool"] = orders.to_wire()
        node.workerinput["gpupool_root"] = str(Path(remote.__file__).parents[2])  # where the package lies
        node.workerinput["gpupool_files"] = self._controller.orders.files()
        if isinstance(process, LocalProcess):
            self._guardian.watch(process.worker)
        return member

    def _process_of(self, node: WorkerController) -> WorkerProcess:
        process = execnet_names.process_of(node.gateway)
        if isinstance(process, EngineProcess):
            return EngineWorkerProcess(process)
        return LocalProcess(node, self._controller.records.run_id)

    def _place(self, worker: str) -> EngineProcess:
        """Have the engine place a worker, some time."""
        engine = self._controller.devices.engine
        assert engine is not None
        shape = self._expected.shape_of(worker)
        self._expected.expect(worker, shape)  # asked for again when it gets its orders
        gpus = 0 if self._controller.devices.pool.is_cpu else shape.gpus
        start = start_of(
            self._controller.records.run_id,
            worker,
            ["-u", "-c", execnet_names.PROGRAM],
            None if engine.sends_code else str(Path.cwd()),
        )
        try:
            link = engine.launch(worker, gpus, engine_node.command())
        except UsageProblem as problem:
            link = Refused(str(problem))  # that it was, is heard as of others that never begin
        return EngineProcess(link, start)

    def _fork(self, worker: str) -> ForkedProcess | None:
        """Return a worker's process; none where it is to be started in the usual way, which is slower."""
        if self._server is None:
            return None
        try:
            return self._server.start()
        except Unavailable:
            return None

    def _retried(self) -> list[str]:
        """Return the causes for which others try a worker's tests again: with --dist each its tests are its own."""
        if self._controller.records.results.each:
            return []
        return [cause for cause, most in self._controller.options.retries.items() if most]
