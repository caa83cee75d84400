"""Two reports side by side, as a table of what becomes of a metric; and a report beside a baseline."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from pytest_gpupool.verdicts.baselines.baseline import Baseline, Entry
from pytest_gpupool.verdicts.compare import compare, compare_with
from pytest_gpupool.verdicts.comparison import Comparison, Pair
from pytest_gpupool.verdicts.decide import Policy

POLICY = Policy(error=0.05)
H200, A100 = "NVIDIA H200", "NVIDIA A100"
DEVICES = {"GPU-0": H200, "GPU-1": A100, "GPU-lost": "unknown", "cpu:0": "CPU"}


def metric(value: float | None = 0.9, name: str = "accuracy", **fields: Any) -> dict[str, Any]:
    """A metric as a report has it, higher being better."""
    rules = {"unit": "", "higher_is_better": True, "n": None, "atol": None, "rtol": None, "verdict": None}
    return {"name": name, "value": value, **rules, **fields}


def a_test(*metrics: Mapping[str, Any], nodeid: str = "test_a", **fields: Any) -> dict[str, Any]:
    """A test of a report, which passed in two seconds on an H200."""
    told = {"outcome": "passed", "devices": ["GPU-0"], "duration_s": 2.0, "resources": {}}
    return {"nodeid": nodeid, "metrics": list(metrics), **told, **fields}


def report(*tests: Mapping[str, Any], makespan: float | None = None) -> dict[str, Any]:
    """What is compared of a report."""
    devices = [{"id": id_, "name": name} for id_, name in DEVICES.items()]
    return {"devices": devices, "tests": list(tests), "summary": {"makespan_s": makespan}}


def beside(old: Mapping[str, Any], new: Mapping[str, Any], **test: Any) -> Pair:
    """One metric in two reports; ``test`` is about the newer one."""
    found = compare(report(a_test(old)), report(a_test(new, **test)), POLICY)
    (pair,) = found.metrics
    return pair


NAN: dict[str, Any] = {"value": None, "non_finite": "nan", "verdict": "invalid"}

_UP = [0.5, 0.75, 1.0, 1.25, 1.5]

VERDICTS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, "ok"),
    ({"value": 0.9}, {"value": 0.895}, "ok"),
    ({"value": 0.9}, {"value": 0.88}, "regressed"),
    ({"value": 0.9}, {"value": 0.92}, "improved"),
    ({"value": 0.9}, {"value": 0.92, "higher_is_better": None}, "improved"),
    ({"value": 0.9, "higher_is_better": None}, {"value": 0.92, "higher_is_better": None}, "regressed"),
    # B's tolerance, else A's, else the default.
    ({"value": 1.0, "atol": 0.5}, {"value": 0.8}, "ok"),
    ({"value": 1.0, "atol": 0.5}, {"value": 0.8, "atol": 0.1}, "regressed"),
    ({"value": 1.0, "rtol": 0.0}, {"value": 0.999}, "regressed"),
    # So few items show nothing; samples are paired.
    ({"value": 0.9, "n": 20}, {"value": 0.85, "n": 20}, "ok"),
    ({"value": 0.9, "n": 20000}, {"value": 0.85, "n": 20000}, "regressed"),
    ({"value": 1.0, "samples": _UP}, {"value": 0.9, "samples": [one - 0.1 for one in _UP]}, "regressed"),
    ({"value": 1.0, "samples": _UP}, {"value": 0.9, "samples": [one - 0.1 for one in reversed(_UP)]}, "ok"),
    ({"value": 1.0, "samples": [0.5, "nan"]}, {"value": 0.9, "samples": ["inf", 1.0]}, "regressed"),
    (NAN, {}, "no-baseline"),
    ({}, NAN, "invalid"),
    (NAN, NAN, "invalid"),
    # The device was lost.
    ({"verdict": "invalid"}, {}, "no-baseline"),
    ({}, {"verdict": "invalid"}, "invalid"),
    # Of times and rates alone it matters who else was on the device.
    ({"unit": "s", "verdict": "contended"}, {"unit": "s"}, "contended"),
    ({"unit": "s"}, {"unit": "s", "verdict": "contended"}, "contended"),
    ({"verdict": "contended"}, {}, "ok"),
    ({"unit": "ms"}, {"unit": "s"}, "no-baseline"),
    ({"unit": ""}, {"unit": "s"}, "ok"),
]


@pytest.mark.parametrize(("old", "new", "verdict"), VERDICTS)
def test_what_becomes_of_a_metric(old: dict[str, Any], new: dict[str, Any], verdict: str) -> None:
    """By the rules of verdicts, with the older value as the baseline."""
    assert beside(metric(**old), metric(**new)).verdict == verdict


def test_a_pair_has_both_values() -> None:
    """As they were recorded, and the relative change."""
    pair = beside(metric(0.8, n=100), metric(0.4, n=50))
    assert (pair.old, pair.new, pair.n) == (0.8, 0.4, 50)
    assert pair.change == pytest.approx(-0.5)
    assert pair.allowed == pytest.approx(0.008)
    assert (beside(metric(**NAN), metric()).old, beside(metric(), metric(**NAN)).new) == ("nan", "nan")
    assert beside(metric(0), metric(3)).change is None


@pytest.mark.parametrize(
    ("used", "verdict"),
    [
        ({"throttled": True}, "contended"),
        ({"foreign_pids": [7]}, "contended"),
        ({"throttled": None, "foreign_pids": []}, "ok"),
        (None, "ok"),
    ],
)
def test_a_device_that_others_used_tells_no_times(used: dict[str, Any] | None, verdict: str) -> None:
    """In either of the two."""
    timed = metric(unit="tokens/s")
    one, other = report(a_test(timed, resources=used)), report(a_test(timed))
    assert [compare(*pair, POLICY).metrics[0].verdict for pair in ((one, other), (other, one))] == [verdict] * 2


def test_what_is_to_be_known_is_noted() -> None:
    """Another kind of device, another unit, a lost device."""
    assert beside(metric(), metric()).note == "noise unknown"
    assert beside(metric(n=10), metric(n=10)).note == ""
    assert beside(metric(), metric(), devices=["GPU-1"]).note == f"other device: {H200} → {A100}"
    assert beside(metric(), metric(), devices=["GPU-1", "GPU-0"]).note == f"other device: {H200} → {A100} + {H200}"
    assert beside(metric(), metric(), devices=["cpu:0"]).note == f"other device: {H200} → CPU"
    assert beside(metric(unit="ms"), metric(unit="s")).note == "A has it in ms"
    assert beside(metric(verdict="invalid"), metric()).note == "the device was lost in A"
    assert beside(metric(), metric(verdict="invalid")).note == "the device was lost"


def test_the_report_may_say_the_kind_of_device() -> None:
    """Then its devices' names do not count: a worker may hold more of them than the test asked for."""
    two: dict[str, Any] = {"devices": ["GPU-0", "GPU-1"], "device_kind": H200}
    assert beside(metric(), metric(), **two).note == "noise unknown"
    found = compare_with(Baseline((entry(),)), report(a_test(metric(), **two)), POLICY)
    assert [(pair.verdict, pair.note) for pair in found.metrics] == [("ok", "noise unknown")]


