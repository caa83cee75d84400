"""What becomes of a metric beside its baseline: the tables here are the rules."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gpupool.metrics.metric import Metric, make
from pytest_gpupool.metrics.units import is_timed
from pytest_gpupool.values.verdicts import Verdict
from pytest_gpupool.verdicts.baseline import Entry
from pytest_gpupool.verdicts.verdict import Judgement, adjusted, judge, sentence

RTOL = 0.01
NAN, INF = math.nan, math.inf
HUGE = 10**400
UP: dict[str, Any] = {"higher_is_better": True}
DOWN: dict[str, Any] = {"higher_is_better": False}


def entry(value: float, **fields: Any) -> Entry:
    """The baseline of a metric."""
    return Entry(test="test_a.py::test_b", metric="m", device="NVIDIA H200", value=value, **fields)


def judged(metric: Metric, known: Entry | None, rtol: float = RTOL) -> Judgement:
    return judge(metric, known, rtol=rtol, seed="test")


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
        """The judgement says which one it was."""
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
        text = sentence(told, kind="NVIDIA H200", others=("NVIDIA H200",))
        assert text == "m 500 ms has no baseline for NVIDIA H200: its entry's unit is s"

    def test_no_entry(self) -> None:
        """The direction is the call's."""
        assert judged(make("m", 0.5, **UP), None) == Judgement(verdict="no-baseline", higher_is_better=True)

    @pytest.mark.parametrize("value", [NAN, INF, -INF])
    def test_a_value_that_is_not_finite(self, value: float) -> None:
        """With and without an entry."""
        assert judged(make("m", value), None) == Judgement(verdict="invalid")
        known = entry(0.5, **UP)
        assert judged(make("m", value), known) == Judgement(verdict="invalid", baseline=0.5, higher_is_better=True)


class TestProportions:
    """With n, and both values in [0, 1]: the pooled two-proportion z-test at 5 %, one-sided."""

    @pytest.mark.parametrize(
        ("value", "n", "known", "expected"),
        [
            (0.881, 1000, {"n": 1000}, "regressed"),
            (0.881, 200, {"n": 200}, "ok"),
            (0.881, 200, {"n": 10**6}, "ok"),
            (0.881, 1000, {"n": 100}, "ok"),
            (0.881, 1000, {}, "regressed"),
            (0.881, 200, {}, "ok"),
            (0.881, None, {"n": 200}, "regressed"),
            (0.945, 1000, {"n": 1000}, "improved"),
            (0.945, 200, {"n": 200}, "ok"),
            (0, 20, {}, "regressed"),
            (1, 20, {}, "ok"),
        ],
    )
    def test_of_a_baseline_of_0_913(self, value: float, n: int | None, known: dict[str, int], expected: str) -> None:
        """The baseline has its own n, else the call's; without the call's the tolerance alone decides."""
        assert verdict(value, entry(0.913, **UP, **known), n=n) == expected

    def test_within_the_tolerance_nothing_is_tested(self) -> None:
        """However significant the change is."""
        found = judged(make("m", 0.912, n=10**9), entry(0.913))
        assert (found.verdict, found.p_value) == ("ok", None)

    def test_a_time_is_no_proportion(self) -> None:
        """Half a second over 100 requests is not half of them."""
        known = entry(0.5, unit="s", n=100)
        assert verdict(0.55, known, unit="s", n=100) == "regressed"
        assert verdict(0.45, entry(0.5, n=100), n=100, **UP) == "ok"

    def test_a_percentage_is_no_proportion(self) -> None:
        """Outside [0, 1] the tolerance alone decides."""
        found = judged(make("m", 88.1, n=200, unit="%"), entry(91.3, **UP, n=200))
        assert (found.verdict, found.p_value, found.detectable) == ("regressed", None, None)

    @pytest.mark.parametrize(
        ("direction", "value", "expected"),
        [
            (True, 0.91, 0.05208),
            (True, 0.92, 0.05208),
            (False, 0.92, 0.04098),
            (None, 0.91, 0.05208),
            (None, 0.92, 0.04098),
        ],
    )
    def test_what_n_could_have_shown(self, direction: bool | None, value: float, expected: float) -> None:
        """The smallest change for the worse; where nobody says what that is, for the side that the value is on."""
        found = judged(make("m", value, n=200, higher_is_better=direction), entry(0.913))
        assert found.detectable == pytest.approx(expected, abs=5e-6)

    @pytest.mark.parametrize(
        ("n", "baseline", "direction", "note"),
        [
            (2, {"value": 0.5}, True, "n=2 can show no drop"),
            (2, {"value": 0.5}, False, "n=2 can show no rise"),
            (2, {"value": 0.5, "n": 2000}, True, "n=2 beside 2000 in the baseline can show no drop"),
            (2000, {"value": 0.5, "n": 2}, True, None),
            (5, {"value": 0.5}, True, None),
            (2, {"value": 0.0}, True, None),
            (2, {"value": 1.0}, False, None),
            (HUGE, {"value": 0.5}, True, None),
        ],
    )
    def test_too_few_to_show_anything(
        self, n: int, baseline: dict[str, Any], direction: bool, note: str | None
    ) -> None:
        """Not even a drop to 0, or a rise to 1, would be significant; from there nothing can drop, or rise."""
        found = judged(make("m", baseline["value"], n=n, higher_is_better=direction), entry(**baseline))
        assert found.note == note
        assert found.detectable is None or note is None

    @pytest.mark.parametrize("value", [0.861, 0.860])
    def test_that_is_where_the_verdict_turns(self, value: float) -> None:
        """The change that is called detectable is the first one that fails."""
        found = judged(make("m", value, n=200), entry(0.913, **UP))
        assert found.detectable is not None
        assert (found.verdict == "regressed") == (0.913 - value >= found.detectable)


