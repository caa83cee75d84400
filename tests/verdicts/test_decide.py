"""What becomes of one metric beside its baseline: the tables here are the rules."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gpupool.metrics.metric import Metric, make
from pytest_gpupool.values.verdicts import KINDS, Verdict
from pytest_gpupool.verdicts.baselines.baseline import Baseline, Entry
from pytest_gpupool.verdicts.case import Decision, Evidence
from pytest_gpupool.verdicts.chance.cohort import Measurement
from pytest_gpupool.verdicts.decide import Policy, decide
from pytest_gpupool.verdicts.verdict import sentence

TEST, H200 = "test_a.py::test_b", "NVIDIA H200"
POLICY = Policy(error=0.05)
NAN, INF = math.nan, math.inf
HUGE = 10**400
UP: dict[str, Any] = {"higher_is_better": True}
DOWN: dict[str, Any] = {"higher_is_better": False}


def entry(value: float, **fields: Any) -> Entry:
    """The baseline of a metric."""
    return Entry(test=TEST, metric="m", device=H200, value=value, **fields)


def judged(metric: Metric, known: Entry | None, policy: Policy = POLICY, **around: Any) -> Decision:
    """The decision on a run of this one metric."""
    evidence = Evidence(test=TEST, metric=metric, device=H200, **around)
    entries = () if known is None else (replace(known, metric=metric.name),)
    return decide([evidence], Baseline(entries), policy)[0]


def verdict(value: float, known: Entry | None, **call: Any) -> Verdict:
    """What a test's call is given."""
    return judged(make("m", value, **call), known).verdict


class TestDirection:
    """Better or worse, by more than the tolerance."""

    @pytest.mark.parametrize(
        ("value", "direction", "expected"),
        [
            (0.98, True, "regressed"),
            (0.995, True, "ok"),
            (1.0, True, "ok"),
            (1.005, True, "ok"),
            (1.02, True, "improved"),
            (0.98, False, "improved"),
            (0.995, False, "ok"),
            (1.02, False, "regressed"),
            (0.98, None, "regressed"),
            (0.995, None, "ok"),
            (1.005, None, "ok"),
            (1.02, None, "regressed"),
        ],
    )
    def test_of_a_baseline_of_one(self, value: float, direction: bool | None, expected: str) -> None:
        """Within 1 %; where nobody says what is better, any change is a regression."""
        assert verdict(value, entry(1.0), higher_is_better=direction) == expected
        assert verdict(value, entry(1.0, higher_is_better=direction)) == expected

    @pytest.mark.parametrize(
        ("call", "known", "expected"),
        [(True, False, True), (False, True, False), (None, True, True), (None, False, False), (None, None, None)],
    )
    def test_the_calls_counts_first(self, call: bool | None, known: bool | None, expected: bool | None) -> None:
        """The decision says which one it was."""
        found = judged(make("m", 1.02, higher_is_better=call), entry(1.0, higher_is_better=known))
        assert found.higher_is_better is expected
        assert found.verdict == ("improved" if expected else "regressed")

    def test_a_baseline_below_zero(self) -> None:
        """The tolerance is relative to its size, and up is up."""
        assert verdict(-1.005, entry(-1.0, **UP)) == "ok"
        assert verdict(-1.02, entry(-1.0, **UP)) == "regressed"
        assert verdict(-0.98, entry(-1.0, **UP)) == "improved"

    def test_a_baseline_of_zero(self) -> None:
        """No relative change is allowed, an absolute one is."""
        assert verdict(0, entry(0)) == "ok"
        assert verdict(1e-12, entry(0, **DOWN)) == "regressed"
        assert verdict(0.1, entry(0, **DOWN), atol=0.1) == "ok"


NOTHING: dict[str, Any] = {}

