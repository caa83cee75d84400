"""Costs: how long it takes to set up what tests share, by earlier runs and by this one.

Pure: standard library only, no clock, no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...values.wide_fixture import WideFixture

CHEAP = 0.02
"""A set-up that takes less than this part of its test's time is not planned for: longest first gains more."""

FREE = 0.005
"""Nor is one of less than this, in seconds."""

_CHANGED = 2.0  # by this factor, at least


class Costs:
    """What each wide fixture costs, by its key. ``known`` is what earlier runs say."""

    def __init__(self, known: Mapping[str, float | None] | None = None) -> None:
        self._known = {key: seconds for key, seconds in (known or {}).items() if seconds is not None}
        self._seen: dict[str, tuple[float, int]] = {}
        self._like: dict[tuple[str, str], tuple[float, int]] = {}

    def of(self, fixture: WideFixture) -> float | None:
        """Return the seconds that one instance takes: as in this run, else as in earlier ones, else as its like."""
        seen = self._seen.get(fixture.key)
        if seen is not None:
            return seen[0] / seen[1]
        known = self._known.get(fixture.key)
        if known is not None:
            return known
        like = self._like.get((fixture.place, fixture.name))
        return None if like is None else like[0] / like[1]

    def total(self, fixtures: Iterable[WideFixture]) -> float:
        """Return the seconds of several; one that nobody knows counts for nothing."""
        return sum(self.of(fixture) or 0.0 for fixture in fixtures)

    def dear(self, fixtures: Iterable[WideFixture], seconds: float | None) -> tuple[WideFixture, ...]:
        """Return those that are worth planning for, for a test that takes so long; what nobody knows may be."""
        most = max(FREE, CHEAP * (seconds or 0.0))
        return tuple(one for one in fixtures if (cost := self.of(one)) is None or cost > most)

    def learn(self, fixture: WideFixture, seconds: float) -> bool:
        """An instance was set up in that time; return whether that is news."""
        before, like = self.of(fixture), (fixture.place, fixture.name)
        self._seen[fixture.key] = _with(self._seen.get(fixture.key), seconds)
        self._like[like] = _with(self._like.get(like), seconds)
        after = self.of(fixture)
        assert after is not None
        if before is None:
            return True
        low, high = sorted((max(before, FREE), max(after, FREE)))
        return high > _CHANGED * low


def _with(seen: tuple[float, int] | None, seconds: float) -> tuple[float, int]:
    total, count = seen or (0.0, 0)
    return total + seconds, count + 1
