"""Several attempts of one run at a metric are judged together, once."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pytest_gpupool.metrics.metric import Metric, make
from pytest_gpupool.verdicts.baselines.baseline import Baseline, Entry
from pytest_gpupool.verdicts.case import Decision, Evidence
from pytest_gpupool.verdicts.chance.cohort import Measurement
from pytest_gpupool.verdicts.chance.pooling import count_for, pooled, share_in_common
from pytest_gpupool.verdicts.chance.shared_noise import Noise
from pytest_gpupool.verdicts.decide import Policy, decide, is_suspect

KIND = "NVIDIA H200"


def evidence(*attempts: Metric) -> Evidence:
    """What a run found of one metric; the first attempt's is the test's own."""
    several = attempts if len(attempts) > 1 else ()
    return Evidence(test="test_a.py::test_b", metric=attempts[0], device=KIND, attempts=several)


def baseline(*runs: Measurement, **about: Any) -> Baseline:
    """A metric's accepted runs."""
    first, *later = runs
    known: dict[str, Any] = {"value": first.value, "n": first.n, "samples": first.samples, "items": first.items}
    entry = Entry(test="test_a.py::test_b", metric="m", device=KIND, later=tuple(later), **known, **about)
    return Baseline((entry,))


def decided(known: Baseline, *attempts: Metric) -> Decision:
    """What becomes of it."""
    return decide([evidence(*attempts)], known, Policy())[0]


def marks(known: Baseline, *attempts: Metric) -> bool:
    """Whether it is to be measured again."""
    return is_suspect(evidence(*attempts), known, Policy(), {})


def answers(*right: int, n: int = 10) -> Metric:
    """An accuracy over as many questions, of which those are answered."""
    return make("m", len(right) / n, higher_is_better=True, samples={f"q{k}": k in right for k in range(n)})


def test_the_same_items_are_no_new_ones() -> None:
    """Each has its mean over the attempts, by its id; the number of items stays."""
    several = pooled([answers(1, 2), answers(2, 3, 4)])
    assert (several.value, several.n) == (0.25, 10)
    assert several.samples == (0, 0.5, 1, 0.5, 0.5, 0, 0, 0, 0, 0)
    assert several.items == tuple(f"q{k}" for k in range(10))
    assert pooled([answers(1, 2)] * 3) == answers(1, 2)


@pytest.mark.parametrize(
    ("values", "count"),
    [
        pytest.param([1.0], 1.0, id="one"),
        pytest.param([1.0, -1.0, 1.0, -1.0, 0.0], 5.0, id="as-runs"),
        pytest.param([0.5, 0.5, 0.5, 0.5], 1.0, id="the-same"),
    ],
)
def test_attempts_count_for_runs_as_far_as_they_differ_like_runs(values: list[float], count: float) -> None:
    assert count_for(values, Noise(variance=1.0, freedom=19)) == pytest.approx(count)
    assert count_for(values, Noise(variance=1.0, freedom=19), common=1.0) == 1.0


def test_what_attempts_have_in_common_is_told_by_all_metrics() -> None:
    """By how near to the accepted runs the second ones are again: wholly, half, not at all; few say nothing."""

    def share(common: float, count: int = 400) -> float:
        draw = random.Random(7)
        seen: list[tuple[float, float, float, int]] = []
        while len(seen) < count:
            both = draw.gauss(0, common**0.5)
            first, second = (both + draw.gauss(0, (1 - common) ** 0.5) for _ in range(2))
            if first > 1.28:  # nobody measures the others again
                seen.append((first, second, 0.0, 1000))
        return share_in_common(seen)

    assert share(1.0) == pytest.approx(1.0, abs=0.01)
    assert share(0.5) == pytest.approx(0.5, abs=0.1)
    assert share(0.0) == pytest.approx(0.0, abs=0.1)
    assert share(1.0, count=4) == 0.0


def test_a_fall_that_one_attempt_cannot_show() -> None:
    """Five can: 1,319 other questions each time, beside 20 accepted runs."""
    draw = random.Random(6)

    def accuracy(chance: float) -> float:
        return sum(draw.random() < chance for _ in range(1319)) / 1319

    known = baseline(*(Measurement(value=accuracy(0.8), n=1319) for _ in range(20)))
    attempts = [make("m", accuracy(0.775), kind="proportion", higher_is_better=True, n=1319) for _ in range(5)]
    assert decided(known, attempts[0]).verdict == "ok"
    assert marks(known, attempts[0])
    found = decided(known, *attempts)
    assert (found.verdict, found.attempts) == ("regressed", tuple(one.value for one in attempts))
    assert found.value == pytest.approx(sum(one.value for one in attempts) / 5)
    assert "mean of 5 attempts" in (found.note or "")


def test_what_happened_once_is_no_regression() -> None:
    """However far off it was: the attempts after it say nothing of it."""
    known = baseline(*(Measurement(value=1 + 0.001 * k) for k in range(6)), unit="s")
    attempts = [make("m", value, unit="s", higher_is_better=False) for value in (3.0, 1.002, 1.003, 1.001, 1.004)]
    found = decided(known, *attempts)
    assert found.verdict == "ok"
    assert "not seen again when it was measured again" in (found.note or "")


def test_when_nothing_is_left_to_find() -> None:
    """Within the tolerance, to the better, likely by chance, beyond doubt, or the same to the last bit."""
    known = baseline(*(Measurement(value=1 + 0.01 * k) for k in (0, 2, -1, 1, -2, 0.5, -0.5)), unit="s")

    def seconds(*values: float) -> list[Metric]:
        return [make("m", value, unit="s", higher_is_better=False) for value in values]

    assert marks(known, *seconds(1.05))
    assert marks(known, *seconds(2.0))  # beyond doubt, had it happened twice
    assert not marks(known, *seconds(1.009))
    assert not marks(known, *seconds(0.8))
    assert not marks(known, *seconds(1.02))
    assert not marks(known, *seconds(1.05, 0.97))
    assert not marks(known, *seconds(2.0, 2.1))
    assert not marks(known, *seconds(1.05, 1.05))


def test_a_seed_that_decides_is_no_proof() -> None:
    """Items that are the same at each attempt are judged by their noise, until two runs were the same as well."""

    def correct(right: int) -> Measurement:
        return Measurement(value=right / 100, n=100, samples=tuple(float(k < right) for k in range(100)))

    def metric(right: int) -> Metric:
        return make("m", right / 100, higher_is_better=True, samples=[k < right for k in range(100)])

    assert decided(baseline(correct(80)), metric(78), metric(78)).verdict == "ok"
    assert decided(baseline(correct(80), correct(81)), metric(78), metric(78)).verdict == "ok"
    found = decided(baseline(correct(80), correct(80)), metric(78), metric(78))
    assert (found.verdict, found.note) == ("regressed", "bit-identical each time")