def test_a_device_that_is_not_known_is_no_other_one() -> None:
    """Nor is its id a kind of device; no entry can be meant for it."""
    for lost in (["GPU-9"], ["GPU-lost"]):
        pair = beside(metric(), metric(0.5), devices=lost)
        assert (pair.verdict, pair.note) == ("regressed", "noise unknown")
    found = compare_with(Baseline((entry(), entry(name="loss"))), report(a_test(metric(), devices=["GPU-9"])), POLICY)
    assert [(pair.metric, pair.verdict, pair.note) for pair in found.metrics] == [
        ("loss", "gone", ""),
        ("accuracy", "no-baseline", f"its device is not known, there is one for {H200}"),
    ]


def names(found: Comparison) -> list[tuple[str, str]]:
    return [(pair.verdict, pair.metric) for pair in found.metrics]


def test_the_worst_comes_first() -> None:
    """By verdict, and the largest change of each."""
    values = {"little": (1.0, 0.9), "much": (1.0, 0.5), "from0": (0.0, -1.0), "same": (1.0, 1.0), "up": (1.0, 2.0)}
    old = a_test(*(metric(was, name) for name, (was, _) in values.items()), metric(name="gone"), metric(name="ill"))
    new = a_test(
        *(metric(now, name) for name, (_, now) in values.items()), metric(name="new"), metric(name="ill", **NAN)
    )
    assert names(compare(report(old), report(new), POLICY)) == [
        ("gone", "gone"),
        ("invalid", "ill"),
        ("regressed", "from0"),
        ("regressed", "much"),
        ("regressed", "little"),
        ("no-baseline", "new"),
        ("improved", "up"),
        ("ok", "same"),
    ]


def test_tests_are_joined_by_their_ids() -> None:
    """Whatever their order; those that only one has are named, and no metric of theirs is gone."""
    old = report(a_test(metric(), nodeid="a"), a_test(metric(), nodeid="b"), a_test(metric(), nodeid="c"))
    new = report(a_test(metric(), nodeid="d"), a_test(metric(), nodeid="c"), a_test(metric(), nodeid="a"))
    found = compare(old, new, POLICY)
    assert (found.gone, found.new) == (("b",), ("d",))
    assert {(pair.test, pair.verdict) for pair in found.metrics} == {("d", "no-baseline"), ("c", "ok"), ("a", "ok")}
    assert not found.fails({"regressed", "invalid"})
    assert found.fails({"no-baseline"})


def test_a_test_that_is_there_twice_is_joined_in_order() -> None:
    """As with --dist each, where every worker runs it."""
    old = report(a_test(metric(1.0)), a_test(metric(2.0)))
    new = report(a_test(metric(1.0)), a_test(metric(2.0)), a_test(metric(3.0)))
    found = compare(old, new, POLICY)
    assert {(pair.test, pair.old, pair.new) for pair in found.metrics} == {
        ("test_a", 1.0, 1.0), ("test_a (2)", 2.0, 2.0), ("test_a (3)", None, 3.0),
    }  # fmt: skip