ALLOWED = {
    "nobody gives one": (NOTHING, NOTHING, 0.02),
    "the call's atol alone": ({"atol": 0.5}, NOTHING, 0.5),
    "the call's atol, below the ini's rtol": ({"atol": 0.001}, NOTHING, 0.001),
    "the call's rtol alone": ({"rtol": 0.1}, NOTHING, 0.2),
    "the larger of the call's two": ({"atol": 0.3, "rtol": 0.1}, NOTHING, 0.3),
    "the other is the larger": ({"atol": 0.1, "rtol": 0.1}, NOTHING, 0.2),
    "the call's zero": ({"atol": 0}, NOTHING, 0.0),
    "the entry's atol alone": (NOTHING, {"atol": 0.5}, 0.5),
    "the entry's rtol alone": (NOTHING, {"rtol": 0.005}, 0.01),
    "the larger of the entry's two": (NOTHING, {"atol": 0.5, "rtol": 0.1}, 0.5),
    "the entry's zero": (NOTHING, {"rtol": 0}, 0.0),
    "one of the call's hides both of the entry's": ({"rtol": 0.001}, {"atol": 0.5, "rtol": 0.1}, 0.002),
}


class TestTolerance:
    """The allowed change."""

    @pytest.mark.parametrize(("call", "known", "expected"), ALLOWED.values(), ids=ALLOWED)
    def test_who_gives_it(self, call: dict[str, Any], known: dict[str, Any], expected: float) -> None:
        """The call, else the entry, else the ini; one that is given makes the other 0. The baseline is -2."""
        assert judged(make("m", -2, **call), entry(-2, **known)).allowed == pytest.approx(expected, abs=0)

    @pytest.mark.parametrize(
        ("value", "baseline", "call"),
        [
            (0.9, 1.0, {"atol": 0.1}),
            (1.1, 1.0, {"atol": 0.1}),
            (0.1 + 0.2, 0.2, {"atol": 0.1}),
            (0.3, 0.1 + 0.2, {"rtol": 1e-15}),
            (0.99, 1.0, {}),
            (0.7 * 0.99, 0.7, {}),
            (0.913 * 1.01, 0.913, {}),
            (99, 100, {}),
            (HUGE - 1, HUGE, {"atol": 1}),
            (1e-320, 2e-320, {"rtol": 0.5}),
            (1e308, -1e308, {"rtol": 2}),
            (5, 5.0, {"atol": 0}),
        ],
    )
    def test_a_change_of_just_so_much_is_ok(self, value: float, baseline: float, call: dict[str, float]) -> None:
        """As people read the numbers, whatever floats make of them."""
        assert verdict(value, entry(baseline), **call) == "ok"

    @pytest.mark.parametrize(
        ("value", "baseline", "call"),
        [
            (0.899999, 1.0, {"atol": 0.1}),
            (0.7 * 0.99 - 1e-12, 0.7, {}),
            (0.1 + 0.2, 0.3, {"atol": 0}),
            (0.1 + 0.2, 0.3, {"atol": 1e-300}),
            (2**53 + 1, 2**53, {"atol": 0}),
            (HUGE + 1, HUGE, {"rtol": 0}),
            (HUGE, 1, {}),
            (1, HUGE, {}),
            (1e308, -1e308, {"rtol": 1.99}),
            (5e-324, 0.0, {}),
        ],
    )
    def test_a_little_more_is_not(self, value: float, baseline: float, call: dict[str, float]) -> None:
        """A tolerance of 0 forgives nothing."""
        assert verdict(value, entry(baseline), **call) == "regressed"

    @given(st.floats(1e-3, 1e3), st.floats(0, 0.5))
    def test_any_product_is_within_its_own_tolerance(self, baseline: float, rtol: float) -> None:
        """Baseline times one plus or minus the tolerance, as people compute it."""
        for value in (baseline * (1 + rtol), baseline * (1 - rtol)):
            if rtol == 0 or rtol > 1e-6:
                assert verdict(value, entry(baseline), rtol=rtol) == "ok"


