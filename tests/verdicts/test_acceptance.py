"""What a report gives a baseline, what it does not give, and which entries it shows to be stale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pytest_gpupool.verdicts.acceptance import Accepted, Consent, accept, change, stale
from pytest_gpupool.verdicts.baselines.baseline import Baseline, Entry
from pytest_gpupool.verdicts.narrowing import is_narrowed

H200, CPU = "NVIDIA H200", "CPU"
RUN = "20261121T100000Z-aaaaaa"
GIT = {"commit": "4f2a", "branch": "main", "dirty": True}


def metric(value: float | None = 0.9, name: str = "accuracy", **fields: Any) -> dict[str, Any]:
    """A metric as a report has it."""
    rules = {"unit": "", "higher_is_better": None, "n": None, "atol": None, "rtol": None, "verdict": None}
    return {"name": name, "value": value, **rules, **fields}


def a_test(*metrics: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A test that passed on an H200."""
    told = {"nodeid": "a.py::test_a", "outcome": "passed", "devices": ["GPU-0"], "started": None}
    return {**told, "metrics": list(metrics), **fields}


def report(*tests: Mapping[str, Any], git: Mapping[str, Any] | None = GIT) -> dict[str, Any]:
    """What counts of a report."""
    devices = [{"id": "GPU-0", "name": H200}, {"id": "GPU-1", "name": H200}, {"id": "GPU-lost", "name": "unknown"}]
    run = {"id": RUN, "started": "2026-11-21T10:00:00.000000Z", "git": git}
    return {"run": run, "devices": devices, "tests": list(tests)}


def given(
    *tests: Mapping[str, Any], baseline: Baseline | None = None, consent: Consent | None = None, **fields: Any
) -> Accepted:
    """What these tests give."""
    return accept(report(*tests, **fields), baseline or Baseline(), reason="new", consent=consent)


def entry(value: float = 0.9, **fields: Any) -> Entry:
    """The entry that an earlier run gave."""
    return Entry(
        **{"test": "a.py::test_a", "metric": "accuracy", "device": H200, "value": value, "run": "old", **fields}
    )


def test_an_entry_says_where_it_comes_from() -> None:
    """The commit, the run, the moment to the second, why."""
    (found,) = given(a_test(metric(n=100))).entries
    assert found == entry(n=100, commit="4f2a", dirty=True, date="2026-11-21T10:00:00Z", run=RUN, reason="new")


@pytest.mark.parametrize(
    ("git", "expected"),
    [(None, ("", False)), ({"commit": "c"}, ("c", False)), ({"commit": "c", "dirty": None}, ("c", False))],
)
def test_what_git_does_not_tell(git: dict[str, Any] | None, expected: tuple[str, bool]) -> None:
    """It is not written as if it were known."""
    (found,) = given(a_test(metric()), git=git).entries
    assert (found.commit, found.dirty) == expected


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, H200),
        ({"devices": []}, CPU),
        ({"devices": ["cpu:1"]}, CPU),
        ({"devices": ["GPU-0", "GPU-1"]}, f"2 × {H200}"),
        ({"devices": ["GPU-0", "GPU-1"], "device_kind": H200}, H200),
        ({"devices": ["GPU-9"], "device_kind": H200}, H200),
        ({"device_kind": None}, H200),
    ],
)
def test_the_kind_of_device(fields: dict[str, Any], kind: str) -> None:
    """As the test says, else by the names of its devices."""
    assert [one.device for one in given(a_test(metric(), **fields)).entries] == [kind]


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (a_test(metric(), outcome="failed"), "the test is failed"),
        (a_test(metric(None, non_finite="inf", verdict="invalid")), "it is inf"),
        (a_test(metric(verdict="invalid")), "its device was lost"),
        (a_test(metric(), devices=["GPU-9"]), "its device is not known"),
        (a_test(metric(), devices=["GPU-0", "GPU-lost"]), "its device is not known"),
        (
            a_test(metric(unit="s"), resources={"throttled": True}),
            "the device was throttled, or used by others, meanwhile",
        ),
    ],
)
def test_what_is_left_out(test: dict[str, Any], told: str) -> None:
    """And why; never is a device's id taken for a kind."""
    assert given(test) == Accepted(entries=(), unchanged=0, left_out=(f"a.py::test_a accuracy: {told}",))


