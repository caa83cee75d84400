"""The pace: how long tests take, by this run's experience and earlier ones'. Pure: no clock, no files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from ..tests import Test

FAMILY_SEEN = 3
"""How many tests of a function must have ended before its other parameters are expected to take as long."""


class Pace:
    """What tests of each function have taken in this run."""

    def __init__(self, tests: Mapping[int, Test]) -> None:
        self._tests = tests
        self._ended: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}

    def ended(self, index: int, seconds: float) -> None:
        """A test took that long."""
        family = self._tests[index].family
        self._ended[family] += 1
        self._seconds[family] = self._seconds.get(family, 0.0) + seconds

    def expected(self, index: int) -> float:
        """Return the seconds that a test will take; infinity where there is no experience.

        The mean, not the longest: one slow moment of the machine is no reason to ask after each test from then on, and
        a test that does turn out long is robbed of what is queued behind it. Where its own record is longer, that
        counts: parameters differ.
        """
        test = self._tests[index]
        ended = self._ended[test.family]
        if ended >= FAMILY_SEEN:
            return max(self._seconds[test.family] / ended, test.seconds or 0.0)
        return math.inf if test.seconds is None else test.seconds
