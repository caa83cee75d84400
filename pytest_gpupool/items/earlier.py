"""Earlier: what runs had said of items when a baseline's values were accepted, as far as they are on record here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..records import archive
from ..records.archive import Recorded
from ..records.folding.result import TestResult
from ..records.store import RUN_ID
from ..values.errors import UsageProblem
from ..values.repeats import number_of
from ..values.texts import visible
from .flips import Item, Place, place_of

_NOTHING: Mapping[Place, Item] = {}


class Earlier:
    """Runs by their ids, in the first of these folders that has them; each is read when it is asked for."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._runs: dict[str, tuple[Recorded, Mapping[str, TestResult]] | None] = {}
        self._unreadable: dict[str, str] = {}  # why, by id
        self._latest: tuple[tuple[str, str], Mapping[Place, Item]] | None = None  # of one test: they may be many

    def of(self, run: str, nodeid: str) -> Mapping[Place, Item]:
        """Return what a run had said of a test's items: ``output``, and ``cut`` where only its beginning was kept."""
        if self._latest is None or self._latest[0] != (run, nodeid):
            self._latest = (run, nodeid), self._read(run, nodeid)
        return self._latest[1]

    def why_not(self, run: str) -> str:
        """Return the sentence that says why there is no output of a run beside an item."""
        if not run:
            return "What was said before is not shown: the baseline does not say of which run it is."
        why = "kept none of it" if self._loaded(run) is not None else "is not on record here"
        if run in self._unreadable:
            why = f"is on record here, but: {visible(self._unreadable[run])}"
        return f"What was said before is not shown: the baseline is of run {visible(run)}, which {why}."

    def _read(self, run: str, nodeid: str) -> Mapping[Place, Item]:
        loaded = self._loaded(run)
        if loaded is None or nodeid not in loaded[1]:
            return _NOTHING
        recorded, tests = loaded
        found: dict[Place, Item] = {}
        for told, repeat in _summaries(tests[nodeid]):
            for line in recorded.samples.of(told):
                place = place_of(line if repeat is None else {**line, "repeat": repeat})
                found[place] = {name: line[name] for name in ("output", "cut") if name in line}
        return found

    def _loaded(self, run: str) -> tuple[Recorded, Mapping[str, TestResult]] | None:
        if run not in self._runs:
            self._runs[run] = self._load(run)
        return self._runs[run]

    def _load(self, run: str) -> tuple[Recorded, Mapping[str, TestResult]] | None:
        folder = next(filter(Path.is_dir, self._places(run)), None)
        if folder is None:
            return None
        try:
            recorded = archive.load(folder)
        except (UsageProblem, OSError) as error:
            self._unreadable[run] = str(error)
            return None
        tests = recorded.results.tests
        return recorded, {test.nodeid: test for test in tests if any(True for _ in _summaries(test))}

    def _places(self, run: str) -> Iterable[Path]:
        # A baseline is a file of the user's, in which anything may stand.
        return [folder / run for folder in self._folders] if RUN_ID.fullmatch(run) else ()


def _summaries(test: TestResult) -> Iterator[tuple[Mapping[str, Any], int | None]]:
    """Yield the summary of a test's items, or those of its repeats with their numbers."""
    if test.items:
        yield test.items, None
    for one in test.repeats:
        if one.items:
            yield one.items, number_of(one.nodeid)
