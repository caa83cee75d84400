"""Facts: what a report says of a run beside its results. They are kept at its start, for a report of a killed run."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ...devices.pool import Pool
from ...records.archive import Plan, write_plan
from ...values.texts import iso
from . import host


class Facts:
    """The facts of one run. Asking git and the packages takes a moment, which need not delay the tests."""

    def __init__(
        self,
        config: pytest.Config,
        run: str,
        pool: Pool,
        *,
        resumed_from: str | None,
        baseline: Path | None = None,
    ) -> None:
        self._config = config
        self._baseline = baseline
        self._pool = pool
        self._began = time.time()
        self._values: dict[str, Any] = {
            "id": run,
            "started": iso(self._began),
            "command": shlex.join([*sys.argv[:1], *map(str, config.invocation_params.args)]),
            "rootdir": str(config.rootpath),
            "resumed_from": resumed_from,
        }
        self._thread: threading.Thread | None = None
        self._is_begun = False
        self.problem: str | None = None
        """Why they could not be kept, None where they were."""

    def keep(self, run_dir: Path | None, *, each: bool, aside: bool) -> None:
        """Gather them and keep them, once; with ``aside`` in a thread, while this one goes on."""
        if self._is_begun:
            return
        self._is_begun = True

        def gather() -> None:
            root = self._config.rootpath
            told = {
                "git": host.git(root, ignoring=self._baseline),
                "host": host.describe(),
                "software": host.software(self._pool.driver),
            }
            self._values |= told
            if run_dir is not None:
                try:
                    write_plan(run_dir, Plan(facts=self._values, devices=self._pool.devices, each=each))
                except OSError as error:
                    self.problem = f"{run_dir}: {error.strerror}"

        if aside:
            self._thread = threading.Thread(target=gather, name="gpupool-facts", daemon=True)
            self._thread.start()
        else:
            gather()

    def wait(self) -> None:
        """Wait until they are there and kept."""
        if self._thread is not None:
            self._thread.join()

    def of_report(self, exit_status: int) -> dict[str, Any]:
        """Return them, once they are there, as the report of this moment has them."""
        return {**self._values, "duration_s": time.time() - self._began, "exit_status": exit_status}
