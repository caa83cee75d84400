"""Names of pytest, xdist, execnet and torch that are not theirs to keep: this fails when one of them goes.

The package has them in the wing ``foreign``.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import io
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import execnet
import pytest
import xdist.plugin
import xdist.remote
import xdist.workermanage
from _pytest import unittest as pytest_unittest
from _pytest._io import TerminalWriter
from _pytest.junitxml import LogXML
from _pytest.runner import SetupState
from _pytest.terminal import TerminalReporter
from execnet import Group
from xdist.dsession import DSession
from xdist.scheduler import EachScheduling
from xdist.workermanage import NodeManager, WorkerController

import pytest_gpupool
from pytest_gpupool.foreign import pytest_names, xdist_protocol
from pytest_gpupool.foreign.execnet_names import PROGRAM, another_like, process_of, start_by
from pytest_gpupool.foreign.xdist_worker import SHUTDOWN, prepare

PACKAGE = Path(pytest_gpupool.__file__).parent

AT_HOME_ONLY = (
    *("_io", "allocate_id", "_execmodel", "_sys_path"),
    "torun",
    *("_down", "process_from_remote", "_removed2pending"),
    *("_active_nodes", "_handlefailures", "nodemanager", "setup_node", "shuttingdown", "worker_collectionfinish"),
    *("_parser", "_anonymous", "_inidict", "_ensure_unconfigure", "_excinfo", "_fixtureinfo", "name2fixturedefs"),
    *("node_reporters", "width_of_current_line", "_tw", "_current_line", "_add_stats", "_inicfg"),
)
"""Names of xdist's, execnet's and pytest's that no wing but foreign knows."""


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def has(holder: Any, *lines: str) -> bool:
    """Whether the source of a class or function has all of these."""
    source = inspect.getsource(holder)
    return all(line in source for line in lines)


def attributes(path: Path) -> set[str]:
    """The names that a module looks up in others' objects, by ``getattr`` too."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return texts | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_they_have_one_home() -> None:
    """Each of these names occurs in one module, of the wing foreign."""
    known = {path: attributes(path) for path in PACKAGE.rglob("*.py")}
    knows = {name: [path for path, names in known.items() if name in names] for name in AT_HOME_ONLY}
    assert {name: [path.parent.name for path in found] for name, found in knows.items()} == {
        name: ["foreign"] for name in AT_HOME_ONLY
    }


class TestXdistsWorker:
    """What the interactor builds on."""

    INTERACTOR = xdist.remote.WorkerInteractor

    def test_its_program(self) -> None:
        """The class that ours is one of, and what its own program does before it."""
        methods = ("handle_command", "sendevent", "pytest_collection_finish", "pytest_runtest_logreport", "steal")
        assert all(hasattr(self.INTERACTOR, method) for method in methods)
        assert parameters(self.INTERACTOR) == ["config", "channel"]
        assert parameters(xdist.remote.setup_config) == ["config", "basetemp"]
        assert has(xdist.remote.setup_config, "config.option.looponfail = False", "config.option.usepdb = False")
        source = inspect.getsource(xdist.remote)
        steps = ("setup_config(config, ", "config.workerinput = workerinput", "config.workeroutput = {}")
        assert all(step in source for step in steps)
        assert all(step in inspect.getsource(prepare) for step in steps)

    def test_its_environment(self) -> None:
        """Is set before pytest starts, by each of these names."""
        given = xdist_protocol.worker_environment({"testrunuid": "1a", "workerid": "gw0", "workercount": 2})
        assert given == {
            "PYTEST_XDIST_TESTRUNUID": "1a",
            "PYTEST_XDIST_WORKER": "gw0",
            "PYTEST_XDIST_WORKER_COUNT": "2",
        }
        assert re.findall(r'^    os.environ\["(PYTEST_XDIST_\w+)"\] = ', inspect.getsource(xdist.remote), re.M) == [
            *given
        ]

    @pytest.mark.parametrize(
        "event",
        [
            xdist_protocol.LOGSTART,
            xdist_protocol.TESTREPORT,
            xdist_protocol.LOGFINISH,
            xdist_protocol.TEST_COMPLETE,
            xdist_protocol.INTERNAL_ERROR,
            xdist_protocol.UNSCHEDULED,
            xdist_protocol.WORKER_FINISHED,
        ],
    )
    def test_its_events(self, event: str) -> None:
        """Are sent under these names, and heard under them."""
        assert f'"{event}"' in inspect.getsource(self.INTERACTOR)
        assert f'"{event}"' in inspect.getsource(WorkerController.process_from_remote)
        assert hasattr(DSession, f"worker_{event}")

    def test_its_state(self) -> None:
        """The queue of tests, the one that runs, the session."""
        assert has(self.INTERACTOR, "self.torun", "self.item_index", "self.session", "self.channel", "self.config")
        assert all(hasattr(xdist.remote.TestQueue, method) for method in ("get", "put", "lock"))
        assert has(xdist.remote.TestQueue.lock, "yield self._items", "_has_items_event")

    def test_its_commands(self) -> None:
        """A name and what belongs to it, or the mark that the channel has ended."""
        assert SHUTDOWN is xdist.remote.Marker.SHUTDOWN
        assert has(self.INTERACTOR.handle_command, "command is Marker.SHUTDOWN", "name, kwargs = command")
        assert parameters(WorkerController.sendcommand) == ["self", "name", "kwargs"]
        assert has(WorkerController.sendcommand, "self.channel.send((name, kwargs))")
        assert has(WorkerController.send_runtest_some, '"runtests", indices=indices')
        assert has(WorkerController.send_steal, '"steal", indices=indices')

    def test_its_goodbye(self) -> None:
        """A generator around pytest's own end of the session."""
        assert inspect.isgeneratorfunction(self.INTERACTOR.pytest_sessionfinish)
        assert parameters(self.INTERACTOR.pytest_sessionfinish) == ["self", "exitstatus"]
        assert has(self.INTERACTOR.pytest_sessionfinish, '"workerfinished"', "hookimpl(hookwrapper=True)")


