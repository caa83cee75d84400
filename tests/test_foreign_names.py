"""Names of pytest, xdist and execnet that are not theirs to keep: this fails when one of them goes."""

from __future__ import annotations

import inspect

import xdist.remote
import xdist.workermanage
from _pytest.config import Config, _prepareconfig
from _pytest.runner import SetupState
from execnet import Group
from xdist.dsession import DSession
from xdist.report import report_collection_diff
from xdist.scheduler import EachScheduling


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_xdists_worker_program() -> None:
    """What interactor builds on."""
    interactor = xdist.remote.WorkerInteractor
    methods = ("handle_command", "sendevent", "pytest_collection_finish", "pytest_runtest_logreport", "steal")
    assert all(hasattr(interactor, method) for method in methods)
    assert parameters(interactor) == ["config", "channel"]
    assert parameters(xdist.remote.setup_config) == ["config", "basetemp"]
    assert xdist.remote.Marker.SHUTDOWN is not None
    assert all(hasattr(xdist.remote.TestQueue, method) for method in ("get", "put", "lock"))
    source = inspect.getsource(interactor)
    assert all(attribute in source for attribute in ("self.torun", "self.item_index", "self.session"))


def test_xdists_controller() -> None:
    """What distribution and scheduler build on."""
    assert callable(xdist.workermanage.parse_tx_spec_config)
    assert parameters(report_collection_diff)[:4] == ["from_collection", "to_collection", "from_id", "to_id"]
    assert hasattr(EachScheduling, "remove_pending_tests_from_node")
    unscheduled = inspect.getsource(DSession.worker_unscheduled)
    assert "remove_pending_tests_from_node(node, indices)" in unscheduled
    source = inspect.getsource(xdist.workermanage.WorkerController)
    assert "pytest_xdist_getremotemodule" in source
    assert '"unscheduled"' in source
    assert "self.channel.setcallback(self.process_from_remote" in source
    assert source.index("pytest_configure_node(") < source.index("self.channel.setcallback(")
    assert "self.workerinput, args, option_dict" in source


def test_execnet() -> None:
    """A gateway's process is its io's popen."""
    group = Group()
    gateway = group.makegateway("popen")
    try:
        assert gateway._io.popen.poll() is None  # type: ignore[attr-defined]
    finally:
        group.terminate(timeout=10)
    assert gateway._io.popen.wait(timeout=10) is not None  # type: ignore[attr-defined]


def test_pytest() -> None:
    """How a worker starts pytest, and where pytest looks at the next test."""
    assert parameters(_prepareconfig)[:2] == ["args", "plugins"]
    assert hasattr(Config, "_ensure_unconfigure")
    assert "nextitem and nextitem.listchain()" in inspect.getsource(SetupState.teardown_exact)