def test_what_only_a_verdict_made_fail_is_accepted() -> None:
    """That is what an update is for."""
    assert len(given(a_test(metric(), outcome="failed", judged=True)).entries) == 1


class TestSeveralResults:
    """``--dist each``: every worker runs every test."""

    def test_they_are_one_entry(self) -> None:
        """Their mean, without samples; n where it is that of all."""
        tests = [a_test(metric(value, n=2, samples=[value, value])) for value in (1.0, 1.004)]
        (found,) = given(*tests).entries
        assert found.value == pytest.approx(1.002)
        assert (found.n, found.samples) == (2, None)
        (found,) = given(a_test(metric(40, n=2)), a_test(metric(40, n=3))).entries
        assert (found.value, type(found.value), found.n) == (40, int, None)

    @pytest.mark.parametrize(
        ("one", "other", "told"),
        [
            ({}, {"value": 0.8}, "its 2 results differ by more than the tolerance: 0.8 to 0.9"),
            (
                {"atol": 0.01},
                {"value": 0.88, "atol": 0.01},
                "its 2 results differ by more than the tolerance: 0.88 to 0.9",
            ),
            ({"value": 1}, {"value": 10**400}, "its 2 results differ by more than the tolerance: 1 to 1e+400"),
            ({"unit": "s"}, {"unit": "ms"}, "its 2 results are in different units: 'ms', 's'"),
        ],
    )
    def test_where_they_disagree_none_is_accepted(self, one: dict[str, Any], other: dict[str, Any], told: str) -> None:
        """A mean of them would be the value of no device."""
        found = given(a_test(metric(**one)), a_test(metric(**other)))
        assert found == Accepted(entries=(), unchanged=0, left_out=(f"a.py::test_a accuracy: {told}",))

    def test_a_tolerance_says_how_far_they_may_differ(self) -> None:
        """The call's, or else the entry's."""
        tests = [a_test(metric(value, atol=0.1)) for value in (0.8, 0.9)]
        assert len(given(*tests).entries) == 1
        plain = [a_test(metric(value)) for value in (0.8, 0.9)]
        assert given(*plain, baseline=Baseline((entry(atol=0.1),))).unchanged == 1
        assert len(given(*plain, baseline=Baseline((entry(atol=0.01),))).left_out) == 1

    def test_results_on_other_kinds_of_device_are_others(self) -> None:
        """Each kind has its own entry."""
        found = given(a_test(metric(1)), a_test(metric(5), devices=["cpu:0"]))
        assert [(one.device, one.value) for one in found.entries] == [(H200, 1), (CPU, 5)]


SAME: dict[str, tuple[list[dict[str, Any]], dict[str, Any], bool]] = {
    "the same": ([{}], {}, True),
    "another value": ([{"value": 0.8}], {}, False),
    "another n": ([{"n": 20}], {"n": 10}, True),
    "n at last": ([{"n": 20}], {}, True),
    "another unit": ([{"unit": "%"}], {}, False),
    "a direction": ([{"higher_is_better": True}], {}, False),
    "a direction by hand": ([{}], {"higher_is_better": True}, True),
    "a tolerance by hand": ([{}], {"atol": 1}, True),
    "other samples": ([{"n": 2, "samples": [0.8, 1.0]}], {"n": 2, "samples": (0.9, 0.9)}, True),
    "by several": ([{"n": 10}, {"n": 10}], {"n": 10}, True),
    "by several, with samples": ([{"n": 2, "samples": [0.8, 1.0]}] * 2, {"n": 2, "samples": (0, 1)}, True),
}


