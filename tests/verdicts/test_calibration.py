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


@pytest.fixture
def calibration(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The benchmark's module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module("calibration")
    sys.modules.pop("calibration", None)


@pytest.mark.parametrize("p", [0.3, 0.8, 0.95])
@pytest.mark.parametrize("cohort", [1, 20])
def test_an_unchanged_suite_of_100_accuracies_is_green(calibration: Any, p: float, cohort: int) -> None:
    """At an error of 1 % three red ones of 40 would be one case in 120."""
    found = calibration.rates(calibration.accuracy(p, cohort=cohort), metrics=100, suites=SUITES, seed=1)
    assert found.red <= 2 / SUITES


@pytest.mark.parametrize(("noise", "cohort"), [(0.03, 5), (0.1, 20)])
def test_an_unchanged_suite_of_100_times_is_green(calibration: Any, noise: float, cohort: int) -> None:
    """Whatever their noise is."""
    found = calibration.rates(calibration.time(noise, cohort=cohort), metrics=100, suites=SUITES, seed=1)
    assert found.red <= 2 / SUITES


def test_a_fall_of_3_points_is_found(calibration: Any) -> None:
    """Over the same questions, of which few flip; and where each is asked ten times."""
    same = calibration.same_items(0.8, flips=0.01, cohort=5)
    assert calibration.rates(same, metrics=10, suites=20, seed=1).found >= 0.8
    repeated = calibration.accuracy(0.8, cohort=20, repeats=10)
    assert calibration.rates(repeated, metrics=100, suites=20, seed=1).found >= 0.8


def test_what_takes_10_percent_longer_is_found(calibration: Any) -> None:
    """Beside 20 accepted runs, where the noise is 1 %."""
    found = calibration.rates(calibration.time(0.01, cohort=20), metrics=100, suites=SUITES, seed=1)
    assert found.found >= 0.8
