"""How long a test will take is known by its function's other tests, or by earlier runs."""

from __future__ import annotations

import math

from made_plans import numbered, several

from pytest_gpupool.planning.dispatch.pace import FAMILY_SEEN, Pace
from pytest_gpupool.planning.tests import Test


def test_without_experience_a_test_may_take_for_ever() -> None:
    """Also where fewer than FAMILY_SEEN of its function have ended."""
    pace = Pace(numbered(*several(9)))
    for index in range(FAMILY_SEEN - 1):
        pace.ended(index, 1.0)
    assert pace.expected(8) == math.inf


def test_a_test_is_expected_to_take_as_long_as_others_of_its_function() -> None:
    """Their mean, and no other function's."""
    pace = Pace(numbered(*several(4), *several(1, "g", 4)))
    for index, seconds in enumerate([1.0, 1.0, 4.0]):
        pace.ended(index, seconds)
    assert (pace.expected(3), pace.expected(4)) == (2.0, math.inf)


def test_its_own_record_counts_where_that_is_longer() -> None:
    """Or alone, where its function is not known yet."""
    tests = [*several(3), Test(index=3, function="f", seconds=9.0), Test(index=4, function="f", seconds=0.1)]
    pace = Pace(numbered(*tests))
    assert (pace.expected(3), pace.expected(4)) == (9.0, 0.1)
    for index in range(3):
        pace.ended(index, 1.0)
    assert (pace.expected(3), pace.expected(4)) == (9.0, 1.0)