def answers(right: int, n: int) -> list[float]:
    return [1.0] * right + [0.0] * (n - right)


class TestSamples:
    """With samples on both sides: a paired bootstrap of the mean difference."""

    @pytest.mark.parametrize(
        ("fixed", "broken", "expected"),
        [(0, 10, "regressed"), (10, 20, "regressed"), (60, 70, "ok"), (10, 0, "improved"), (70, 60, "ok")],
    )
    def test_pairs_tell_more_than_counts(self, fixed: int, broken: int, expected: str) -> None:
        """Ten wrong answers more of 200 are significant where few others changed, and are not where many did."""
        old = answers(100, 200)
        new = answers(100 - broken, 100) + answers(fixed, 100)
        value = sum(new) / 200
        known = entry(0.5, **UP, n=200, samples=tuple(old))
        found = judged(make("m", value, samples=new), known)
        assert found.verdict == expected
        assert found.detectable is None
        assert verdict(value, entry(0.5, **UP), n=200) == "ok"  # the z-test cannot tell

    def test_values_need_not_be_proportions(self) -> None:
        """Nor the samples; a loss of 2.1 is worse than one of 2.0."""
        old = [1.5 + index % 11 / 10 for index in range(110)]
        noise = [(index % 5 - 2) / 10 for index in range(110)]
        worse = [one + 0.1 + other for one, other in zip(old, noise, strict=True)]
        noisy = [one + 0.1 + 40 * other for one, other in zip(old, noise, strict=True)]
        known = entry(2.0, **DOWN, samples=tuple(old))
        assert verdict(2.1, known, samples=worse) == "regressed"
        assert verdict(2.1, known, samples=noisy) == "ok"

    @pytest.mark.parametrize(
        ("new", "old"),
        [
            (answers(50, 100), (*answers(120, 200),)),
            ([*answers(50, 99), NAN], (*answers(60, 100),)),
            (answers(50, 100), (*answers(60, 99), INF)),
            (answers(50, 100), ()),
            (answers(50, 100), None),
        ],
        ids=["another length", "nan", "inf in the baseline", "empty", "one side"],
    )
    def test_without_pairs_the_z_test_decides(self, new: list[float], old: tuple[float, ...] | None) -> None:
        """By the number of samples."""
        found = judged(make("m", 0.5, samples=new), entry(0.6, **UP, n=100, samples=old))
        counted = judged(make("m", 0.5, n=len(new)), entry(0.6, **UP, n=100))
        assert replace(found, note=None) == counted
        assert found.p_value == pytest.approx(0.0776, abs=1e-4)

    @pytest.mark.parametrize(
        ("new", "old", "note"),
        [
            ([1, 0], (1.0, 0.0, 1.0), "samples not compared: 2 here, 3 in the baseline"),
            ([1, NAN], (1.0, 0.0), "samples not compared: not all are finite"),
            ([1, 0], (INF, 0.0), "samples not compared: not all are finite"),
            ([1, 0], (1.0, 0.0), None),
            ([1, 0], None, None),
            (None, (1.0, 0.0), None),
        ],
    )
    def test_that_is_noted(self, new: list[float] | None, old: tuple[float, ...] | None, note: str | None) -> None:
        """Where both sides have samples."""
        assert judged(make("m", 20, samples=new), entry(20, samples=old)).note == note

    def test_or_the_tolerance(self) -> None:
        """Where the values are no proportions."""
        assert verdict(2.1, entry(2.0, samples=(2.0, 2.0)), samples=[2.1]) == "regressed"

    def test_scores_are_no_proportions(self) -> None:
        """Without pairs the tolerance alone decides on scores that are no yes or no: their mean varies less."""
        new, old = [0.42] * 1000, (0.45,) * 998
        known = entry(0.45, **UP, n=998, samples=old)
        assert verdict(0.42, known, samples=new) == "regressed"

    def test_samples_that_have_not_changed_explain_no_change(self) -> None:
        """The value comes from something else then."""
        samples = answers(50, 100)
        assert verdict(0.8, entry(0.9, samples=tuple(samples), n=None), samples=samples, unit="points") == "regressed"

    def test_chance_is_the_same_each_time(self) -> None:
        """By the seed."""
        old, new = answers(100, 200), answers(85, 100) + answers(8, 100)
        metric, known = make("m", 0.465, samples=new), entry(0.5, **UP, samples=tuple(old))
        seeds = ("a", "a", "b")
        values = [judge(metric, known, rtol=RTOL, seed=seed).p_value for seed in seeds]
        assert values[0] == values[1] != values[2]


