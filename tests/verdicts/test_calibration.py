"""How often a decision over a whole run is wrong, by a short and seeded run of ``benchmarks/calibration.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

SUITES = 40


OTHERS = [(0.3, 1), (0.8, 1), (0.8, 20), (0.95, 20)]
"""Accuracies, and how many runs were accepted: with --long."""


@pytest.fixture
def calibration(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The benchmark's module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module("calibration")
    sys.modules.pop("calibration", None)


@pytest.mark.parametrize(
    ("p", "cohort"),
    [(0.3, 20), (0.95, 1), *(pytest.param(*one, marks=pytest.mark.long) for one in OTHERS)],
)
def test_an_unchanged_suite_of_100_accuracies_is_green(calibration: Any, p: float, cohort: int) -> None:
    """At an error of 1 % three red ones of 40 would be one case in 120."""
    found = calibration.rates(calibration.accuracy(p, cohort=cohort), metrics=100, suites=SUITES, seed=1)
    assert found.red <= 2 / SUITES


@pytest.mark.parametrize(("noise", "cohort"), [(0.03, 5), pytest.param(0.1, 20, marks=pytest.mark.long)])
def test_an_unchanged_suite_of_100_times_is_green(calibration: Any, noise: float, cohort: int) -> None:
    """Whatever their noise is."""
    found = calibration.rates(calibration.time(noise, cohort=cohort), metrics=100, suites=SUITES, seed=1)
    assert found.red <= 2 / SUITES


def test_a_fall_of_3_points_is_found(calibration: Any) -> None:
    """Over the same questions, of which few flip; and over other ones, where what is suspect is asked again."""
    same = calibration.same_items(0.8, flips=0.01, cohort=5)
    assert calibration.rates(same, metrics=10, suites=20, seed=1).found >= 0.8
    draw = calibration.accuracy(0.95, cohort=20)
    once, again = (calibration.rates(draw, metrics=100, suites=20, seed=1, confirm=n) for n in (0, 4))
    assert again.found >= max(0.8, once.found)
    assert again.red <= 1 / 20
    assert 0 < again.again < 1


def test_what_takes_10_percent_longer_is_found(calibration: Any) -> None:
    """Beside 20 accepted runs: where the noise is 1 % at once, where it is 3 % by measuring again."""
    found = calibration.rates(calibration.time(0.01, cohort=20), metrics=100, suites=SUITES, seed=1)
    assert found.found >= 0.8
    found = calibration.rates(calibration.time(0.03, cohort=20), metrics=20, suites=SUITES, seed=1, confirm=4)
    assert found.found >= 0.8
    assert found.red <= 2 / SUITES


def test_what_all_attempts_of_a_run_have_in_common_is_no_proof(calibration: Any) -> None:
    """A slow host makes no suite red, however often its times are measured there."""
    draw = calibration.time(0.03, cohort=20, common=1.0)
    assert calibration.rates(draw, metrics=50, suites=20, seed=1, confirm=4).red <= 1 / 20
