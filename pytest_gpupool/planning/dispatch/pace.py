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
        self._total, self._count = 0.0, 0

    def ended(self, index: int, seconds: float) -> None:
        """A test took that long."""
        function = self._tests[index].function
        self._ended[function] += 1
        self._total, self._count = self._total + seconds, self._count + 1
        self._seconds[function] = self._seconds.get(function, 0.0) + seconds

    @property
    def mean(self) -> float:
        """How long tests have taken on average so far, one second where none has ended."""
        return self._total / self._count if self._count else 1.0

    def guess(self, index: int) -> float:
        """Return what a test takes by its own record, else as :meth:`expected`, the mean of all without experience."""
        known = self._tests[index].seconds
        seconds = self.expected(index) if known is None else known
        return self.mean if math.isinf(seconds) else seconds

    def expected(self, index: int) -> float:
        """Return the seconds that a test will take; infinity where there is no experience.

        The mean, not the longest: one slow moment of the machine is no reason to ask after each test from then on, and
        a test that does turn out long is robbed of what is queued behind it. Where its own record is longer, that
        counts: parameters differ.
        """
        test = self._tests[index]
        ended = self._ended[test.function]
        if ended >= FAMILY_SEEN:
            return max(self._seconds[test.function] / ended, test.seconds or 0.0)
        return math.inf if test.seconds is None else test.seconds