NUMBERS = st.floats() | st.integers() | st.integers(0, 1) | st.floats(0, 1) | st.sampled_from([HUGE, -HUGE])
AMOUNTS = st.none() | st.floats(0) | st.just(NAN) | st.just(HUGE)
ITEMS = st.none() | st.lists(st.floats(), max_size=4).map(tuple)


@given(
    st.builds(
        Metric,
        name=st.just("m"),
        value=NUMBERS,
        higher_is_better=st.none() | st.booleans(),
        n=st.none() | st.integers(-1, HUGE),
        samples=ITEMS,
        atol=AMOUNTS,
        rtol=AMOUNTS,
    ),
    st.none()
    | st.builds(entry, NUMBERS, n=st.none() | st.integers(-1, HUGE), samples=ITEMS, atol=AMOUNTS, rtol=AMOUNTS),
    st.floats(),
)
@example(Metric(name="m", value=HUGE), entry(5e-324), 1e308)
@example(Metric(name="m", value=0.5, n=HUGE), entry(0.25, n=1), 0.01)
def test_every_number_has_a_verdict(metric: Metric, known: Entry | None, rtol: float) -> None:
    """Nothing raises, and what is told is finite, so that any report can carry it and say it in a line."""
    found = judge(metric, known, rtol=rtol, seed="")
    for number in (found.change, found.allowed, found.detectable, found.p_value):
        assert number is None or math.isfinite(number)
    line = sentence(record(metric, found))
    assert "nan" not in line.replace("m nan is invalid", "")
    assert len(line) < 250


def record(metric: Metric, found: Judgement) -> dict[str, Any]:
    """A metric as the journal has it."""
    told = {"allowed": found.allowed, "detectable": found.detectable, "note": found.note}
    return {
        **metric.to_record(),
        "higher_is_better": found.higher_is_better,
        "baseline": found.baseline,
        "change": found.change,
        **{name: value for name, value in told.items() if value is not None},
        "verdict": found.verdict,
    }


