"""What earlier runs say of tests: their own medians first, then what is most like them."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.records.estimates import Known, durations, median

KNOWN = {
    "test_a.py::test_f[1]": Known(10.0, 100),
    "test_a.py::test_f[2]": Known(20.0, None),
    "test_a.py::test_g": Known(60.0, 300),
    "test_b.py::TestC::test_h[x]": Known(1.0, 400),
}


@pytest.mark.parametrize(
    ("nodeid", "seconds"),
    [
        ("test_a.py::test_f[1]", 10.0),
        ("test_a.py::test_f[3]", 15.0),
        ("test_a.py::test_f", 15.0),
        ("test_a.py::test_new", 30.0),
        ("test_a.py::TestNew::test_new[1]", 30.0),
        ("test_a.py", 30.0),
        ("test_b.py::TestC::test_h[y[0]::z]", 1.0),
        ("test_c.py::test_f[1]", None),
        ("test_f[1]", None),
        ("", None),
    ],
    ids=["itself", "sibling", "bare", "function", "class", "file", "brackets", "module", "no-module", "empty"],
)
def test_the_nearest_relation_counts(nodeid: str, seconds: float | None) -> None:
    """Itself, else its function's other parameters, else its module, else nothing."""
    assert durations([nodeid], KNOWN) == [seconds]


def test_every_test_has_its_place() -> None:
    """The order is that of the question, and one that is asked twice is answered twice."""
    nodeids = ["new.py::test", "test_a.py::test_g", "test_a.py::test_f[2]", "test_a.py::test_g"]
    assert durations(nodeids, KNOWN) == [None, 60.0, 20.0, 60.0]


def test_without_history_nothing_is_known() -> None:
    """None for each test."""
    assert durations(["a", "b"], {}) == [None, None]
    assert durations([], KNOWN) == []


def test_zero_seconds_are_known() -> None:
    """Zero is a duration."""
    assert durations(["a.py::b[2]"], {"a.py::b[1]": Known(0.0, 0), "a.py::c": Known(9.0, 0)}) == [0.0]


@given(st.lists(st.text("ab:[]", max_size=8)), st.dictionaries(st.text("ab:[]", max_size=8), st.floats(0, 1e9)))
def test_a_guess_lies_among_what_is_known(nodeids: list[str], seconds: dict[str, float]) -> None:
    """Whatever the names are."""
    guesses = durations(nodeids, {nodeid: Known(value, None) for nodeid, value in seconds.items()})
    assert len(guesses) == len(nodeids)
    for nodeid, guess in zip(nodeids, guesses, strict=True):
        if nodeid in seconds:
            assert guess == seconds[nodeid]
        elif guess is not None:
            assert min(seconds.values()) <= guess * (1 + 1e-9)
            assert guess <= max(seconds.values()) * (1 + 1e-9)


@pytest.mark.parametrize(("values", "middle"), [([3.0], 3.0), ([9.0, 1.0, 2.0], 2.0), ([4.0, 1.0], 2.5)])
def test_the_median_is_the_middle(values: list[float], middle: float) -> None:
    """Of an even number the mean of the middle two."""
    assert median(values) == middle


def test_no_values_have_no_median() -> None:
    """It is the caller's mistake."""
    with pytest.raises(statistics.StatisticsError):
        median([])
