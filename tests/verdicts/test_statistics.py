"""Every formula agrees with SciPy, and no number makes one fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_gpupool.verdicts.chance.statistics import deviation, mean, spread_of, standard_error

NAN, INF = math.nan, math.inf
ANY = st.floats() | st.integers() | st.sampled_from([10**400, -(10**400)])


class TestSpread:
    """Means, deviations and standard errors."""

    @given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
    def test_scipy_agrees(self, values: list[float]) -> None:
        """NumPy's mean and deviation, SciPy's standard error."""
        assert mean(values) == pytest.approx(float(np.mean(values)), abs=1e-9)
        assert deviation(values) == pytest.approx(float(np.std(values, ddof=1)), rel=1e-6, abs=1e-9)
        assert standard_error(values) == pytest.approx(float(stats.sem(values)), rel=1e-6, abs=1e-9)

    def test_equal_values_have_no_spread(self) -> None:
        """Not even that of rounding."""
        assert deviation([0.1] * 10) == standard_error([0.1] * 10) == 0.0

    @pytest.mark.parametrize("values", [[], [1.0], [1.0, NAN], [1.0, INF], [10**400, 1]])
    def test_what_has_no_deviation(self, values: list[float]) -> None:
        """Fewer than two values, or one that is not finite."""
        assert deviation(values) is None
        assert standard_error(values) is None

    @pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
    def test_any_scale(self, scale: float) -> None:
        """No square overflows or vanishes."""
        assert deviation([scale, 3 * scale]) == pytest.approx(math.sqrt(2) * scale)

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([1, 2], 1.5),
            ([1e16, 1.0, -1e16, 1.0], 0.5),
            ([1.7e308, 1.7e308], 1.7e308),
            ([10**400, 10**400 + 2], 10**400 + 1),
            ([10**400, -(10**400)], 0.0),
        ],
    )
    def test_means(self, values: list[float], expected: float) -> None:
        """Exact where floats overflow, an int where they end."""
        assert mean(values) == expected

    @pytest.mark.parametrize("values", [[], [NAN], [1.0, INF], [-INF, INF]])
    def test_no_mean(self, values: list[float]) -> None:
        """Of nothing, and of what is not finite."""
        assert math.isnan(mean(values))

    @given(st.lists(ANY, max_size=5), ANY, st.none() | st.integers())
    def test_no_number_makes_it_fail(self, values: list[float], value: float, n: int | None) -> None:
        """Whatever it is: a spread is a finite number from 0, or none."""
        mean(values)
        for spread in (deviation(values), spread_of(value, n), spread_of(value, n, values)):
            assert spread is None or 0 <= spread < INF

    @pytest.mark.parametrize(
        ("value", "n", "samples", "expected"),
        [
            (0.913, 1000, None, math.sqrt(0.913 * 0.087 / 1000)),
            (1, 10, None, 0.0),
            (0.5, None, None, None),
            (91.3, 1000, None, None),
            (NAN, 1000, None, None),
            (2.5, 4, [1.0, 2.0, 3.0, 4.0], 0.6454972243679028),
            (0.75, 4, [1.0, 1.0, 1.0, 0.0], 0.25),
            (0.5, 1, [0.5], None),
            (0.5, 2, [0.5, NAN], None),
        ],
        ids=["n", "all", "no-n", "percent", "nan", "samples", "samples-first", "one-sample", "bad-sample"],
    )
    def test_the_spread_of_a_value(
        self, value: float, n: int | None, samples: list[float] | None, expected: float | None
    ) -> None:
        """Samples count first, then a proportion's n."""
        assert spread_of(value, n, samples) == (None if expected is None else pytest.approx(expected))