SENTENCES = {
    "regressed": (
        make("accuracy", 0.881),
        entry(0.913, **UP),
        "accuracy 0.881 regressed: baseline 0.913, change -3.5%, allowed 1%",
    ),
    "improved": (
        make("latency", 1.5, unit="ms", atol=0.25),
        entry(2.0, **DOWN),
        "latency 1.5 ms improved: baseline 2 ms, change -25.0%, allowed 0.25 ms",
    ),
    "ok": (make("loss", 2.004), entry(2), "loss 2.004 is ok: baseline 2, change +0.2%, allowed 1%"),
    "not significant": (
        make("accuracy", 0.881, n=200),
        entry(0.913, **UP),
        "accuracy 0.881 is ok: baseline 0.913, change -3.5%, allowed 1%, not significant: n=200 shows 0.052",
    ),
    "not significant by samples": (
        make("accuracy", 0.5, samples=[1, 1, 0, 0]),
        entry(0.75, **UP, samples=(0.0, 1.0, 1.0, 1.0)),
        "accuracy 0.5 is ok: baseline 0.75, change -33.3%, allowed 1%, not significant",
    ),
    "too few": (
        make("accuracy", 0.0, n=2),
        entry(0.5, **UP),
        "accuracy 0 is ok: baseline 0.5, change -100.0%, allowed 1%, not significant, n=2 can show no drop",
    ),
    "just beyond the tolerance": (
        make("accuracy", 0.9035),
        entry(0.913, **UP),
        "accuracy 0.9035 regressed: baseline 0.913, change -1.04%, allowed 1%",
    ),
    "unknown direction": (
        make("bpb", 1),
        entry(2.0),
        "bpb 1 regressed: baseline 2, change -50.0%, allowed 1%, in either direction, as higher_is_better is not given",
    ),
    "no change from zero": (
        make("errors", 3),
        entry(0, **DOWN),
        "errors 3 regressed: baseline 0, allowed 0",
    ),
    "a small change": (
        make("checksum", 0.91300001, rtol=0),
        entry(0.913, **DOWN),
        "checksum 0.91300001 regressed: baseline 0.913, change +1.1e-06%, allowed 0%",
    ),
    "large ints": (
        make("checksum", 12345678901234567890, atol=0),
        entry(12345678901234567891, **UP),
        "checksum 12345678901234567890 regressed: baseline 12345678901234567891, change -8.1e-18%, allowed 0",
    ),
    "a large change": (
        make("speed", 1e9),
        entry(1.0, **UP),
        "speed 1e+09 improved: baseline 1, change +1e+09×, allowed 1%",
    ),
    "beyond floats": (
        make("size", HUGE),
        entry(1, **DOWN),
        "size 1e+400 regressed: baseline 1, change +1e+400, allowed 1%",
    ),
    "ints that only their difference tells apart": (
        make("size", HUGE + 1, rtol=0, unit="B"),
        entry(HUGE, **DOWN),
        "size 1e+400 B regressed: baseline 1e+400 B, change +1 B, allowed 0%",
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
        assert sentence(record(metric, judged(metric, None)), kind="NVIDIA H200", others=others) == expected

    def test_contended(self) -> None:
        """It says by what, and what the comparison would have been."""
        metric = make("latency", 1.2, unit="s", **DOWN)
        told = record(metric, judged(metric, entry(1.0))) | {"verdict": "contended"}
        assert sentence(told) == (
            "latency 1.2 s is contended: its device was throttled, or used by others, meanwhile; "
            "baseline 1 s, change +20.0%, allowed 1%"
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


class TestSettled:
    """What happened to the device may be worth more than the comparison."""

    @pytest.mark.parametrize("verdict", ["ok", "improved", "regressed"])
    def test_a_contended_time_tells_nothing(self, verdict: Verdict) -> None:
        """Other units do not mind."""
        assert adjusted(verdict, "ms", disturbed=True, lost=False) == "contended"
        assert adjusted(verdict, "%", disturbed=True, lost=False) == verdict
        assert adjusted(verdict, "ms", disturbed=False, lost=False) == verdict

    @pytest.mark.parametrize("verdict", ["invalid", "no-baseline", "contended", None])
    def test_what_stays(self, verdict: Verdict | None) -> None:
        """Where there was nothing to compare, nothing was spoilt."""
        assert adjusted(verdict, "ms", disturbed=True, lost=False) == verdict

    @pytest.mark.parametrize(
        ("verdict", "contended"),
        [
            *itertools.product(
                ["ok", "improved", "regressed", "no-baseline", "contended", "invalid", None], [True, False]
            )
        ],
    )
    def test_a_lost_device_makes_everything_invalid(self, verdict: Verdict | None, contended: bool) -> None:
        """Whatever the unit, and without a baseline too."""
        assert adjusted(verdict, "", disturbed=contended, lost=True) == "invalid"


TIMED = """
    s ms us µs μs ns ps sec secs second seconds Seconds SECONDS milliseconds msec usec microseconds min mins minute
    minutes h hr hours Hours d day days week weeks
    1/s tokens/s Tokens/s tokens/sec tok/s it/s s/it ms/step ms/token seconds/epoch img/s MB/s GB/s GiB/s B/s m/s km/h
    requests/min 1/h %/h TFLOP/s FLOP/s FLOPs/s tokens/s/GPU tokens/GPU/s tokens/(s·GPU) J/s s^-1 s⁻¹ s-1 h-1 s**-1
    s^(-1) m/s^2 tokens·s⁻¹ tokens_per_second samples_per_s
    Hz hz kHz MHz GHz fps FPS qps QPS rps tps rpm RPM bps Mbps Gbps kbps MBps GB/s iops kIOPS MIPS TOPS GOPS
    FLOPS flops GFLOPS TFLOPS PFLOPS Tflops tflops TFLOPS/W [s] (ms) GPU-h GPU-hours gpu-s
"""
TIMED_WORDS = [
    "samples per second", "Samples Per Second", "tokens per s", "s per iteration", "seconds per epoch",
    "words per minute", "GPU hours", "GPU h", "core hours", "node h", "tokens s^-1", "m s⁻¹", "100 ms", "1.5 s",
    "tokens / s", " s ", "latency (s)", "ms (p99)", "tok/s (decode)", "tokens/s decode", "tokens/s per GPU", "ms p99",
    "s · GPU", "seconds (CPU)", "tokens-per-second",
]  # fmt: skip
NOT_TIMED = """
    % m MB MiB GB bytes tokens token points steps step step(s) token(s) iterations epochs images samples items px bits
    nats bits/char bpc dB BLEU F1 mAP ppl perplexity percent percentage params FLOPs GFLOPs TFLOPs MACs FLOP TFLOP OP
    ops tokens/step MB/GPU J J/token W kWh °C K S MS H D M MIN f-score h-index top-1 top-5 min-max max s.d. SD Cohen's
    USD $ x × n/a mm cm kg m^2 m² parts/million per pp bp score/10 1e-3 thousands hourly minus domain
"""
NOT_TIMED_WORDS = [
    "",
    " ",
    "parts per million",
    "Cohen's d",
    "h index",
    "tokens per step",
    "per cent",
    "MB per GPU",
    "/",
    "1/",
]


class TestTimed:
    """Units of a time or of a rate."""

    @pytest.mark.parametrize("unit", [*TIMED.split(), *TIMED_WORDS])
    def test_timed(self, unit: str) -> None:
        """A time, a part of one, or anything per time."""
        assert is_timed(unit)

    @pytest.mark.parametrize("unit", [*NOT_TIMED.split(), *NOT_TIMED_WORDS])
    def test_not_timed(self, unit: str) -> None:
        """Everything else; case tells FLOPS from FLOPs, and s from S."""
        assert not is_timed(unit)

    @given(st.text(max_size=20) | st.text("s/h^-1 ()GPU·per", max_size=12))
    def test_any_text_is_a_unit(self, unit: str) -> None:
        """Nothing raises."""
        assert is_timed(unit) in (True, False)