class TestXdistsController:
    """What the wing distribution builds on."""

    def test_a_workers_orders(self) -> None:
        """They are asked for before the worker starts, which gets them with its program."""
        assert callable(xdist.workermanage.parse_tx_spec_config)
        assert has(WorkerController, "pytest_xdist_getremotemodule", "self.workerinput, args, option_dict")
        source = inspect.getsource(WorkerController)
        assert source.index("pytest_configure_node(") < source.index("self.channel.setcallback(")

    def test_what_a_worker_says(self) -> None:
        """An attribute of ours is called with it, or with the mark that the channel has ended."""
        assert xdist.workermanage.Marker.END is not None
        assert has(WorkerController, "self.channel.setcallback(self.process_from_remote, endmarker=Marker.END)")
        heard = WorkerController.process_from_remote
        assert parameters(heard) == ["self", "eventcall"]
        assert has(heard, "eventname, kwargs = eventcall", "if eventcall is Marker.END", "if not self._down:")
        assert has(heard, 'self.workeroutput = kwargs["workeroutput"]', '"workerfinished", node=self')

    def test_our_messages_travel_as_its_event(self) -> None:
        """From a worker, or by its queue from the controller's own threads; only the scheduler hears them."""
        assert has(WorkerController.process_from_remote, 'eventname == "unscheduled"')
        assert parameters(DSession.worker_unscheduled) == ["self", "node", "indices"]
        assert has(DSession.worker_unscheduled, "remove_pending_tests_from_node(node, indices)")
        assert has(DSession.loop_once, "self.queue.get", "callname, kwargs = eventcall", '"worker_" + callname')

    def test_a_warning(self) -> None:
        """It is made again from what a worker says of it."""
        heard = WorkerController.process_from_remote
        assert has(heard, 'eventname == "warning_recorded"', "unserialize_warning_message(\n", '"warning_message_data"')
        assert parameters(xdist.workermanage.unserialize_warning_message) == ["data"]

    def test_a_crash_too_many(self) -> None:
        """Our hook is called before it is counted, and all workers are told to end where it is one too many."""
        source = inspect.getsource(DSession.worker_errordown)
        told, counted = source.index("pytest_testnodedown("), source.index("self._failed_nodes_count += 1")
        assert told < counted < source.index("_max_worker_restart == 0") < source.index("self.triggershutdown()")

    def test_a_worker_that_is_said_to_have_finished(self) -> None:
        """All that xdist reads of its last words is among those that we put into its mouth."""
        read = re.findall(r'workeroutput\["(\w+)"\]', inspect.getsource(DSession.worker_workerfinished))
        _, said = xdist_protocol.worker_finished(more=1)
        assert read
        assert {*read, "more"} <= set(said["workeroutput"])

    def test_its_session(self) -> None:
        """A plugin with a name."""
        assert has(xdist.plugin, '.register(session, "dsession")')
        assert has(DSession.__init__, "self._active_nodes", "self.nodemanager", "self.shuttingdown", "self.queue")
        assert parameters(DSession.worker_collectionfinish) == ["self", "node", "ids"]
        assert has(DSession.worker_collectionfinish, "self._session.testscollected = len(ids)")
        assert parameters(DSession._handlefailures) == ["self", "rep"]
        assert has(DSession._handlefailures, "self.shouldstop", "self.maxfail")

    def test_how_it_starts_one_more_worker(self) -> None:
        """As we do it, and xdist after a crash."""
        steps = (
            "spec.id = None",
            "self.nodemanager.group.allocate_id(spec)",
            "self.nodemanager.setup_node(spec, self.queue.put)",
            "self._active_nodes.add(clone)",
        )
        assert has(DSession._clone_node, *steps)
        assert has(NodeManager.__init__, "self.specs", "self.group")
        assert parameters(NodeManager.setup_node) == ["self", "spec", "putevent"]

    def test_how_it_reports_a_crash(self) -> None:
        """As we report a test that took too long."""
        hooks = ("pytest_handlecrashitem(", "pytest_runtest_logreport(report=rep)")
        assert has(
            DSession.handle_crashitem,
            f'when="{xdist_protocol.UNKNOWN_PHASE}"',
            "rep.node = worker",
            "location=(",
            *hooks,
        )

    def test_its_schedulers(self) -> None:
        """Whose ``--dist each`` is used."""
        assert hasattr(EachScheduling, "remove_pending_tests_from_node")
        assert has(
            EachScheduling, "self.node2collection", "self.node2pending", "self._removed2pending", "self._started"
        )


