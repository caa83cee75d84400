"""Earlier: in the process that collects, what an earlier run has final results for is left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..records import recipe
from .recipes import Recipes


@dataclass(frozen=True, slots=True)
class Left:
    """What the process that collected the tests says of those that an earlier run had finished.

    ``tests`` are the ids of all tests in the order of collection, ``changed`` counts, by what has changed, those that
    run again because of it.
    """

    tests: Sequence[str]
    changed: Mapping[str, int]

    def to_wire(self) -> str:
        """Return it as a text."""
        return json.dumps([list(self.tests), dict(self.changed)])

    @classmethod
    def from_wire(cls, text: str) -> Left:
        """Make it again from :meth:`to_wire`."""
        tests, changed = json.loads(text)
        return cls(tests, changed)


left_key = pytest.StashKey[Left]()


class Leaver:
    """In the process that collects: leaves out the tests that need not run again."""

    def __init__(self, path: str) -> None:
        self._recipes: dict[str, str | None] = json.loads(Path(path).read_text(encoding="utf-8"))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Deselect them, once other plugins have chosen and sorted."""
        recipes, changed = Recipes(session), Counter[str]()
        again: list[pytest.Item] = []
        kept: list[pytest.Item] = []
        for item in items:
            if item.nodeid not in self._recipes:
                again.append(item)
            elif (change := recipe.change(self._recipes[item.nodeid], recipes.of(item))) is None:
                kept.append(item)
            else:
                changed[change] += 1
                again.append(item)
        config.stash[left_key] = Left([item.nodeid for item in items], changed)
        if kept:
            config.hook.pytest_deselected(items=kept)
            items[:] = again
