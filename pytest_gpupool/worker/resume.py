"""Resume: where the tests of a resumed run are collected, those that the earlier run has finished are deselected."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from .items import repeats
from .items.identity import tell_apart
from .recording.recipes import Recipes, change_of


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

    ``finished`` are the recipes of the tests that have a final result, by id.
    """
    tell_apart(items)  # as the earlier run has told them apart
    repeats.unfold(items, repeated)
    recipes, changed = Recipes(session), Counter[str]()
    to_run: list[pytest.Item] = []
    kept: list[pytest.Item] = []
    for item in items:
        if item.nodeid not in finished:
            to_run.append(item)
        elif (change := change_of(finished[item.nodeid], recipes.of(item))) is None:
            kept.append(item)
        else:
            changed[change] += 1
            to_run.append(item)
    return to_run, kept, changed
