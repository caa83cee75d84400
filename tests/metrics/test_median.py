"""The median, and its distribution-free interval."""

from __future__ import annotations

import random
from math import comb
from statistics import median as middle

import pytest

from pytest_gpupool.metrics.median import Median, median


@pytest.mark.parametrize(
    ("count", "rank"),
    # Table in Hoel and Jessen, and of R's quantileCI: the smallest and the largest until 8, and so on.
    [(6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (20, 6), (50, 18), (100, 40), (1000, 469)],
)
def test_its_ends_are_the_ranks_of_the_table(count: int, rank: int) -> None:
    """Of n in order, the l-th smallest and the l-th largest."""
    values = [float(number) for number in range(1, count + 1)]
    found = median(random.Random(1).sample(values, count))
    assert found == Median(middle(values), rank, count + 1 - rank)
    missed = 2 * sum(comb(count, below) for below in range(rank)) / 2**count
    assert missed <= 0.05 < missed + 2 * comb(count, rank) / 2**count


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [1.0, 2.0, 9.0, 3.0, 5.0]])
def test_of_few_there_is_no_interval(values: list[float]) -> None:
    found = median(values)
    assert (found.value, found.low, found.high, found.relative_error) == (middle(values), None, None, None)


def test_the_relative_error_is_half_the_width_over_the_median() -> None:
    assert median([8.0, 9.0, 10.0, 10.0, 11.0, 13.0]).relative_error == 5 / 20
    assert median([0.0] * 10).relative_error is None


def test_it_has_the_true_median_as_often_as_it_says() -> None:
    """Of a skewed distribution, as times are; at least 95 % of 2000 intervals of 30, up to chance."""
    chance = random.Random(7)
    hits = 0
    for _ in range(2000):
        found = median([chance.lognormvariate(0, 1) for _ in range(30)])
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.0 <= found.high
    assert 0.94 <= hits / 2000 <= 0.98