class TestChange:
    """How far the value is from its baseline."""

    @pytest.mark.parametrize(
        ("value", "baseline", "change"),
        [
            (0.881, 0.913, -0.032 / 0.913),
            (-3, -2, -0.5),
            (1, 0, None),
            (0, 5, -1.0),
            (HUGE, 1, None),
            (1, HUGE, -1.0),
            (HUGE + 1, HUGE, 0.0),
            (3 * HUGE, HUGE, 2.0),
            (1e308, 1e-308, None),
        ],
    )
    def test_it_is_relative_to_the_baselines_size(self, value: float, baseline: float, change: float | None) -> None:
        """None where the baseline is 0, or the change has no float."""
        found = judged(make("m", value), entry(baseline))
        assert found.change == (None if change is None else pytest.approx(change, rel=1e-12))
        assert found.baseline == baseline


class TestWithoutComparison:
    """There is nothing to compare."""

    def test_an_entry_in_another_unit(self) -> None:
        """Milliseconds are not compared with seconds; where one side names none they are taken for the same."""
        known = entry(0.5, unit="s")
        assert verdict(500, known, unit="ms") == "no-baseline"
        assert verdict(0.5, known) == verdict(0.5, entry(0.5), unit="s") == "ok"
        told = record(make("m", 500, unit="ms"), judged(make("m", 500, unit="ms"), known))
        text = sentence(told, kind="NVIDIA H200")
        assert text == "m 500 ms has no baseline for NVIDIA H200: its entry's unit is s"

    def test_no_entry(self) -> None:
        """The direction is the call's."""
        assert judged(make("m", 0.5, **UP), None) == Decision(verdict="no-baseline", higher_is_better=True)

    @pytest.mark.parametrize("value", [NAN, INF, -INF])
    def test_a_value_that_is_not_finite(self, value: float) -> None:
        """With and without an entry."""
        assert judged(make("m", value), None) == Decision(verdict="invalid")
        known = entry(0.5, **UP)
        assert judged(make("m", value), known) == Decision(verdict="invalid", baseline=0.5, higher_is_better=True)


def later(*values: float, n: int | None = None) -> tuple[Measurement, ...]:
    """Accepted runs that followed the first."""
    return tuple(Measurement(value=value, n=n) for value in values)


class TestProportions:
    """With n and whole successes: Fisher's exact test of two proportions."""

    @pytest.mark.parametrize(
        ("value", "n", "known", "expected"),
        [
            (0.881, 1000, {"n": 1000}, "regressed"),
            (0.88, 200, {"n": 200}, "ok"),
            (0.885, 200, {"n": 10**6}, "ok"),
            (0.881, 1000, {"n": 100}, "ok"),
            (0.881, 1000, {}, "regressed"),
            (0.88, 200, {}, "ok"),
            (0.881, None, {"n": 200}, "regressed"),
            (0.945, 1000, {"n": 1000}, "improved"),
            (0.945, 200, {"n": 200}, "ok"),
            (0, 20, {}, "regressed"),
            (1, 20, {}, "ok"),
            (0.5, 10**9, {"n": 10**9}, "regressed"),
        ],
    )
    def test_of_a_baseline_of_0_913(self, value: float, n: int | None, known: dict[str, int], expected: str) -> None:
        """The baseline has its own n, else the call's; without the call's the tolerance alone decides."""
        assert verdict(value, entry(0.913, **UP, **known), n=n) == expected

    def test_within_the_tolerance_it_is_ok(self) -> None:
        """However significant the change is."""
        found = judged(make("m", 0.912, n=10**9), entry(0.913, **UP))
        assert found.verdict == "ok"
        assert found.p == pytest.approx(0, abs=1e-9)

    def test_neither_a_time_nor_a_score_is_one(self) -> None:
        """Half a second over 100 requests is not half of them; nor is what gives no whole number of items."""
        assert verdict(0.55, entry(0.5, unit="s", n=100), unit="s", n=100) == "regressed"
        assert verdict(0.55, entry(0.5, **DOWN, n=100), n=100) == "ok"
        assert verdict(0.5555, entry(0.5, **DOWN, n=100), n=100) == "regressed"

    def test_percent(self) -> None:
        """As shares."""
        found = judged(make("m", 88.1, n=1000, unit="%"), entry(91.3, **UP, n=1000, unit="%"))
        share = judged(make("m", 0.881, n=1000), entry(0.913, **UP, n=1000))
        assert (found.verdict, found.p) == (share.verdict, share.p)
        assert found.interval == pytest.approx(share.interval)
        assert found.detectable == pytest.approx(100 * (share.detectable or 0))

    def test_many_accepted_runs_know_more_than_one(self) -> None:
        """Their items are counted together, and the baseline is their mean."""
        one = judged(make("m", 0.88, n=1000), entry(0.913, **UP, n=1000), Policy(error=0.002))
        many = judged(make("m", 0.88, n=1000), entry(0.913, **UP, n=1000, later=later(*[0.91] * 19, n=1000)))
        assert (one.verdict, one.cohort) == ("ok", 1)
        assert (many.verdict, many.cohort) == ("regressed", 20)
        assert many.baseline == pytest.approx((0.913 + 19 * 0.91) / 20)

    def test_repeats_are_pooled(self) -> None:
        """Five measurements of 200 items are 1000 items."""
        once = judged(make("m", 0.86, n=200), entry(0.913, **UP, n=1000))
        five = judged(make("m", 0.86, n=200, repeats=[0.85, 0.86, 0.87, 0.88, 0.84]), entry(0.913, **UP, n=1000))
        assert (once.verdict, five.verdict) == ("regressed", "regressed")
        assert once.p is not None
        assert five.p is not None
        assert five.p < once.p / 10

    def test_what_would_be_seen(self) -> None:
        """In 80 of 100 such runs: of 1319 items a drop of 3.9 points at 5 %, of 7.1 in a suite of 100 at 1 %."""
        metric, known = make("m", 1055 / 1319, n=1319, **UP), entry(1055 / 1319, n=1319)
        assert judged(metric, known).detectable == pytest.approx(0.039, abs=5e-4)
        evidence = [Evidence(test=str(number), metric=metric, device=H200) for number in range(100)]
        entries = tuple(replace(known, test=str(number)) for number in range(100))
        assert decide(evidence, Baseline(entries), Policy())[0].detectable == pytest.approx(0.071, abs=5e-4)


