"""The hooks: which tests are isolated, and that they run so."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from ..foreign import companion_names, pytest_phases
from ..options import companions
from ..values.errors import MarkerProblem
from ..values.orders import Orders
from ..worker.fixtures import lease_key
from ..worker.items.markers import requirement_of
from ..worker.recording.recorder import Recorder, recorder_key
from .attempt import IsolatedTest
from .safety import Safety


def register(config: pytest.Config, orders: Orders) -> None:
    """Have tests isolated in this process that are to be."""
    isolation = Isolation(config.stash[recorder_key], orders)
    config.pluginmanager.register(isolation, "gpupool-isolation")


class Isolation:
    """The plugin."""

    def __init__(self, recorder: Recorder, orders: Orders) -> None:
        self._recorder = recorder
        self._orders = orders
        self._safety = Safety()
        self._told = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """All test modules are loaded."""
        self._safety.are_loaded()
        isolated = [item for item in session.items if self._is_isolated(item)]
        if not isolated:
            session.config.pluginmanager.unregister(self)
        elif companions.debugs(session.config):
            raise pytest.UsageError(_no_debugger(isolated[0].nodeid))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Have a test that is isolated run its phases in another process."""
        if not self._is_isolated(item):
            return (yield)
        companion_names.stop_timeout(item)  # that of the test's own process is started there
        test = IsolatedTest(
            item,
            self._recorder,
            item.config.stash[lease_key],
            self._safety,
            self._orders,
            limit=requirement_of(item).timeout or self._orders.timeout,
            tell=self._tell,
        )
        try:
            with pytest_phases.diverted(item.session, test.hooks()):
                return (yield)
        finally:
            test.close()

    def _is_isolated(self, item: pytest.Item) -> bool:
        try:
            asked = requirement_of(item).isolate
        except MarkerProblem:
            return False  # said when it is set up
        return self._orders.isolate if asked is None else asked

    def _tell(self, why: str) -> None:
        """Say once why no process can be forked for a test."""
        if not self._told:
            self._told = True
            self._recorder.warns(
                f"isolated tests of {self._recorder.worker} run in fresh processes, which take as long to begin as "
                f"pytest does, since it could not be forked: {why}"
            )


def _no_debugger(nodeid: str) -> str:
    return (
        f"gpupool: --pdb and --trace do not reach {nodeid}, which runs in a process of its own: run it with "
        "isolate=False, without --gpupool-isolate, or with -p no:gpupool"
    )
