"""Resume: go on with an earlier run. What it has final results for is not run again, where nothing has changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from ..records import archive
from ..records.store import write_whole
from ..values.errors import UsageProblem
from ..worker.resume import WholeCollection

FINISHED = "earlier.json"
"""The file in the new run's directory that tells its workers what the earlier one has finished."""


class EarlierRun:
    """In the controller: the run that is resumed, and what is taken over from it."""

    def __init__(self, base: Path, wanted: str) -> None:
        """Read the earlier run, and keep others from resuming it until :meth:`close`.

        Raises:
            UsageProblem: see :func:`archive.find` and :func:`archive.resuming`; or every worker ran every test.
        """
        run = archive.find(base, wanted)
        with contextlib.ExitStack() as stack:
            stack.enter_context(archive.resuming(run))
            recorded = archive.load(run)
            if recorded.plan.each:
                raise UsageProblem(f"run {run.name} was one with --dist each, which cannot be resumed")
            self._open = stack.pop_all()
        self.run = run.name
        self.problems = recorded.problems
        self._final = {test.nodeid: test for test in recorded.results.tests if test.may_be_kept}

    def close(self) -> None:
        """Let others resume the earlier run."""
        self._open.close()

    def tell_workers(self, directory: Path | None) -> Path:
        """Write into the new run's directory what the processes that collect need to know; return that file.

        Raises:
            UsageProblem: it cannot be written, or there is no directory.
        """
        try:
            if directory is None:
                raise OSError(None, "this run keeps no records")
            path = directory / FINISHED
            write_whole(path, json.dumps({nodeid: test.recipe for nodeid, test in self._final.items()}))
        except OSError as error:
            raise UsageProblem(f"run {self.run} cannot be resumed here: {error.strerror}") from None
        return path

    def kept(self, whole: WholeCollection, selected: Container[str]) -> Iterator[dict[str, Any]]:
        """Yield, as records without their kind, the results of what was collected and does not run again."""
        for nodeid in whole.tests:
            test = self._final.get(nodeid)
            if test is not None and nodeid not in selected:
                yield {"test": nodeid, "run": test.run or self.run, "result": test.to_record()}

    def text(self, whole: WholeCollection, selected: int) -> str:
        """Return what the user is told where so many tests run: how many do not, and why some run again."""
        total, count = len(whole.tests), len(whole.tests) - selected
        text = f"resuming {self.run}: {count} of {total} results kept"
        reasons = [f"{number} because of {change}" for change, number in sorted(whole.changed.items())]
        return f"{text}; run again although finished: {', '.join(reasons)}" if reasons else text