def answers(right: int, n: int) -> list[float]:
    return [1.0] * right + [0.0] * (n - right)


class TestItems:
    """With samples on both sides, pairs are compared."""

    @pytest.mark.parametrize(
        ("fixed", "broken", "expected"),
        [(0, 10, "regressed"), (10, 22, "regressed"), (60, 70, "ok"), (10, 0, "improved"), (70, 60, "ok")],
    )
    def test_pairs_tell_more_than_counts(self, fixed: int, broken: int, expected: str) -> None:
        """Ten wrong answers more of 200 are significant where few others changed, and are not where many did."""
        old = answers(100, 200)
        new = answers(100 - broken, 100) + answers(fixed, 100)
        value = sum(new) / 200
        assert verdict(value, entry(0.5, **UP, n=200, samples=tuple(old)), samples=new) == expected
        assert verdict(value, entry(0.5, **UP), n=200) == "ok"  # the counts cannot tell

    def test_pairs_are_made_by_id(self) -> None:
        """Whatever the order; items that only one side has are told, and do not count."""
        old = {f"q{number}": float(number < 60) for number in range(100)}
        known = entry(0.6, **UP, n=100, samples=tuple(old.values()), items=tuple(old))
        new = {name: value for name, value in reversed(old.items()) if name != "q0"} | {"other": 0.0}
        found = judged(make("m", 0.59, samples=new), known)
        assert (found.verdict, found.p) == ("ok", 1.0)
        assert found.note == "99 items compared; 1 is only here, 1 only in the baseline"

    def test_values_need_not_be_0_or_1(self) -> None:
        """A loss of 2.1 is worse than one of 2.0."""
        old = [1.5 + index % 11 / 10 for index in range(110)]
        noise = [(index % 5 - 2) / 10 for index in range(110)]
        worse = [one + 0.1 + other for one, other in zip(old, noise, strict=True)]
        noisy = [one + 0.1 + 40 * other for one, other in zip(old, noise, strict=True)]
        known = entry(2.0, **DOWN, samples=tuple(old))
        assert verdict(2.1, known, samples=worse) == "regressed"
        assert verdict(2.1, known, samples=noisy) == "ok"

    def test_few_pairs_have_their_signs_flipped(self) -> None:
        """Three items that all fell are no evidence at 5 %, five are."""
        assert verdict(0.0, entry(0.5, **UP, samples=(0.4, 0.5, 0.6)), samples=[-0.1, 0.0, 0.1]) == "ok"
        five = (0.3, 0.4, 0.5, 0.6, 0.7)
        assert verdict(0.0, entry(0.5, **UP, samples=five), samples=[one - 0.5 for one in five]) == "regressed"

    @pytest.mark.parametrize(
        ("new", "old"),
        [
            (answers(50, 100), (*answers(120, 200),)),
            (answers(50, 100), (*answers(60, 99), INF)),
            (answers(50, 100), ()),
            (answers(50, 100), None),
        ],
        ids=["another length", "inf in the baseline", "empty", "one side"],
    )
    def test_without_pairs_counts_decide(self, new: list[float], old: tuple[float, ...] | None) -> None:
        """By the number of samples."""
        found = judged(make("m", 0.5, samples=new), entry(0.6, **UP, n=100, samples=old))
        counted = judged(make("m", 0.5, n=len(new)), entry(0.6, **UP, n=100))
        assert found == counted
        assert found.p == pytest.approx(0.1004, abs=1e-3)

    def test_a_cohort_has_the_mean_of_each_item(self) -> None:
        """What flips in every run is no evidence of anything."""
        flipping = [tuple(answers(50, 100)[number % 2 :: 1][:100]) + (0.0,) * (number % 2) for number in range(6)]
        runs = [Measurement(value=sum(one) / 100, n=100, samples=one) for one in flipping]
        known = entry(runs[0].value, **UP, n=100, samples=runs[0].samples, later=tuple(runs[1:]))
        assert verdict(0.49, known, samples=list(flipping[1])) == "ok"
        assert verdict(0.25, known, samples=answers(25, 100)) == "regressed"

    def test_means_of_other_items(self) -> None:
        """Welch's test of the two means."""
        old = tuple(1 + index % 11 / 10 for index in range(110))
        new = [one + 0.05 for one in old[:99]]
        assert verdict(sum(new) / 99, entry(1.5, **DOWN, samples=old), samples=new) == "ok"
        new = [one + 0.2 for one in old[:99]]
        assert verdict(sum(new) / 99, entry(1.5, **DOWN, samples=old), samples=new) == "regressed"


