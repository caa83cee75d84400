"""Resume: go on with an earlier run. What it has final results for is not run again, where nothing has changed."""

from __future__ import annotations

import contextlib
import fnmatch
import json
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ...options import companions, role_end
from ...options.options import Options
from ...records import archive
from ...records.beside import attachments
from ...records.beside.items import Items
from ...records.beside.samples import over_summaries
from ...records.store import LATEST, take_over_out, write_whole
from ...values.errors import UsageProblem
from ...worker.choosing.resume import WholeCollection
from . import changes

_SHOWN = 10
_ANYWAY = "--gpupool-resume-anyway goes on all the same"

FINISHED = "earlier.json"
"""The file in the new run's directory that tells its workers what the earlier one has finished."""


def begin(
    config: pytest.Config, options: Options, directory: Path | None
) -> tuple[EarlierRun | None, Path | None, str | None]:
    """Find the run that this one goes on with; return it, the file for workers, and why this is a new run instead.

    A new run is what ``--gpupool-resume`` alone gives where it cannot go on with one: it is always safe to pass.

    Raises:
        UsageProblem: a run was named, and this one cannot go on with it.
    """
    if options.resume is None:
        return None, None, None
    finished: list[Path] = []
    earlier, why_not = find(config, options, options.resume, lambda run: finished.append(run.tell_workers(directory)))
    return earlier, (finished[0] if earlier is not None else None), why_not


def find(
    config: pytest.Config,
    options: Options,
    wanted: str,
    prepare: Callable[[EarlierRun], object] = lambda _: None,
) -> tuple[EarlierRun | None, str | None]:
    """Find a run that can be gone on with, and ``prepare`` that; return it, else why there is none.

    Others cannot resume it until this session ends.

    Raises:
        UsageProblem: the run is ``wanted`` by name, and cannot be gone on with.
    """
    is_named = wanted != LATEST
    try:
        earlier = EarlierRun(options.directory, wanted)
    except UsageProblem as problem:
        if is_named:
            raise
        return None, str(problem)
    try:
        if earlier.has_nothing_left and not is_named:
            raise UsageProblem(f"the latest run, {earlier.run}, is complete")
        if not options.resume_anyway:
            _refuse_changes(config, options, earlier)
        prepare(earlier)
    except UsageProblem as problem:
        earlier.close()
        if is_named:
            raise
        return None, str(problem)
    role_end.at_end(config, earlier.close)
    return earlier, None


def _refuse_changes(config: pytest.Config, options: Options, earlier: EarlierRun) -> None:
    patterns = companions.test_files(config)

    def is_covered(name: str) -> bool:
        file = name.rpartition("/")[2]
        return (
            name in earlier.files
            or file == "conftest.py"
            or any(fnmatch.fnmatch(file, pattern) for pattern in patterns)
        )

    outputs = (options.json, options.html, options.markdown, options.baseline, companions.junit_file(config))
    ignoring = [path for path in outputs if path is not None]
    try:
        found = changes.since(earlier.plan, config.rootpath, is_covered=is_covered, ignoring=ignoring)
    except changes.UnknownChanges as problem:
        raise UsageProblem(f"run {earlier.run} cannot be gone on with: {problem}; {_ANYWAY}") from None
    if found:
        shown = ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
        raise UsageProblem(
            f"since run {earlier.run} sources have changed on which any test may depend: {shown}; {_ANYWAY}"
        )


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
        self._path = run
        self._items = recorded.items
        self._samples = recorded.samples
        self.problems = recorded.problems
        self.plan = recorded.plan
        results = recorded.results
        self._final = {test.nodeid: test for test in results.single if test.may_be_kept}
        self.files = frozenset(test.nodeid.partition("::")[0] for test in results.single)
        """The files of its tests, from rootdir."""
        self.has_nothing_left = 0 < len(self._final) == len(results.single) and not results.uncollected
        """Whether every test that it collected has a result that is kept."""

    def close(self) -> None:
        """Let others resume the earlier run."""
        self._open.close()

    def recipes(self) -> dict[str, str | None]:
        """Return the recipe of each test that has a result which may be kept, by id."""
        return {nodeid: test.recipe for nodeid, test in self._final.items()}

    def tell_workers(self, directory: Path | None) -> Path:
        """Write into the new run's directory what the processes that collect need to know; return that file.

        Raises:
            UsageProblem: it cannot be written, or there is no directory.
        """
        try:
            if directory is None:
                raise OSError(None, "this run keeps no records")
            path = directory / FINISHED
            write_whole(path, json.dumps(self.recipes()))
            take_over_out(self._path, directory)
        except OSError as error:
            raise UsageProblem(f"run {self.run} cannot be resumed here: {error.strerror}") from None
        return path

    def kept(
        self, whole: WholeCollection, selected: Container[str], items: Items, directory: Path | None
    ) -> Iterator[dict[str, Any]]:
        """Yield, as records without their kind, the results of what was collected and does not run again.

        Their values per item are then among ``items``, those of the new run, and their other files in its directory.
        """
        mark = self.run[-6:]

        def taken(told: Mapping[str, Any]) -> dict[str, Any]:
            return dict(told) if directory is None else self._samples.take_over(told, directory, mark)

        def kept(told: Mapping[str, Any]) -> dict[str, Any]:
            return dict(told) if directory is None else attachments.take_over(told, [self._path], directory, mark)

        for nodeid in whole.tests:
            test = self._final.get(nodeid)
            if test is not None and nodeid not in selected:
                yield {
                    "test": nodeid,
                    "run": test.run or self.run,
                    "result": attachments.over_attachments(
                        over_summaries(items.take_over(test.to_record(), self._items), taken), kept
                    ),
                }

    def text(self, whole: WholeCollection, selected: int) -> str:
        """Return what the user is told where so many tests run: how many do not, and why some run again."""
        total, count = len(whole.tests), len(whole.tests) - selected
        text = f"resuming {self.run}: {count} of {total} results kept"
        reasons = [f"{number} because of {change}" for change, number in sorted(whole.changed.items())]
        return f"{text}; run again although finished: {', '.join(reasons)}" if reasons else text
