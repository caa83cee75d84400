"""Every formula agrees with SciPy, and no number makes one fail."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import optimize, stats

from pytest_gpupool.verdicts.statistics import (
    MOST_DRAWS,
    SIGNIFICANT,
    deviation,
    mean,
    paired_bootstrap_p_value,
    smallest_detectable,
    spread_of,
    standard_error,
    two_proportion_p_value,
)

NAN, INF = math.nan, math.inf
ANY = st.floats() | st.integers() | st.sampled_from([10**400, -(10**400)])
COUNTS = st.integers(1, 3000)
SHARES = st.floats(0.001, 0.999)


def z_test(p_new: float, n_new: int, p_old: float, n_old: int) -> float:
    """The textbook's formula, by SciPy's normal distribution."""
    pooled = (p_new * n_new + p_old * n_old) / (n_new + n_old)
    return float(stats.norm.sf(abs(p_new - p_old) / math.sqrt(pooled * (1 - pooled) * (1 / n_new + 1 / n_old))))


class TestTwoProportions:
    """The pooled two-proportion z-test, one-sided."""

    @pytest.mark.parametrize(
        ("p_new", "n_new", "p_old", "n_old"),
        [
            (140 / 200, 200, 255 / 340, 340),
            (0.881, 1000, 0.913, 1000),
            (0.881, 200, 0.913, 1000),
            (0.95, 14042, 0.913, 14042),
            (1.0, 50, 0.5, 50),
            (0.0, 3, 1.0, 3),
            (0.5, 1, 0.25, 10**6),
            (1e-9, 10**12, 2e-9, 10**12),
            (0.1, 10**9, 0.9, 10**9),
        ],
    )
    def test_scipys_normal_distribution_agrees(self, p_new: float, n_new: int, p_old: float, n_old: int) -> None:
        """To the last digits, far into the tail."""
        expected = z_test(p_new, n_new, p_old, n_old)
        assert two_proportion_p_value(p_new, n_new, p_old, n_old) == pytest.approx(expected, rel=1e-9, abs=1e-300)

    def test_an_example_by_hand(self) -> None:
        """140 of 200 against 255 of 340: z = -1.266015, p = 0.1028."""
        assert two_proportion_p_value(140 / 200, 200, 255 / 340, 340) == pytest.approx(0.1027536, abs=1e-6)

    @given(st.data(), COUNTS, COUNTS)
    def test_scipys_chi_square_agrees(self, data: st.DataObject, n_new: int, n_old: int) -> None:
        """Its test of a 2 × 2 table without correction is this one, two-sided."""
        new, old = data.draw(st.integers(0, n_new)), data.draw(st.integers(0, n_old))
        assume(0 < new + old < n_new + n_old and Fraction(new, n_new) != Fraction(old, n_old))
        table = [[new, n_new - new], [old, n_old - old]]
        expected = stats.chi2_contingency(table, correction=False).pvalue / 2
        assert two_proportion_p_value(new / n_new, n_new, old / n_old, n_old) == pytest.approx(expected, rel=1e-6)

    @given(st.integers(0, 1024), COUNTS, st.integers(0, 1024), COUNTS)
    def test_the_direction_does_not_matter(self, new: int, n_new: int, old: int, n_old: int) -> None:
        """A rise is as significant as a drop of the same size, and neither beyond one half."""
        p_new, p_old = new / 1024, old / 1024
        p_value = two_proportion_p_value(p_new, n_new, p_old, n_old)
        assert p_value == pytest.approx(two_proportion_p_value(p_old, n_old, p_new, n_new), rel=1e-9)
        assert p_value == pytest.approx(two_proportion_p_value(1 - p_new, n_new, 1 - p_old, n_old), rel=1e-6, abs=1e-12)
        assert 0 <= p_value <= 0.5 or p_value == 1

    @pytest.mark.parametrize(
        ("p_new", "n_new", "p_old", "n_old"),
        [
            (0.5, 100, 0.5, 200),
            (0.0, 100, 0.0, 100),
            (1.0, 100, 1.0, 100),
            (5e-324, 100, 0.0, 100),
            (0.5, 0, 0.4, 100),
            (0.5, 100, 0.4, -1),
            (NAN, 100, 0.4, 100),
            (0.5, 100, NAN, 100),
            (INF, 100, 0.4, 100),
            (91.3, 100, 88.1, 100),
            (-0.1, 100, 0.1, 100),
        ],
    )
    def test_no_evidence(self, p_new: float, n_new: int, p_old: float, n_old: int) -> None:
        """Equal values, all or none on both sides, and what is no proportion give 1."""
        assert two_proportion_p_value(p_new, n_new, p_old, n_old) == 1.0

    def test_any_number_of_items(self) -> None:
        """Also one that has no float: then any difference is significant."""
        assert two_proportion_p_value(0.5, 10**400, 0.4, 10**400) == 0.0
        assert two_proportion_p_value(0.5, 10**400, 0.4, 100) == pytest.approx(z_test(0.5, 10**12, 0.4, 100), rel=1e-3)


class TestDetectable:
    """The smallest change that the test would call significant."""

    @pytest.mark.parametrize("drop", [True, False])
    @given(p_old=SHARES, n_old=COUNTS, n_new=COUNTS)
    def test_it_is_the_smallest(self, drop: bool, p_old: float, n_old: int, n_new: int) -> None:
        """A little more is significant, a little less is not; where there is none, the largest change is not."""
        sign = -1 if drop else 1
        found = smallest_detectable(p_old, n_old, n_new, drop=drop)
        if found is None:
            assert two_proportion_p_value(0.0 if drop else 1.0, n_new, p_old, n_old) > SIGNIFICANT * (1 - 1e-6)
            return
        more, less = (p_old + sign * found * factor for factor in (1 + 1e-6, 1 - 1e-6))
        if 0 <= more <= 1:
            assert two_proportion_p_value(more, n_new, p_old, n_old) <= SIGNIFICANT
        assert two_proportion_p_value(less, n_new, p_old, n_old) > SIGNIFICANT

    @pytest.mark.parametrize(
        ("p_old", "n_old", "n_new", "drop"),
        [
            (0.913, 1000, 1000, True),
            (0.913, 1000, 1000, False),
            (0.913, 14042, 200, True),
            (0.5, 200, 14042, False),
            (1.0, 100, 100, True),
            (0.0, 100, 100, False),
        ],
    )
    def test_scipys_root_finder_agrees(self, p_old: float, n_old: int, n_new: int, drop: bool) -> None:
        """On the textbook's formula."""
        sign, most = (-1, p_old) if drop else (1, 1 - p_old)
        expected = optimize.brentq(
            lambda change: z_test(p_old + sign * change, n_new, p_old, n_old) - SIGNIFICANT, 1e-9, most * (1 - 1e-12)
        )
        assert smallest_detectable(p_old, n_old, n_new, drop=drop) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize(
        ("p_old", "n_old", "n_new", "drop"),
        [
            (0.0, 100, 100, True),
            (1.0, 100, 100, False),
            (0.02, 50, 50, True),
            (0.5, 2, 1, True),
            (NAN, 100, 100, True),
            (1.5, 100, 100, True),
            (0.5, 0, 100, True),
            (0.5, 100, 0, True),
        ],
    )
    def test_there_is_none(self, p_old: float, n_old: int, n_new: int, drop: bool) -> None:
        """Where no item, or no more items, can be lost or won, few are no evidence, or it is no proportion."""
        assert smallest_detectable(p_old, n_old, n_new, drop=drop) is None