class TestTimes:
    """Times and rates are known by the runs that were accepted."""

    RUNS = (1.0, 1.03, 0.98, 1.01, 0.97, 1.02, 1.04, 0.99)

    @pytest.mark.parametrize(("value", "expected"), [(1.05, "ok"), (1.2, "regressed"), (0.8, "improved")])
    def test_beside_a_cohort(self, value: float, expected: str) -> None:
        """What is usual is no change; a change beyond is one. The baseline is their geometric mean."""
        known = entry(1.0, **DOWN, unit="s", later=later(*self.RUNS[1:]))
        found = judged(make("m", value, unit="s"), known)
        assert (found.verdict, found.cohort) == (expected, 8)
        assert found.baseline == pytest.approx(math.prod(self.RUNS) ** (1 / 8))

    def test_without_one_the_tolerance_alone_decides(self) -> None:
        """And that is said."""
        found = judged(make("m", 1.05, unit="s"), entry(1.0, **DOWN, unit="s"))
        assert (found.verdict, found.p, found.note) == ("regressed", None, "noise unknown")

    def test_what_never_varies_has_no_noise(self) -> None:
        """Three accepted runs of one value: the tolerance decides, exactly."""
        found = judged(make("m", 1001, **DOWN, rtol=0), entry(1000, later=later(1000, 1000)))
        assert (found.verdict, found.note) == ("regressed", "bit-identical each time")
        assert verdict(1.005, entry(1.0), repeats=[1.005, 1.005]) == "ok"

    def test_repeats_tell_of_noise_where_runs_do_not(self) -> None:
        """Six measurements of one quantity."""
        repeats = [1.0, 1.1, 0.95, 1.08, 0.97, 1.2]
        assert verdict(1.05, entry(1.0, **DOWN), repeats=repeats) == "ok"
        assert verdict(1.5, entry(1.0, **DOWN), repeats=[one + 0.45 for one in repeats]) == "regressed"

    def test_many_times_know_their_noise_together(self) -> None:
        """Twenty with three accepted runs each; one alone with three knows too little, and the tolerance decides."""
        draw = random.Random(1)
        evidence, entries = [], []
        for number in range(20):
            first, *others = (draw.gauss(1, 0.03) for _ in range(3))
            value = 1.3 if number == 0 else draw.gauss(1, 0.03)
            evidence.append(Evidence(test=str(number), metric=make("m", value, unit="s", **DOWN), device=H200))
            entries.append(replace(entry(first, unit="s", later=later(*others)), test=str(number)))
        found = decide(evidence, Baseline(tuple(entries)), Policy())
        assert [one.verdict for one in found] == ["regressed", *["ok"] * 19]
        assert not any(one.note for one in found)
        (alone,) = decide(evidence[:1], Baseline(tuple(entries)), Policy())
        assert (alone.verdict, alone.p, alone.note) == ("regressed", None, "noise unknown")

    def test_a_slow_drift_is_seen(self) -> None:
        """Each step is like the ones before, and the last is far from the first."""
        steps = [100.0 * 1.004**number for number in range(20)]
        known = entry(steps[0], **DOWN, unit="ms", later=later(*steps[1:]))
        found = judged(make("m", steps[-1] * 1.1, unit="ms"), known, Policy(error=0.05, rtol=0.2))
        assert found.verdict == "ok"
        found = judged(make("m", steps[-1] * 1.004, unit="ms"), known, Policy(error=0.1, rtol=0.05))
        assert found.baseline == 100
        assert found.note == "beside the first of the accepted runs, from which later ones have drifted"