class TestExecnet:
    """What the ends and the starts of workers build on."""

    def test_a_gateways_process(self) -> None:
        """Is its io's popen."""
        group = Group()
        gateway: Any = group.makegateway("popen")
        try:
            assert process_of(gateway).poll() is None
            assert process_of(gateway).pid > 0
            assert isinstance(gateway.id, str)
        finally:
            group.terminate(timeout=10)
        assert process_of(gateway).wait(timeout=10) is not None

    def test_whose_gateways_are_started_by_others(self) -> None:
        """What is started is what is wanted; another Python is execnet's to start."""
        group = Group()
        started = []

        def start() -> Any:
            pipe = subprocess.PIPE
            started.append(subprocess.Popen([sys.executable, "-u", "-c", PROGRAM], stdin=pipe, stdout=pipe))
            return started[-1]

        start_by(group, start)
        python = str(Path(sys.executable).resolve())
        gateways: list[Any] = [group.makegateway("popen"), group.makegateway(f"popen//python={python} -s")]
        try:
            assert [process_of(gateway) in started for gateway in gateways] == [True, False]
            assert all(gateway.remote_exec("channel.send(7)").receive() == 7 for gateway in gateways)
        finally:
            group.terminate(timeout=10)

    def test_a_group_holds_gateways_that_have_ended_and_is_held_itself(self) -> None:
        """Until it has ended one of them itself."""
        assert has(
            Group, "atexit.register(self._cleanup_atexit)", "while self:", "self._gateways_to_join.append(gateway)"
        )

    def test_a_copy_of_a_spec_gets_an_id_of_its_own(self) -> None:
        """And leaves the first one's alone."""
        group: Any = Group()
        spec: Any = execnet.XSpec("popen")
        group.allocate_id(spec)
        other = another_like(spec, group)
        assert other.popen
        assert None is not spec.id != other.id is not None

    def test_the_id_of_a_spec_is_its_gateways(self) -> None:
        """By which a worker that is expected is known when it comes."""
        group: Any = Group()
        spec: Any = execnet.XSpec("popen")
        group.allocate_id(spec)
        try:
            assert group.makegateway(spec).id == spec.id
        finally:
            group.terminate(timeout=10)