GOOD, BAD = ("passed", "skipped", "xfailed", "xpassed"), ("failed", "error", "crashed", "timeout", "not-run")


@pytest.mark.parametrize(("old", "new"), list(itertools.product(GOOD + BAD, repeat=2)))
def test_an_outcome_that_is_worse_counts_as_regressed(old: str, new: str) -> None:
    """Where it is bad now, and was not."""
    found = compare(report(a_test(outcome=old)), report(a_test(outcome=new)), POLICY)
    assert found.fails({"regressed"}) == (old in GOOD and new in BAD)
    assert not found.fails({"invalid", "no-baseline", "contended"})
    assert [(one.old, one.new) for one in found.outcomes] == ([(old, new)] if old != new else [])


def test_a_metric_that_is_gone_fails_by_that() -> None:
    """And why it may be."""
    old, new = report(a_test(metric())), report(a_test(outcome="skipped"))
    found = compare(old, new, POLICY)
    assert [(pair.verdict, pair.new, pair.note) for pair in found.metrics] == [("gone", None, "the test is skipped")]
    assert [found.fails(kinds) for kinds in ({"gone"}, {"regressed"}, {"invalid"}, ())] == [True, False, False, False]


def test_durations_are_of_tests_that_ran_in_both() -> None:
    """Those that became slowest by their share come first; they never fail."""
    outcomes = ("passed", "passed", "failed", "crashed", "skipped", "passed")
    old = report(*(a_test(nodeid=str(i)) for i in range(6)), makespan=8.0)
    times = (1.0, 5.0, 3.0, 0.1, 0.0, None)
    tests = [
        a_test(nodeid=str(i), duration_s=took, outcome=outcome)
        for i, (took, outcome) in enumerate(zip(times, outcomes, strict=True))
    ]
    found = compare(old, report(*tests, makespan=10.0), POLICY)
    assert [(one.test, one.old, one.new, one.change) for one in found.durations] == [
        ("1", 2.0, 5.0, 1.5), ("2", 2.0, 3.0, 0.5), ("0", 2.0, 1.0, -0.5),
    ]  # fmt: skip
    assert found.total is not None
    assert found.makespan is not None
    assert (found.total.old, found.total.new, found.makespan.change) == (6.0, 9.0, 0.25)


def test_nothing_beside_nothing() -> None:
    """Two reports without tests."""
    found = compare(report(), report(), POLICY)
    assert found == Comparison(metrics=())
    assert (found.counts, found.total, found.fails({"regressed", "no-baseline"})) == ({}, None, False)


def entry(value: float = 0.9, name: str = "accuracy", **fields: Any) -> Entry:
    """An entry for a test on an H200."""
    return Entry(**{"test": "test_a", "metric": name, "device": H200, "value": value, **fields})


class TestBesideABaseline:
    """Like is compared with like."""

    def test_by_the_kind_of_device(self) -> None:
        """An entry for another kind does not count, and is told."""
        baseline = Baseline((entry(0.9), entry(0.5, device=A100)))
        tests = (a_test(metric(0.5)), a_test(metric(0.5), devices=["GPU-1"]), a_test(metric(0.5), devices=[]))
        pairs = [compare_with(baseline, report(test), POLICY).metrics[0] for test in tests]
        assert [(pair.verdict, pair.old) for pair in pairs] == [("regressed", 0.9), ("ok", 0.5), ("no-baseline", None)]
        assert pairs[2].note == f"there is one for {A100}, {H200}"

    def test_what_is_gone(self) -> None:
        """A metric of a test that ran on that kind of device, or did not run; not one of a test that is not there."""
        baseline = Baseline((entry(), entry(device=A100), entry(name="loss"), entry(test="test_b")))
        for fields, gone in (
            ({}, ["accuracy"]),
            ({"devices": ["GPU-1"]}, ["accuracy"]),
            ({"devices": ["cpu:0"]}, []),
            ({"devices": [], "outcome": "not-run"}, ["accuracy"]),
        ):
            found = compare_with(baseline, report(a_test(metric(name="loss"), **fields)), POLICY)
            assert [pair.metric for pair in found.metrics if pair.verdict == "gone"] == gone
            assert found.gone == ("test_b",)

    def test_tests_without_metrics_are_not_new(self) -> None:
        """A baseline knows only those with metrics."""
        found = compare_with(Baseline(), report(a_test(), a_test(metric(), nodeid="test_m")), POLICY)
        assert (found.new, found.outcomes, found.durations) == (("test_m",), (), ())

    def test_each_result_of_a_test_is_judged(self) -> None:
        """By the one entry that there is."""
        found = compare_with(Baseline((entry(),)), report(a_test(metric(0.9)), a_test(metric(0.5))), POLICY)
        assert [(pair.test, pair.verdict) for pair in found.metrics] == [("test_a (2)", "regressed"), ("test_a", "ok")]