class TestTogether:
    """All metrics of a run are judged together."""

    def test_the_more_there_are_the_surer_each_must_be(self) -> None:
        """Holm's rule."""
        metric, known = make("m", 0.88, n=1000, **UP), entry(0.913, n=1000)
        same = make("m", 0.913, n=1000, **UP)
        alone = judged(metric, known, Policy())
        evidence = [Evidence(test=str(n), metric=same if n else metric, device=H200) for n in range(100)]
        entries = Baseline(tuple(replace(known, test=str(n)) for n in range(100)))
        found = decide(evidence, entries, Policy())
        assert alone.verdict == "regressed"
        assert {one.verdict for one in found} == {"ok"}
        assert found[0].p == pytest.approx(100 * (alone.p or 0))

    def test_each_is_judged_by_its_own_test_and_device(self) -> None:
        """Another kind of device has no baseline, and those that have one are named."""
        metric = make("m", 0.5)
        evidence = [Evidence(test=TEST, metric=metric, device=device) for device in (H200, "CPU", None)]
        found = decide(evidence, Baseline((entry(1.0),)), Policy())
        assert [one.verdict for one in found] == ["regressed", "no-baseline", "no-baseline"]
        assert found[1].others == (H200,)


class TestAround:
    """What happened to the device may be worth more than the comparison."""

    @pytest.mark.parametrize("value", [1.0, 0.5, 2.0])
    def test_a_contended_time_tells_nothing(self, value: float) -> None:
        """Nor does a rate, by its kind or its unit; other metrics do not mind."""
        for call in ({"unit": "ms"}, {"unit": "tokens/s"}, {"kind": "rate"}):
            assert judged(make("m", value, **call), entry(1.0, **DOWN), disturbed=True).verdict == "contended"
        assert judged(make("m", value), entry(1.0, **DOWN), disturbed=True).verdict != "contended"

    def test_what_stays(self) -> None:
        """Where there was nothing to compare, nothing was spoilt."""
        assert judged(make("m", 1.0, unit="ms"), None, disturbed=True).verdict == "no-baseline"
        assert judged(make("m", NAN, unit="ms"), None, disturbed=True).verdict == "invalid"

    def test_a_lost_device_makes_everything_invalid(self) -> None:
        """Whatever the unit, and without a baseline too."""
        assert judged(make("m", 1.0), None, lost=True).verdict == "invalid"
        assert judged(make("m", 1.0), entry(1.0), lost=True, disturbed=True).verdict == "invalid"


