"""Every formula of chance agrees with SciPy and statsmodels, far into the tails."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from pytest_gpupool.verdicts.chance.distributions import binomial_tail, hypergeometric_tail, t_quantile, t_tail
from pytest_gpupool.verdicts.chance.intervals import newcombe, wilson
from pytest_gpupool.verdicts.chance.shared_noise import Noise, digamma, shared, trigamma
from pytest_gpupool.verdicts.chance.significance import (
    holm,
    mcnemar,
    mean_and_error,
    paired_t,
    sign_flips,
    two_proportions,
    welch,
)

LEAST = 1e-250
"""Below it SciPy's own tails lose their digits, or are 0."""

COUNTS = st.integers(1, 3000)


class TestDistributions:
    """Tails are computed as such."""

    @given(st.floats(-40, 40), st.sampled_from([1, 2, 4, 19, 50.5, 1318, 1e5]))
    def test_students_tail(self, t: float, df: float) -> None:
        expected = float(stats.t.sf(t, df))
        assert t_tail(t, df) == pytest.approx(expected, rel=1e-9, abs=LEAST)

    def test_with_infinitely_many_degrees_of_freedom_it_is_the_normal_one(self) -> None:
        assert t_tail(3.0, float("inf")) == pytest.approx(float(stats.norm.sf(3.0)), rel=1e-12)
        assert t_tail(float("inf"), 3) == 0
        assert t_tail(float("-inf"), 3) == 1

    @pytest.mark.parametrize("tail", [0.5, 0.2, 0.025, 1e-4, 1e-7])
    @pytest.mark.parametrize("df", [1, 4, 19, 1318, float("inf")])
    def test_students_quantile(self, tail: float, df: float) -> None:
        expected = stats.norm.isf(tail) if df == float("inf") else stats.t.isf(tail, df)
        assert t_quantile(tail, df) == pytest.approx(float(expected), rel=1e-9, abs=1e-9)

    @given(COUNTS, st.floats(0, 1))
    def test_the_tail_of_fair_coins(self, n: int, share: float) -> None:
        successes = round(share * n)
        expected = float(stats.binom.sf(successes - 1, n, 0.5))
        assert binomial_tail(successes, n) == pytest.approx(expected, rel=1e-9, abs=LEAST)

    @given(st.data(), COUNTS, COUNTS)
    def test_the_tail_of_a_draw_without_replacement(self, data: st.DataObject, drawn: int, others: int) -> None:
        marked = data.draw(st.integers(0, drawn + others))
        hits = data.draw(st.integers(-1, drawn + 1))
        expected = float(stats.hypergeom.cdf(hits, drawn + others, marked, drawn))
        assert hypergeometric_tail(hits, drawn, marked, drawn + others) == pytest.approx(expected, rel=1e-9, abs=1e-100)


class TestTests:
    """All are one-sided: of a fall."""

    @given(st.integers(0, 500), st.integers(0, 500))
    def test_mcnemar_is_a_binomial_test(self, lost: int, won: int) -> None:
        if lost + won:
            expected = stats.binomtest(lost, lost + won, alternative="greater").pvalue
            assert mcnemar(lost, won) == pytest.approx(float(expected), rel=1e-9, abs=LEAST)
        assert mcnemar(0, 0) == 1

    def test_mcnemar_as_statsmodels_has_it(self) -> None:
        """``mcnemar(exact=True)`` of 0.15.0, which is two-sided."""
        assert mcnemar(22, 10) == pytest.approx(0.025051229866221547, rel=1e-9)

    @given(st.data(), COUNTS, COUNTS)
    def test_two_proportions_are_fishers(self, data: st.DataObject, n_new: int, n_old: int) -> None:
        new, old = data.draw(st.integers(0, n_new)), data.draw(st.integers(0, n_old))
        expected = stats.fisher_exact([[new, n_new - new], [old, n_old - old]], alternative="less").pvalue
        assert two_proportions(new, n_new, old, n_old) == pytest.approx(float(expected), rel=1e-7, abs=1e-100)

    def test_of_very_many_items_it_is_the_z_test(self) -> None:
        """The two agree where one becomes the other."""
        below, above = (
            two_proportions(399_000, 500_000, 400_000, 500_000),
            two_proportions(399_000, 500_001, 400_000, 500_000),
        )
        assert below == pytest.approx(above, rel=0.02)
        table = [[399_000, 101_001], [400_000, 100_000]]
        expected = stats.chi2_contingency(table, correction=False).pvalue / 2
        assert above == pytest.approx(float(expected), rel=1e-9)

    @pytest.mark.parametrize(("n", "shift"), [(10, 0.3), (200, 0.05), (1319, -0.1)])
    def test_paired_t(self, n: int, shift: float) -> None:
        draw = random.Random(n)
        old = [draw.gauss(0, 1) for _ in range(n)]
        new = [one + draw.gauss(-shift, 0.5) for one in old]
        differences = [one - other for one, other in zip(new, old, strict=True)]
        expected = float(stats.ttest_rel(new, old, alternative="less").pvalue)
        assert paired_t(differences) == pytest.approx(expected, rel=1e-9)

    def test_pairs_that_all_differ_alike_leave_no_doubt(self) -> None:
        assert (paired_t([-1.0] * 20), paired_t([0.0] * 20), paired_t([1.0] * 20)) == (0, 1, 1)

    @pytest.mark.parametrize("n", [2, 5, 9])
    def test_sign_flips_are_scipys_permutations(self, n: int) -> None:
        draw = random.Random(n)
        differences = [draw.gauss(-0.4, 1) for _ in range(n)]
        found = stats.permutation_test(
            (np.array(differences), np.zeros(n)),
            lambda new, old, axis: np.mean(new - old, axis=axis),
            permutation_type="samples",
            alternative="less",
            vectorized=True,
        )
        assert sign_flips(differences) == pytest.approx(float(found.pvalue), abs=1e-12)

    def test_three_that_fell_are_one_of_eight(self) -> None:
        assert sign_flips([-1.0, -2.0, -0.5]) == 1 / 8
        assert sign_flips([0.0, 0.0]) == 1

    def test_welch(self) -> None:
        draw = random.Random(1)
        new, old = [draw.gauss(1, 2) for _ in range(30)], [draw.gauss(1.5, 1) for _ in range(200)]
        difference, error, df = welch(new, old)
        expected = stats.ttest_ind(new, old, equal_var=False, alternative="less")
        assert t_tail(-difference / error, df) == pytest.approx(float(expected.pvalue), rel=1e-9)
        assert df == pytest.approx(float(expected.df), rel=1e-9)

    def test_a_mean_and_its_error(self) -> None:
        values = [1.0, 2.0, 4.0, 8.0]
        mean, error, freedom = mean_and_error(values)
        assert (mean, freedom) == (3.75, 3)
        assert error == pytest.approx(float(stats.sem(values)), rel=1e-12)


