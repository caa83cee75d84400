"""What tests make of an aggregate: a value for each group, its kind, and why there may be none."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest

from pytest_gpupool.metrics import groups
from pytest_gpupool.metrics.aggregate import make
from pytest_gpupool.metrics.groups import Group
from pytest_gpupool.metrics.metric import Metric
from pytest_gpupool.metrics.metric import make as make_metric
from pytest_gpupool.records.folding.results import Results

STARTED = "2026-11-21T11:46:52.000000Z"


def ran(number: int, value: Metric | None, outcome: str = "passed", **params: Any) -> list[dict[str, Any]]:
    """The records of a test."""
    test = f"t.py::test_a[{number}]"
    about = {"worker": "gw0", "test": test}
    told: list[dict[str, Any]] = [
        {"record": "collected", "worker": "gw0", "tests": [[test, {"number": number, **params}]]},
        {"record": "start", **about, "devices": ["cpu:0"], "device_kind": "CPU", "started": STARTED},
    ]
    if value is not None:
        told.append({"record": "metric", **about, "metric": {**value.to_record(), "verdict": None}})
    end = {"outcome": outcome, "phases": {}, "duration_s": 1.0, "ended": STARTED, "message": None}
    return [*told, {"record": "end", **about, **end}]


def found(values: Iterable[Metric | None], *more: dict[str, Any], about: Any = None, **given: Any) -> list[Group]:
    """The groups of an aggregate over tests with these values, which have the parameter ``half``."""
    results = Results()
    aggregate = make("all", of="it", **given)
    told = {"aggregate": aggregate.to_record(), "left_out": []} | (about or {})
    results.add({"record": "aggregate", "worker": "gw0", "test": "t.py::test_a", **told})
    for number, value in enumerate(values):
        results.add_all(ran(number, value, half=number % 2))
    results.add_all(more)
    return groups.of_run(results)


def scores(*values: float, **more: Any) -> list[Metric | None]:
    """Metrics of these values."""
    return [make_metric("it", value, **more) for value in values]


@pytest.mark.parametrize(
    ("reduce", "value"),
    [
        ("mean", 3.75),
        ("median", 3.0),
        ("min", 1.0),
        ("max", 8.0),
        ("sum", 15.0),
        ("geometric_mean", 64 ** (1 / 4)),
    ],
)
def test_each_reducer(reduce: str, value: float) -> None:
    """Of 1, 2, 4 and 8; only a mean has items, which are the tests."""
    (group,) = found(scores(1.0, 2.0, 4.0, 8.0), reduce=reduce)
    assert group.metric is not None
    assert group.metric.value == pytest.approx(value)
    assert (group.id, group.tests, group.metric.n) == ("t.py::test_a (all)", 4, 4)
    is_mean = reduce == "mean"
    assert (group.metric.kind, group.metric.samples is not None) == ("mean" if is_mean else "score", is_mean)


def test_a_group_for_each_value_of_a_parameter() -> None:
    """In the order of the tests; the worst one is one value for all."""
    values = scores(1, 0, 1, 1, 1, 0)
    both = found(values, by=("half",))
    assert [(one.id, one.metric and one.metric.value) for one in both] == [
        ("t.py::test_a (half=0)", 1.0),
        ("t.py::test_a (half=1)", pytest.approx(1 / 3)),
    ]
    assert {one.metric.kind for one in both if one.metric} == {"proportion"}
    (worst,) = found(values, by=("half",), reduce="worst_group", higher_is_better=True)
    assert worst.metric is not None
    assert (worst.id, worst.note, worst.metric.n) == ("t.py::test_a (all)", "worst group: half=1", 3)
    assert worst.metric.value == pytest.approx(1 / 3)
    assert worst.metric.items == ("t.py::test_a[1]", "t.py::test_a[3]", "t.py::test_a[5]")
    (least,) = found(values, by=("half",), reduce="worst_group", higher_is_better=False)
    assert (least.note, least.metric and least.metric.value) == ("worst group: half=0", 1.0)


def test_an_amount_stays_one() -> None:
    """A mean of times is a time, with their unit; without items, whose noise would not be that between runs."""
    (group,) = found(scores(1.0, 3.0, unit="s"))
    assert group.metric is not None
    assert (group.metric.kind, group.metric.unit, group.metric.samples) == ("time", "s", None)


def test_what_has_no_value_is_missing_unless_it_was_skipped() -> None:
    """A test that failed before it recorded anything holds the verdict up; one that was skipped has nothing to say."""
    (group,) = found([*scores(1, 1, 0), None])
    assert (group.tests, group.missing, group.is_judged) == (3, 1, False)
    assert group.problem == "1 of 4 tests has no value"
    skipped = ran(9, None, "skipped", half=0)
    (group,) = found(scores(1, 1, 0), *skipped)
    assert (group.tests, group.missing, group.is_judged) == (3, 0, True)


def test_tests_that_were_not_chosen_hold_up_their_group() -> None:
    """Other groups are whole. Where a part was named, nobody knows of which group the rest is."""
    left_out = {"left_out": [{"group": {"half": 1}, "tests": 2}]}
    even, odd = found(scores(1, 0, 1, 1), by=("half",), about=left_out)
    assert (even.is_judged, odd.is_judged, odd.problem) == (True, False, "2 of its tests were deselected")
    (group,) = found(scores(1), about={"narrowed": "t.py::test_a[0]"})
    assert group.problem == "a part of its tests was chosen: t.py::test_a[0]"


def test_values_that_make_no_one_value_are_told() -> None:
    """Different units, a geometric mean of 0, an aggregate of nothing."""
    for values, words, given in (
        ([*scores(1.0, unit="s"), *scores(1.0, unit="ms")], "differ in unit: 'ms', 's'", {}),
        (scores(0.0, 1.0), "a geometric mean is of numbers above 0, and a test has 0", {"reduce": "geometric_mean"}),
        (scores(0.5, 7.0), "a proportion is from 0 to 1, not 3.75", {"kind": "proportion"}),
    ):
        (group,) = found(values, **given)
        assert words in group.problem
        assert group.metric is None


def test_a_value_that_is_not_finite_makes_the_whole_so() -> None:
    """Whatever the reducer."""
    (group,) = found(scores(1.0, math.nan), reduce="max")
    assert group.metric is not None
    assert math.isnan(group.metric.value)
    assert group.gate() == ""


def test_floor_and_ceiling() -> None:
    """What is at one of them is within."""
    (group,) = found(scores(1, 0), floor=0.5, ceiling=0.5)
    assert group.gate() == ""
    (group,) = found(scores(1, 0), floor=0.51)
    assert group.gate() == "below its floor of 0.51"
    (group,) = found(scores(1, 0), ceiling=0.49)
    assert group.gate() == "above its ceiling of 0.49"


def test_functions_that_record_something_else_are_no_part_of_a_files_aggregate() -> None:
    """They ended well without it; one that did not end well may have had it."""
    results = Results()
    about = {"aggregate": make("all", of="it").to_record(), "left_out": []}
    results.add({"record": "aggregate", "worker": "gw0", "test": "t.py", **about})
    results.add_all(ran(0, make_metric("it", 1), half=0))
    other = {"worker": "gw0", "test": "t.py::test_other"}
    end = {"phases": {}, "duration_s": 1.0, "ended": STARTED, "message": None}
    results.add({"record": "start", **other, "devices": [], "device_kind": "CPU", "started": STARTED})
    results.add({"record": "end", **other, **end, "outcome": "passed"})
    (group,) = groups.of_run(results)
    assert (group.tests, group.missing) == (1, 0)
    results.add({"record": "end", **other, **end, "outcome": "failed"})
    (group,) = groups.of_run(results)
    assert (group.tests, group.missing) == (1, 1)


def test_all_attempts_at_a_test_count() -> None:
    """By their mean, as the test's own metric does, before that is decided and after; not what died of the machine."""
    results = Results()
    aggregate = make("all", of="it", higher_is_better=True)
    results.add(
        {"record": "aggregate", "worker": "gw0", "test": "t.py", "aggregate": aggregate.to_record(), "left_out": []}
    )
    about = {"worker": "gw0", "test": "t.py::test_a[0]"}
    end = {"phases": {}, "duration_s": 1.0, "ended": STARTED, "message": None}
    attempts = [(0.2, "failed", {}), (0.9, "failed", {"cause": "machine"}), (0.4, "passed", {}), (0.9, "passed", {})]
    for second, (value, outcome, more) in enumerate(attempts):
        started = STARTED.replace("52.0", f"5{second}.0")
        confirms = {"confirms": True} if second == 3 else {}
        results.add({"record": "start", **about, "devices": [], "device_kind": "CPU", "started": started, **confirms})
        results.add({"record": "metric", **about, "metric": {**make_metric("it", value).to_record(), "verdict": None}})
        results.add({"record": "end", **about, "outcome": outcome, **end, **more})
    results.add_all(ran(1, make_metric("it", 1.0)))
    (group,) = groups.of_run(results)
    assert group.metric is not None
    assert (group.metric.value, group.tests) == (0.75, 2)
    results.add(
        {"record": "decided", **about, "metrics": {"it": {"verdict": "ok", "value": 0.5, "attempts": [0.2, 0.4, 0.9]}}}
    )
    assert groups.of_run(results)[0].metric == group.metric
