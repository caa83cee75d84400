"""How many workers of each size there should be."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_plans import load

from pytest_gpupool.planning.backlog.loads import Load
from pytest_gpupool.planning.sizes import targets


@pytest.mark.parametrize(
    ("tiers", "capacity", "wanted"),
    [
        ([{1: load(*[1.0] * 9)}], 4, {1: 4}),
        ([{1: load(1.0)}], 4, {1: 1}),
        ([{2: load(*[1.0] * 9)}], 5, {2: 2}),
        ([{0: load(1.0), 1: load(1.0)}], 4, {1: 1}),
        ([], 4, {}),
        ([{1: load(1.0)}], 0, {}),
    ],
    ids=["as many as fit", "no more than tests", "of their size", "none without devices", "nothing", "no devices"],
)
def test_suites_of_one_size(tiers: list[Mapping[int, Load]], capacity: int, wanted: dict[int, int]) -> None:
    """Every device works while there are tests."""
    assert targets(tiers, capacity) == wanted


def test_large_tests_go_first_and_small_ones_fill_the_rest() -> None:
    """As many large workers as are needed for all to end together."""
    assert targets([{1: load(*[1.0] * 32), 4: load(*[1.0] * 8)}], 8) == {4: 1, 1: 4}


def test_a_test_that_needs_every_device_has_them_first() -> None:
    """Small ones begin when it has ended, not the other way round."""
    assert targets([{1: load(*[1.0] * 32), 8: load(4.0)}], 8) == {8: 1, 1: 0}


def test_a_small_test_that_takes_as_long_as_all_others_begins_at_once() -> None:
    """It decides when the run ends."""
    wanted = targets([{1: load(100.0), 2: load(*[1.0] * 50)}], 4)
    assert wanted == {2: 1, 1: 1}


def test_higher_priorities_are_served_first() -> None:
    """Lower ones get what they leave."""
    assert targets([{2: load(1.0)}, {1: load(*[1.0] * 9)}], 4) == {2: 1, 1: 2}
    assert targets([{1: load(*[1.0] * 9)}, {4: load(1.0)}], 4) == {1: 4}


LOADS = st.dictionaries(
    st.sampled_from([0, 1, 2, 3, 4, 8]),
    st.lists(st.none() | st.floats(0, 1000), min_size=1, max_size=20).map(lambda seconds: load(*seconds)),
)


@given(tiers=st.lists(LOADS, max_size=3), capacity=st.integers(0, 16))
def test_targets_fit_and_leave_no_device_without_need(tiers: list[dict[int, Load]], capacity: int) -> None:
    """There are never more workers than devices or tests; a device is left over only where no test fits."""
    wanted = targets(tiers, capacity)
    counts: dict[int, int] = {}
    for tier in tiers:
        for gpus, waiting in tier.items():
            counts[gpus] = counts.get(gpus, 0) + waiting.count
    left = capacity - sum(gpus * count for gpus, count in wanted.items())
    assert left >= 0
    assert all(0 <= count <= counts[gpus] for gpus, count in wanted.items())
    assert not any(gpus <= left and wanted.get(gpus, 0) < count for gpus, count in counts.items() if gpus)