class TestSharedNoise:
    """What the noise of many metrics tells of that of one."""

    @given(st.floats(0.01, 1e5))
    def test_scipys_derivatives_of_the_gamma_function(self, x: float) -> None:
        assert digamma(x) == pytest.approx(float(special.digamma(x)), rel=1e-9, abs=1e-12)
        assert trigamma(x) == pytest.approx(float(special.polygamma(1, x)), rel=1e-9)

    @pytest.mark.parametrize("freedom", [4.0, 20.0])
    def test_the_parameters_that_were_drawn_from_are_found(self, freedom: float) -> None:
        """Of 5000 metrics with five runs each, whose variances differ."""
        draw = np.random.default_rng(1)
        variances = 0.03**2 * freedom / draw.chisquare(freedom, 5000)
        seen = variances * draw.chisquare(4, 5000) / 4
        found = shared([Noise(variance=float(one), freedom=4) for one in seen])
        assert found is not None
        assert found.variance == pytest.approx(0.03**2, rel=0.1)
        assert found.freedom == pytest.approx(freedom, rel=0.25)

    def test_where_all_have_the_same_noise_that_is_all_there_is(self) -> None:
        found = shared([Noise(variance=0.04, freedom=4)] * 5)
        assert found is not None
        assert found.freedom == float("inf")
        own = Noise(variance=1.0, freedom=4)
        assert own.beside(found) == found
        assert own.beside(None) == own
        assert own.beside(Noise(variance=2.0, freedom=12)) == Noise(variance=1.75, freedom=16)

    def test_few_metrics_tell_nothing(self) -> None:
        assert shared([Noise(variance=0.04, freedom=4)] * 4) is None
        assert shared([Noise(variance=0.0, freedom=4)] * 9) is None


class TestMany:
    """Holm's adjusted p-values, as statsmodels 0.15.0 has them."""

    def test_an_example(self) -> None:
        given = [0.01, 0.04, 0.03, 0.005, 0.5, 0.0001, 0.03]
        assert holm(given) == pytest.approx([0.05, 0.12, 0.12, 0.03, 0.5, 0.0007, 0.12], rel=1e-9)
        assert holm([]) == []

    @given(st.lists(st.floats(0, 1), max_size=20), st.floats(0.001, 0.5))
    def test_they_reject_what_the_procedure_rejects(self, given: list[float], error: float) -> None:
        """Step by step, the smallest first, until one is not small enough."""
        rejected = set()
        for rank, place in enumerate(sorted(range(len(given)), key=given.__getitem__)):
            if given[place] * (len(given) - rank) > error:
                break
            rejected.add(place)
        assert {place for place, p_value in enumerate(holm(given)) if p_value <= error} == rejected


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((56, 70, 48, 80), (0.05243147240236498, 0.33387265403690614)),  # 0.0524 to 0.3339 in Newcombe's paper
        ((9, 10, 3, 10), (0.1705227239345029, 0.809017973535488)),
        ((881, 1000, 913, 1000), (-0.05878862366620814, -0.005332088261538671)),
        ((0, 20, 0, 10), (-0.27753279986288926, 0.1611251580528194)),
        ((10, 10, 0, 20), (0.6790860371419145, 1.0)),
    ],
)
def test_newcombes_interval(counts: tuple[int, int, int, int], expected: tuple[float, float]) -> None:
    """As statsmodels 0.15.0 has it, ``confint_proportions_2indep(method="newcomb")``."""
    assert newcombe(*counts) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.data(), COUNTS)
def test_wilsons_interval(data: st.DataObject, n: int) -> None:
    successes = data.draw(st.integers(0, n))
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)
