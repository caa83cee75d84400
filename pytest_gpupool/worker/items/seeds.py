"""Seeds: every phase of a test begins with generators seeded by its own id, whatever ran here before.

What tests share is set up with a seed of its own, after which the test goes on where it was: whichever test of its
module is the first, and on whichever worker. A library that a test loads is seeded when it has been loaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Generator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

from ...foreign.pytest_names import fixture_of
from ...options import companions, role_end
from . import random_states
from .wide_fixtures import param_text, place_of

seed_key: pytest.StashKey[int] = pytest.StashKey()
"""The number that ``--gpupool-seed`` gives."""


def seed_of(number: int, *parts: str) -> int:
    """Return the seed of what these name, 64 bits, which no other has but by chance; the same on every machine."""
    text = "\0".join([str(number), *parts])
    return int.from_bytes(hashlib.sha256(text.encode(errors="backslashreplace")).digest()[:8])


class Seeds:
    """The plugin."""

    def __init__(self, config: pytest.Config, number: int) -> None:
        """Other plugins that seed leave it to this one from now on."""
        config.stash[seed_key] = number
        self._number = number
        self._present = seed_of(number)
        companions.leave_seeds_alone(config)
        imports = _Imports(self)
        sys.meta_path.insert(0, imports)
        role_end.at_end(config, imports.end)

    def has_loaded(self, name: str) -> None:
        """A library was loaded just now."""
        random_states.seed(name, self._present)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Seed."""
        self._seed(item.nodeid, "setup")
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Seed."""
        self._seed(item.nodeid, "call")
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Seed."""
        self._seed(item.nodeid, "teardown")
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Set up what tests share with a seed of its own."""
        if fixturedef.scope == "function":
            return (yield)
        before, kept = self._present, random_states.states()
        self._seed(*_names(fixturedef, request))
        try:
            return (yield)
        finally:
            self._present = before
            random_states.restore(kept, before)

    def _seed(self, *parts: str) -> None:
        self._present = seed_of(self._number, *parts)
        random_states.seed_all(self._present)


def _names(definition: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Sequence[str]:
    fixture = fixture_of(definition)
    value = getattr(request, "param", None)
    params = "" if value is None else param_text(value, getattr(request, "param_index", None))
    return "fixture", place_of(fixture), fixture.name, str(request.node.nodeid), params


class _Imports:
    """Sees libraries being loaded, and has them seeded when they are."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self._looking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what the others find, with a word when it is loaded; None for all other modules."""
        if name not in random_states.LIBRARIES or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking = False
        loader: Any = None if spec is None else spec.loader
        if loader is None or not hasattr(loader, "__dict__"):
            return spec
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            self._seeds.has_loaded(name)

        loader.exec_module = exec_module
        return spec

    def end(self) -> None:
        """See no more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