NUMBERS = st.floats() | st.integers() | st.integers(0, 1) | st.floats(0, 1) | st.sampled_from([HUGE, -HUGE])
AMOUNTS = st.none() | st.floats(0) | st.just(NAN) | st.just(HUGE)
ITEMS = st.none() | st.lists(st.floats(), max_size=4).map(tuple)
FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.sampled_from([HUGE, -HUGE])
RUNS = st.lists(st.builds(Measurement, value=FINITE, n=st.none() | st.integers(1, HUGE)), max_size=8).map(tuple)


@given(
    st.builds(
        Metric,
        name=st.just("m"),
        value=NUMBERS,
        kind=st.sampled_from(KINDS),
        repeats=ITEMS,
        higher_is_better=st.none() | st.booleans(),
        n=st.none() | st.integers(-1, HUGE),
        samples=ITEMS,
        atol=AMOUNTS,
        rtol=AMOUNTS,
    ),
    st.none() | st.builds(entry, NUMBERS, n=st.none() | st.integers(-1, HUGE), samples=ITEMS, atol=AMOUNTS, later=RUNS),
    st.floats(),
)
@example(Metric(name="m", value=HUGE), entry(5e-324), 1e308)
@example(Metric(name="m", value=0.5, n=HUGE), entry(0.25, n=1), 0.01)
def test_every_number_has_a_verdict(metric: Metric, known: Entry | None, rtol: float) -> None:
    """Nothing raises, and what is told is finite, so that any report can carry it and say it in a line."""
    found = judged(metric, known, Policy(rtol=rtol))
    for number in (found.change, found.allowed, found.detectable, found.p):
        assert number is None or math.isfinite(number)
    line = sentence(record(metric, found))
    assert "nan" not in line.replace("m nan is invalid", "")
    assert len(line) < 300


def record(metric: Metric, found: Decision) -> dict[str, Any]:
    """A metric as the journal has it."""
    return metric.to_record() | found.to_record()


