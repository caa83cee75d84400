"""Facts: what a report says of a run beside its results. They are kept at its start, for a report of a killed run."""

from __future__ import annotations

import shlex
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ...devices.pool import Pool
from ...processes.own import clock
from ...records.archive import Plan, write_plan
from ...values.texts import iso
from ..earlier import changes, git
from ..earlier.git import GitProblem
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
        engine: str = "local",
        seed: int | None = None,
        baseline: Path | None = None,
        source_url: str | None = None,
    ) -> None:
        self._config = config
        self._baseline = baseline
        self._source_url = source_url
        self._pool = pool
        self._began = clock.now()
        self._values: dict[str, Any] = {
            "id": run,
            "started": iso(self._began),
            "command": shlex.join([*sys.argv[:1], *map(str, config.invocation_params.args)]),
            "rootdir": str(config.rootpath),
            "resumed_from": resumed_from,
            "engine": engine,
            "seed": seed,
        }
        self._thread: threading.Thread | None = None
        self._is_begun = False
        self.problem: str | None = None
        """Why they could not be kept, None where they were."""
        self.git_problem: str | None = None
        """Why git did not tell of the sources, None where it did, or where there is nothing to tell."""

    def keep(self, run_dir: Path | None, *, each: bool, aside: bool) -> None:
        """Gather them and keep them, once; with ``aside`` in a thread, while this one goes on."""
        if self._is_begun:
            return
        self._is_begun = True

        def gather() -> None:
            sources = self._ask_git()
            self._values |= {"host": host.describe(), "software": host.software(self._pool.driver)}
            if run_dir is not None:
                plan = Plan(facts=self._values, devices=self._pool.devices, each=each, sources=sources)
                try:
                    write_plan(run_dir, plan)
                except OSError as error:
                    self.problem = f"{run_dir}: {error.strerror}"

        if aside:
            self._thread = threading.Thread(target=gather, name="gpupool-facts", daemon=True)
            self._thread.start()
        else:
            gather()

    def _ask_git(self) -> dict[str, str | None] | None:
        """Add what git tells to the facts; return the sources beside the commit, None where that is not known."""
        self._values["git"] = None
        if self._source_url is not None:
            self._values["sources"] = {"url": self._source_url, "folder": ""}
        try:
            tree = git.tree(self._config.rootpath)
            if tree is not None and self._source_url is not None:
                self._values["sources"]["folder"] = tree.place_of(self._config.rootpath)
            if tree is None:
                return None
            self._values["git"] = tree.facts(ignoring=[] if self._baseline is None else [self._baseline])
            return changes.beside_commit(tree)
        except GitProblem as problem:
            self.git_problem = str(problem)
            return None

    def wait(self) -> None:
        """Wait until they are there and kept."""
        if self._thread is not None:
            self._thread.join()

    def of_report(self, exit_status: int) -> dict[str, Any]:
        """Return them, once they are there, as the report of this moment has them."""
        return {**self._values, "duration_s": clock.now() - self._began, "exit_status": exit_status}
