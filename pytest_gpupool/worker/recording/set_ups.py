"""Set-ups: what it takes to set up what tests share, and to tear it down: no test's own time."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest

from ...foreign.pytest_names import fixture_of
from ...processes.own import clock
from ...processes.own.forks import Owner
from ...values.wide_fixture import key_of
from ..items.wide_fixtures import WideFixtures, name_of, param_text, place_of
from .attempts.attempt import WORTH_A_WORD
from .attempts.sequence import Attempts
from .writer import RecordWriter


@dataclass(slots=True)
class _Running:
    """A set-up or tear-down that goes on, and how much of its time was that of others within it."""

    began: float
    others: float = 0.0


class SetUps:
    """Times wide fixtures. What they take is on record by itself, and taken out of the test in which it happens."""

    def __init__(self, attempts: Attempts, writer: RecordWriter) -> None:
        self.seconds = 0.0
        """What all of them have taken so far."""
        self._owner = Owner()
        self._attempts = attempts
        self._writer = writer
        self._fixtures = WideFixtures()
        self._number = 0
        self._running: list[_Running] = []
        self._torn_down: dict[int, tuple[int, str, _Running]] = {}  # by the id of the definition

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Time it. What it requests is set up before, but for what it asks for as it goes."""
        if fixturedef.scope == "function" or not self._owner.is_here:
            return (yield)  # in an isolated test's process it serves that test alone
        running, failed = self._begin(), True
        try:
            result = yield
            failed = False
            return result
        finally:
            self._number += 1
            number, key = self._number, self._key(fixturedef, request)
            self._write("set-up", number, key, self._end(running), **({"failed": True} if failed else {}))

            def tears_down() -> None:
                self._torn_down[id(fixturedef)] = number, key, self._begin()

            # Finalizers are called last first: of this instance it is the first, after those of what depends on it.
            fixturedef.addfinalizer(tears_down)

    @pytest.hookimpl(trylast=True)
    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """It is torn down."""
        if (found := self._torn_down.pop(id(fixturedef), None)) is not None:
            number, key, running = found
            self._write("torn-down", number, key, self._end(running))

    def _begin(self) -> _Running:
        running = _Running(clock.monotonic())
        self._running.append(running)
        return running

    def _end(self, running: _Running) -> float:
        """Return the seconds of what went on, without what went on within it."""
        took = clock.monotonic() - running.began
        while self._running and self._running.pop() is not running:
            pass  # one whose end an exception has kept from us
        if self._running:
            self._running[-1].others += took
        own = max(0.0, took - running.others)
        self.seconds += own
        self._attempts.present.shares(own)
        return own

    def _write(self, kind: str, number: int, key: str, seconds: float, **values: Any) -> None:
        test = self._attempts.test
        if test is not None and seconds >= WORTH_A_WORD:
            self._writer.write(kind, test=test.nodeid, number=number, fixture=key, seconds=seconds, **values)

    def _key(self, definition: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> str:
        """Return the key of an instance that is set up for the running test."""
        fixture = fixture_of(definition)
        name, place = name_of(fixture.name), place_of(fixture)
        test = self._attempts.test
        expected = () if test is None else self._fixtures.of(test.item)
        params = next((one.params for one in expected if (one.name, one.place) == (name, place)), None)
        if params is None:  # a test has asked for it as it went
            value = getattr(request, "param", None)
            params = "" if value is None else param_text(value, getattr(request, "param_index", None))
        return key_of(name, place, params)