def scipys_share(new: Sequence[float], old: Sequence[float]) -> tuple[float, bool]:
    """The share of SciPy's paired resamples on the other side of 0, and whether its percentile interval leaves out 0.

    The two-sided interval of 90 % has the bounds of the one-sided ones of 95 %.
    """
    result = stats.bootstrap(
        (new, old),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        paired=True,
        method="percentile",
        confidence_level=0.9,
        n_resamples=9999,
        rng=np.random.default_rng(1),
    )
    sign = math.copysign(1.0, float(np.mean(new) - np.mean(old)))
    low, high = result.confidence_interval
    return float(np.mean(sign * result.bootstrap_distribution <= 1e-12)), bool(low > 0 or high < 0)


def answers(seed: int, n: int, share: float) -> list[float]:
    """Right (1) and wrong (0) answers."""
    rng = random.Random(seed)
    return [float(rng.random() < share) for _ in range(n)]


def flipped(items: Sequence[float], fixed: int, broken: int) -> list[float]:
    """The same answers, but that so many wrong ones are right now, and so many right ones wrong."""
    rights, wrongs = itertools.count(), itertools.count()
    return [float(next(rights) >= broken) if item else float(next(wrongs) < fixed) for item in items]


OLD = answers(1, 400, 0.6)
NORMAL = [random.Random(2).gauss(0, 1) + index % 7 for index in range(60)]

