"""Resume: where the tests of a resumed run are collected, those that the earlier run has finished are deselected."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ...values.errors import MarkerProblem
from ..items import repeats
from ..items.identity import tell_apart
from ..items.markers import requirement_of
from ..recording.recipes import Recipes, change_of

_LOWER_STAGE = "tests of a lower stage that run"
"""What has changed for tests of later stages, as the user is told of it."""


@dataclass(frozen=True, slots=True)
class WholeCollection:
    """What was collected in a resumed run, the tests that do not run again included.

    ``tests`` are the ids of all tests in the order of collection, ``changed`` counts, by what has changed, those that
    run again because of it.
    """

    tests: Sequence[str]
    changed: Mapping[str, int]

    def to_wire(self) -> str:
        """Return it as a text, for the controller."""
        return json.dumps([list(self.tests), dict(self.changed)])

    @classmethod
    def from_wire(cls, text: str) -> WholeCollection:
        """Make it again from :meth:`to_wire`."""
        tests, changed = json.loads(text)
        return cls(tests, changed)


whole_collection_key: pytest.StashKey[WholeCollection] = pytest.StashKey()


class Deselector:
    """The plugin that deselects the tests whose results of the earlier run are kept."""

    def __init__(self, recipes: Mapping[str, str | None], repeated: int = 1) -> None:
        """``recipes`` are those of tests that have a final result, by id; others are ``repeated`` so often."""
        self._recipes = recipes
        self._repeated = repeated

    @classmethod
    def of_file(cls, path: str, repeated: int = 1) -> Deselector:
        """Read the file that the controller has written at the run's start."""
        return cls(json.loads(Path(path).read_text(encoding="utf-8")), repeated)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Deselect them, once other plugins have chosen and sorted."""
        to_run, kept, changed = split(session, items, self._recipes, self._repeated)
        config.stash[whole_collection_key] = WholeCollection([item.nodeid for item in items], changed)
        if kept:
            config.hook.pytest_deselected(items=kept)
            items[:] = to_run


def split(
    session: pytest.Session, items: list[pytest.Item], finished: Mapping[str, str | None], repeated: int = 1
) -> tuple[list[pytest.Item], list[pytest.Item], Mapping[str, int]]:
    """Return the tests that run, those whose results are kept, and by what has changed how many run again.

    ``finished`` are the recipes of the tests that have a final result, by id. A test of a later stage runs again with
    any of a lower one.
    """
    tell_apart(items)  # as the earlier run has told them apart
    repeats.unfold(items, repeated)
    recipes, changed = Recipes(session), Counter[str]()
    stages = {item.nodeid: _stage(item) for item in items}
    to_run: set[str] = set()
    for item in items:
        if item.nodeid not in finished:
            to_run.add(item.nodeid)
        elif change := change_of(finished[item.nodeid], recipes.of(item)):
            changed[change] += 1
            to_run.add(item.nodeid)
    # Who waits for a stage may build on what any test of it has left.
    first = min((stages[nodeid] for nodeid in to_run), default=None)
    later = {nodeid for nodeid, stage in stages.items() if first is not None and stage > first} - to_run
    if later:
        changed[_LOWER_STAGE] = len(later)
    to_run |= later
    run_again = [item for item in items if item.nodeid in to_run]
    return run_again, [item for item in items if item.nodeid not in to_run], changed


def _stage(item: pytest.Item) -> int:
    try:
        return requirement_of(item).stage
    except MarkerProblem:  # said when the test is set up
        return 0