SENTENCES = {
    "regressed": (
        make("accuracy", 0.881),
        entry(0.913, **UP),
        "accuracy 0.881 regressed: baseline 0.913, change -3.5%, allowed 1%, noise unknown",
    ),
    "improved": (
        make("latency", 1.5, unit="ms", atol=0.25),
        entry(2.0, **DOWN),
        "latency 1.5 ms improved: baseline 2 ms, change -25.0%, allowed 0.25 ms, noise unknown",
    ),
    "ok": (make("loss", 2.004), entry(2), "loss 2.004 is ok: baseline 2, change +0.2%, allowed 1%, noise unknown"),
    "by chance": (
        make("accuracy", 0.88, n=200),
        entry(0.915, **UP),
        "accuracy 0.88 is ok: baseline 0.915, change -3.5 points (-9.6 to 2.5 points), allowed 0.915 points, it may be "
        "chance, p 0.16, n 200, 80% sure to see a drop of 7.5 points",
    ),
    "pairs": (
        make("accuracy", 0.5, samples=[1, 1, 0, 0]),
        entry(0.75, **UP, samples=(0.0, 1.0, 1.0, 1.0)),
        "accuracy 0.5 is ok: baseline 0.75, change -25 points (-180 to 130 points), allowed 0.75 points, it may be "
        "chance, p 0.5, n 4, too few items to be sure to see any change",
    ),
    "just beyond the tolerance": (
        make("accuracy", 0.9035),
        entry(0.913, **UP),
        "accuracy 0.9035 regressed: baseline 0.913, change -1.04%, allowed 1%, noise unknown",
    ),
    "unknown direction": (
        make("bpb", 1),
        entry(2.0),
        "bpb 1 regressed: baseline 2, change -50.0%, allowed 1%, in either direction, as higher_is_better is "
        "not given, noise unknown",
    ),
    "no change from zero": (
        make("errors", 3),
        entry(0, **DOWN),
        "errors 3 regressed: baseline 0, allowed 0, noise unknown",
    ),
    "a small change": (
        make("checksum", 0.91300001, rtol=0),
        entry(0.913, **DOWN),
        "checksum 0.91300001 regressed: baseline 0.913, change +1.1e-06%, allowed 0%, noise unknown",
    ),
    "large ints": (
        make("checksum", 12345678901234567890, atol=0),
        entry(12345678901234567891, **UP),
        "checksum 12345678901234567890 regressed: baseline 12345678901234567891, change -8.1e-18%, allowed 0, "
        "noise unknown",
    ),
    "a large change": (
        make("speed", 1e9),
        entry(1.0, **UP),
        "speed 1G improved: baseline 1, change +1000000000×, allowed 1%, noise unknown",
    ),
    "beyond floats": (
        make("size", HUGE),
        entry(1, **DOWN),
        "size 1e+400 regressed: baseline 1, change +1e+400, allowed 1%, noise unknown",
    ),
    "ints that only their difference tells apart": (
        make("size", HUGE + 1, rtol=0, unit="B"),
        entry(HUGE, **DOWN),
        "size 1e+400 B regressed: baseline 1e+400 B, change +1 B, allowed 0%, noise unknown",
    ),
    "not finite": (make("loss", NAN, unit="nats"), entry(1), "loss nan nats is invalid: it is not finite"),
}


class TestSentence:
    """The one line on a metric."""

    @pytest.mark.parametrize(("metric", "known", "expected"), SENTENCES.values(), ids=SENTENCES)
    def test_it_says_what_and_why(self, metric: Metric, known: Entry, expected: str) -> None:
        """In numbers that can be told apart."""
        assert sentence(record(metric, judged(metric, known)), kind="NVIDIA H200") == expected

    @pytest.mark.parametrize(
        ("others", "expected"),
        [
            ((), "m 0.5 has no baseline for NVIDIA H200"),
            (("NVIDIA A100",), "m 0.5 has no baseline for NVIDIA H200 (there is one for NVIDIA A100)"),
            (("CPU", "NVIDIA A100"), "m 0.5 has no baseline for NVIDIA H200 (there is one for CPU, NVIDIA A100)"),
            (tuple("abcde"), "m 0.5 has no baseline for NVIDIA H200 (there is one for a, b, c, 2 more)"),
        ],
    )
    def test_no_baseline(self, others: tuple[str, ...], expected: str) -> None:
        """It names the kinds of device that have one."""
        metric = make("m", 0.5)
        told = record(metric, judged(metric, None)) | {"others": list(others)}
        assert sentence(told, kind="NVIDIA H200") == expected

    def test_contended(self) -> None:
        """It says by what, and what the comparison would have been."""
        metric = make("latency", 1.2, unit="s", **DOWN)
        told = record(metric, judged(metric, entry(1.0))) | {"verdict": "contended"}
        assert sentence(told) == (
            "latency 1.2 s is contended: its device was throttled, or used by others, meanwhile; "
            "baseline 1 s, change +20.0%, allowed 1%, noise unknown"
        )

    def test_a_lost_device(self) -> None:
        """Where there is a baseline and where there is none."""
        metric = make("accuracy", 0.5)
        told = metric.to_record() | {"verdict": "invalid"}
        assert sentence(told) == "accuracy 0.5 is invalid: its device was lost"
        assert sentence(told | {"baseline": 0.5, "change": 0.0}) == "accuracy 0.5 is invalid: its device was lost"

    def test_without_a_verdict(self) -> None:
        """The value alone."""
        assert sentence(make("speed", 12, unit="tokens/s").to_record() | {"verdict": None}) == "speed 12 tokens/s"