@pytest.mark.parametrize(("metrics", "old", "same"), SAME.values(), ids=SAME)
def test_what_says_the_same_stays(metrics: list[dict[str, Any]], old: dict[str, Any], same: bool) -> None:
    """With its origin. What has changed needs somebody's consent."""
    known = Baseline((entry(**old),))
    tests = [a_test(metric(**fields)) for fields in metrics]
    found = given(*tests, baseline=known, consent=Consent(everything=True))
    assert (found.unchanged, len(found.entries)) == ((1, 0) if same else (0, 1))


def test_what_is_as_before_joins_the_cohort() -> None:
    """What it found, and by which run; what has changed does not, and is left out unless it is accepted by name."""
    tests = [a_test(metric(0.9, "accuracy"), metric(0.5, "f1"), metric(0.7, "new"))]
    known = Baseline((entry(), entry(metric="f1")))
    found = given(*tests, baseline=known)
    assert [(one.entry.metric, one.entry.run, one.found.value, one.run) for one in found.additions] == [
        ("accuracy", "old", 0.9, RUN),
        ("new", RUN, 0.7, RUN),
    ]
    assert [one.metric for one in found.entries] == ["new"]
    assert found.left_out == (
        "a.py::test_a f1: it is regressed; accept it by name, with 'gpupool baseline update … --accept TEST::METRIC'",
    )
    for names in (("a.py::test_a",), ("a.py::test_a::f1",), ("a.py*",), ("*::f?",)):
        accepted = given(*tests, baseline=known, consent=Consent(names=names))
        assert [one.metric for one in accepted.entries] == ["f1", "new"]
        assert not accepted.left_out
    assert given(*tests, baseline=known, consent=Consent(names=("a.py::test_a::f",))).left_out == found.left_out


def test_brackets_of_a_parametrized_test_are_no_pattern() -> None:
    consent = Consent(names=("t.py::t[a-b]", "t.py::t[*]::m"))
    assert consent.covers("t.py::t[a-b]", "x")
    assert not consent.covers("t.py::ta", "x")
    assert consent.covers("t.py::t[c]", "m")
    assert consent.unused([("t.py::t[c]", "m", "CPU")]) == ["t.py::t[a-b]"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [(1, 1.5, 0.5), (-2.0, -1, 0.5), (0, 3, None), (1.5, 10**400, None), (10**400, 1.5, -1.0), (5e-324, 1e308, None)],
)
def test_a_change(old: float, new: float, expected: float | None) -> None:
    """Relative, of numbers of any size."""
    assert change(old, new) == expected


class TestStale:
    """Entries of what no longer exists."""

    def test_by_a_run(self) -> None:
        """A test that it did not collect; a metric that the test no longer recorded there, on that kind of device."""
        gone, other = entry(test="a.py::test_gone"), entry(metric="loss")
        elsewhere, failed = replace(other, device=CPU), entry(test="a.py::test_b")
        found = stale(
            (entry(), gone, other, elsewhere, failed),
            report(a_test(metric()), a_test(nodeid="a.py::test_b", outcome="failed")),
        )
        assert list(found) == [
            (gone, f"not collected by run {RUN}"),
            (other, f"not recorded in run {RUN}, where the test passed"),
        ]

    @pytest.mark.parametrize(
        ("command", "expected"),
        [
            ("/a::b/pytest", False),
            ("pytest -v -n 4 tests/ --gpupool-baseline=b.json", False),
            ("pytest test_a.py", False),
            ("pytest -p no:randomly --maxfail=1 --markers", False),
            ("pytest -k 'fast and not slow'", True),
            ("pytest -qxkfast", True),
            ("pytest -m slow", True),
            ("pytest --lf", True),
            ("pytest --deselect=a.py", True),
            ("pytest --splits 3 --group 1", True),
            ("pytest test_a.py::test_b", True),
            ("pytest @args", True),
            ("pytest 'open", True),
            ("", True),
        ],
    )
    def test_a_run_that_left_out_tests_of_a_file(self, command: str, expected: bool) -> None:
        """It says nothing of those."""
        assert is_narrowed(command) == expected
