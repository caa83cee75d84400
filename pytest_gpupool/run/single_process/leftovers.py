"""Leftovers: what the tests of this process have left running is named where it holds a device, and ended."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from ...processes import marks, table, termination
from ...processes.termination import Worker
from ...sampling import leftovers
from ...sampling.leftovers import Attempts
from ...values.messages import LeftRunning
from ...values.process_id import ProcessId
from ...worker.fixtures import lease_key
from ..controller import Controller

_GRACE_SECONDS = 2.0

_HELPERS = re.compile(r"\b(resource_tracker|forkserver) import main\b")
"""Helpers of multiprocessing, and of what is like it, which end with this process, and tidy up for it then."""


class OwnLeftovers:
    """The plugin. This process goes on, so that only what is known to be of the run is ended: no group counts."""

    def __init__(self, config: pytest.Config, controller: Controller) -> None:
        self._config = config
        self._controller = controller
        self._marks = {"GPUPOOL_RUN": controller.records.run_id}
        self._started: dict[ProcessId, str] = {}
        self._is_run = False

    def hear(self, message: LeftRunning) -> None:
        """A test has left these running."""
        self._started |= {ProcessId(*process): message.test for process in message.processes}

    @pytest.hookimpl
    def pytest_sessionstart(self) -> None:
        """There is a run. Who only reads options, as tests of plugins do, has none of whom something could be left."""
        self._is_run = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """All fixtures are torn down: what is on a device now was forgotten."""
        family = termination.processes_of(self._family())
        if family:
            results = self._controller.records.results
            attempts = Attempts(seen=self._started, ran=lambda: results.ran)
            for found in leftovers.leftovers(family, self._config.stash[lease_key].devices, attempts):
                self._controller.console.warn(str(found))

    def mark(self) -> Callable[[], object]:
        """Have what this process starts from now on be known as the run's; return what ends that."""
        return marks.bear(self._marks)

    def end(self) -> None:
        """End them, once nobody of pytest's plugins can be about to do so any more."""
        if self._is_run:
            termination.end_worker(self._family(), grace=_GRACE_SECONDS)

    def _family(self) -> Worker:
        everybody = Worker(None, self._marks, tuple(self._started))
        identities = map(table.identity, termination.processes_of(everybody))
        known = [process for process in identities if process is not None]
        return everybody._replace(kept=[one for one in known if _HELPERS.search(table.command_line(one.pid))])