@pytest.fixture(scope="module", params=["first", "second"])
def wide(request: pytest.FixtureRequest) -> str:
    """A fixture that several tests share."""
    return str(request.param)


class TestPytest:
    """What worker, interactor and options build on."""

    def test_how_a_worker_starts_it(self) -> None:
        """With our plugin before all others, and how it is given up again."""
        given = object()
        config = pytest_names.prepare_config(["-pno:gpupool", "-pno:xdist"], [given])
        try:
            assert config.pluginmanager.is_registered(given)
            pytest_names.call_program(config, "evals")
            with pytest.raises(pytest.UsageError, match=r"^usage: evals "):
                config._parser.parse(["--no-such-option"])
        finally:
            pytest_names.abandon(config)

    def test_where_it_looks_at_the_next_test(self) -> None:
        """As it tears down, and only whether there is one and what it lies in."""
        assert has(SetupState.teardown_exact, "nextitem and nextitem.listchain()")

    def test_what_it_knows_of_options(self, pytestconfig: pytest.Config) -> None:
        """Before they are parsed whole, and which are declared."""
        config: Any = pytestconfig
        declared = list(pytest_names.declared_options(config._parser))
        assert {"maxfail", "dist", "long", "ini:testpaths", "ini:gpupool_paths"} <= set(declared)
        known = ("file_or_dir", "help", "version", "collectonly", "markers", "showfixtures", "usepdb")
        of_xdist = ("numprocesses", "dist", "distload", "tx")
        assert all(hasattr(config.known_args_namespace, name) for name in (*known, *of_xdist))

    @pytest.mark.parametrize("number", [10, 20])
    def test_what_it_knows_of_a_test(
        self, request: pytest.FixtureRequest, wide: str, number: int, tmp_path: Path
    ) -> None:
        """Its fixtures by name, the last definition being the one that is used, and the numbers of its parameters."""
        item = request.node
        fixtures = {one.name: one for one in pytest_names.fixtures_of(pytest_names.fixture_info(item))}
        place = item.getparent(pytest.Module).nodeid
        assert fixtures["wide"] == ("wide", "module", __name__, place, ("request",))
        assert fixtures["tmp_path"].scope == "function"
        assert fixtures["tmp_path"].module.startswith("_pytest.")
        assert pytest_names.parameter_numbers_of(item)["wide"] == ["first", "second"].index(wide)
        assert pytest_names.parameters_of(item) == {"wide": wide, "number": number}
        # What is no fixture is not taken for one of the suite's own.
        assert "number" not in fixtures or fixtures["number"].module.startswith("_pytest.")

    def test_what_it_keeps_of_a_testcase(self) -> None:
        """That its call has failed."""
        assert has(pytest_unittest.TestCaseFunction, 'self.__dict__.setdefault("_excinfo", []).append(excinfo)')

    def test_its_junit_file(self) -> None:
        """Its path, and what it has begun, by test and worker."""
        log = LogXML("junit.xml", prefix=None)
        assert Path(log.logfile).name == "junit.xml"
        log.node_reporter("test_a.py::test_it")
        assert pytest_names.begun_testcases(log) == {"test_a.py::test_it": None}

    def test_its_terminal(self) -> None:
        """Its writer knows how much stands on its line, and looks at its file whenever it writes."""
        first, second = io.StringIO(), io.StringIO()
        writer = TerminalWriter(first)
        assert has(TerminalReporter.__init__, "self._tw = ")
        terminal = pytest_names.TerminalFile(SimpleNamespace(_tw=writer))
        writer.write("..")
        assert (writer.width_of_current_line, terminal.file) == (2, first)
        terminal.file = second
        terminal.is_on_a_new_line()
        assert writer.width_of_current_line == 0
        writer.write("more")
        assert (first.getvalue(), second.getvalue()) == ("..", "more")


def test_torch() -> None:
    """Calls that wait until CUDA is initialised."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        pytest.skip("torch is not installed here")
    source = (Path(spec.origin).parent / "cuda" / "__init__.py").read_text()
    (signature,) = re.findall(r"^def _lazy_call\((.*)\)", source, re.MULTILINE)
    assert signature.startswith("callable")
    assert "def is_initialized(" in source