PAIRS: dict[str, tuple[list[float], list[float]]] = {
    "clearly worse": (flipped(OLD, 10, 40), OLD),
    "worse": (flipped(OLD, 10, 22), OLD),
    "perhaps worse": (flipped(OLD, 10, 15), OLD),
    "hardly worse": (flipped(OLD, 40, 42), OLD),
    "better": (flipped(OLD, 22, 10), OLD),
    "perhaps better": (flipped(OLD, 15, 10), OLD),
    "scores, shifted a little": ([one + 0.3 + (index % 3 - 1) for index, one in enumerate(NORMAL)], NORMAL),
    "scores, noise": ([one + 0.01 + (index % 3 - 1) for index, one in enumerate(NORMAL)], NORMAL),
    "five items": ([1.0, 0.5, 0.25, 0.9, 0.7], [0.5, 0.75, 0.5, 0.2, 0.1]),
}


class TestPairedBootstrap:
    """The paired bootstrap of the mean difference, one-sided."""

    @pytest.mark.parametrize(("new", "old"), PAIRS.values(), ids=PAIRS)
    def test_scipys_bootstrap_agrees(self, new: list[float], old: list[float]) -> None:
        """In the p-value, up to the chance of both, and in whether the difference is significant."""
        expected, is_significant = scipys_share(new, old)
        p_value = paired_bootstrap_p_value(new, old, seed="test")
        chance = 4 * math.sqrt(expected * (1 - expected) * (1 / 2000 + 1 / 9999)) + 0.001
        assert p_value == pytest.approx(expected, abs=chance)
        assert (p_value <= SIGNIFICANT) == is_significant

    @pytest.mark.parametrize(("broken", "n"), [(110, 12_345), (130, MOST_DRAWS + 1)])
    def test_blocks_of_many_items_have_the_same_spread(self, broken: int, n: int) -> None:
        """The p-value is that of SciPy's paired t-test, which for so many items is the bootstrap's."""
        old = answers(3, n, 0.7)
        order = list(range(n))
        random.Random(4).shuffle(order)
        changed = flipped(old, 90, broken)
        new, old = [changed[index] for index in order], [old[index] for index in order]
        expected = stats.ttest_rel(new, old, alternative="less").pvalue
        assert paired_bootstrap_p_value(new, old, seed="test") == pytest.approx(expected, abs=0.025)

    def test_either_direction(self) -> None:
        """The better of two is as much better as the worse is worse."""
        new, old = PAIRS["perhaps worse"]
        p_value = paired_bootstrap_p_value(new, old, seed="a")
        assert p_value == paired_bootstrap_p_value(old, new, seed="a") < 0.5

    def test_a_seed_gives_the_same_each_time(self) -> None:
        """And another seed nearly the same."""
        new, old = PAIRS["perhaps worse"]
        values = [paired_bootstrap_p_value(new, old, seed=seed) for seed in ("a", "a", "b")]
        assert values[0] == values[1] != values[2] == pytest.approx(values[0], abs=0.05)

    def test_it_is_never_zero(self) -> None:
        """The observed difference counts as one resample."""
        assert paired_bootstrap_p_value([1.0] * 50, [0.0] * 50, seed="", resamples=99) == 0.01

    @pytest.mark.parametrize(
        ("new", "old"),
        [
            ([], []),
            ([0.0, 0.0], [0.0, 0.0]),
            ([1.0, 2.0], [1.0, 2.0]),
            ([1.0, 0.0], [0.0, 1.0]),
            ([0.3, 0.1], [0.2, 0.2]),  # 0.3 - 0.2 is not 0.1 in floats
            ([1.0, NAN], [0.0, 0.0]),
            ([1.0, 1.0], [0.0, -INF]),
            ([10**400, 1], [0, 0]),
        ],
    )
    def test_no_evidence(self, new: list[float], old: list[float]) -> None:
        """No difference of the means, and numbers that are not finite, give 1."""
        assert paired_bootstrap_p_value(new, old, seed="") == 1.0

    def test_sizes_that_would_overflow(self) -> None:
        """The largest floats of both signs."""
        assert paired_bootstrap_p_value([1.7e308] * 9, [-1.7e308] * 9, seed="") < 0.001

    def test_pairs_need_one_length(self) -> None:
        """Else there is nothing to pair."""
        with pytest.raises(ValueError, match="as many new items as old ones, not 2 and 3"):
            paired_bootstrap_p_value([1, 2], [1, 2, 3], seed="")

    @given(st.lists(st.tuples(ANY, ANY), max_size=8))
    def test_no_number_makes_it_fail(self, pairs: list[tuple[float, float]]) -> None:
        """Whatever it is."""
        new, old = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        assert 0 < paired_bootstrap_p_value(new, old, seed="", resamples=20) <= 1


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
