"""Wide fixtures of tests: which instances of fixtures a test shares with others, by what pytest knows of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from ...foreign.pytest_names import Fixture, fixture_info, fixtures_of, parameter_numbers_of, parameters_of
from ...values.texts import cut, one_line
from ...values.wide_fixture import WideFixture
from .params import plain

_WIDEST = 60  # characters of a parameter that a key has

_OF_METHODS = {
    "_xunit_setup_module_fixture_": "setup_module",
    "_xunit_setup_class_fixture_": "setup_class",
    "_unittest_setUpClass_fixture_": "setUpClass",
}
"""What pytest's own fixtures are called by that run such a function of the suite, and what that is called."""


class _Shared(NamedTuple):
    """A wide fixture of a test function, and the parameters that it depends on."""

    fixture: Fixture
    params: tuple[str, ...]


class WideFixtures:
    """Finds them, quickly where many tests have the same function."""

    def __init__(self) -> None:
        self._by_info: dict[int, tuple[object, tuple[_Shared, ...]]] = {}
        self._known: dict[object, tuple[WideFixture, ...]] = {}

    def of(self, item: pytest.Item) -> tuple[WideFixture, ...]:
        """Return what a test shares with others, those of the widest scope first.

        Those of pytest and of this plugin are left out, but not what is set up by ``setup_module`` and its like.
        """
        info = fixture_info(item)
        if info is None:
            return ()
        if id(info) not in self._by_info:
            # Kept with what it is of, so that no other object comes to have its id.
            self._by_info[id(info)] = info, tuple(_shared(info))
        shared = self._by_info[id(info)][1]
        if not shared:
            return ()
        numbers = parameter_numbers_of(item)
        place = getattr(item, "parent", None)
        mark = id(info), id(place), tuple(numbers.get(name) for one in shared for name in one.params)
        found = self._known.get(mark)
        if found is None:
            values = parameters_of(item)
            found = self._known[mark] = tuple(_instance(item, one, values, numbers) for one in shared)
        return found


def _shared(info: Any) -> Iterator[_Shared]:
    fixtures = {fixture.name: fixture for fixture in fixtures_of(info)}
    for fixture in fixtures.values():
        if fixture.scope == "function" or not _is_of_the_suite(fixture):
            continue
        yield _Shared(fixture, tuple(sorted(_closure(fixture.name, fixtures))))


def _is_of_the_suite(fixture: Fixture) -> bool:
    return not fixture.module.startswith(("_pytest.", "pytest_gpupool.")) or fixture.name.startswith((*_OF_METHODS,))


def _closure(name: str, fixtures: Mapping[str, Fixture]) -> set[str]:
    """Return the names of what a fixture depends on, its own included."""
    names: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one not in names:
            names.add(one)
            waiting += fixtures[one].requests if one in fixtures else ()
    return names


def _instance(
    item: pytest.Item, shared: _Shared, values: Mapping[str, object], numbers: Mapping[str, int]
) -> WideFixture:
    fixture = shared.fixture
    params = [param_text(values[name], numbers.get(name)) for name in shared.params if name in values]
    return WideFixture(name_of(fixture.name), place_of(fixture), "-".join(params), _node_of(item, fixture))


def name_of(name: str) -> str:
    """Return what a fixture is called: ``setup_module`` where pytest has a name of its own for that."""
    return next((word for prefix, word in _OF_METHODS.items() if name.startswith(prefix)), name)


def place_of(fixture: Fixture) -> str:
    """Return where it is defined, as a key has it."""
    return "" if fixture.place == "." else fixture.place


def param_text(value: object, number: int | None) -> str:
    """Return what tells a parameter from others of its name: its value where that is short, else which one it is."""
    simple = plain(value)
    text = one_line(str(simple)) if isinstance(simple, str | int | float | bool) else ""
    if text and len(text) <= _WIDEST and " at 0x" not in text:
        return text
    return f"{cut(text, _WIDEST)}#{number}" if number is not None else cut(text, _WIDEST)


def _node_of(item: pytest.Item, fixture: Fixture) -> str:
    kinds: Sequence[type[Any]] = {
        "class": (pytest.Class, pytest.Module),
        "module": (pytest.Module,),
        "package": (),
    }.get(fixture.scope, ())
    for kind in kinds:
        parent: Any = item.getparent(kind)
        if parent is not None:
            return str(parent.nodeid)
    return place_of(fixture) if fixture.scope == "package" else ""
