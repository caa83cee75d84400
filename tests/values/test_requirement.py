"""What ``@pytest.mark.gpupool`` asks for: every key checked, and the nearest marker's value wins."""

from __future__ import annotations

import enum
import json
import math
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.values.device import Size
from pytest_gpupool.values.errors import MarkerProblem
from pytest_gpupool.values.requirement import USUAL, Requirement

GIB = 2**30

MEMORY = "bytes, a size such as '20GiB', or a fraction of the device's memory such as 0.5"
COUNT = "a whole number from 0 to 1024"
WHOLE = "a whole number"
REPEATS = "a whole number from 1 to 10000, or None"
REDUCER = "one of mean, median, best, worst, pass_at_k"
SECONDS = "seconds above 0, or a time such as '90s', '5m' or '2h'"
FLAG = "True or False"
NAMES = "a name or a tuple of names"


class Lock(enum.StrEnum):
    """A suite's own names."""

    PORT = "port"


class Stage(enum.IntEnum):
    """A suite's own numbers."""

    LAST = 9


class Unfriendly:
    """A value whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def keys(**kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
    """A mark as pytest has it."""
    return (), kwargs


def problem(*marks: tuple[tuple[object, ...], dict[str, object]]) -> str:
    """What a user reads who writes these marks."""
    with pytest.raises(MarkerProblem) as raised:
        Requirement.from_markers(marks)
    return str(raised.value)


class TestMarkers:
    """Several marks of one test: on the function, its class, its module."""

    def test_without_a_mark_it_is_one_device(self) -> None:
        """And nothing else in particular."""
        assert Requirement.from_markers([]) == Requirement(
            gpus=1, memory=None, timeout=None, priority=0, serial=False, lock=(), stage=0
        )

    def test_the_nearest_mark_wins_key_by_key(self) -> None:
        """What it leaves open comes from the next one."""
        near = keys(priority=3, lock="port")
        middle = keys(priority=9, gpus=0, serial=True)
        far = keys(gpus=1, memory="1GiB", timeout=5, serial=False, lock="disk", stage=2)
        assert Requirement.from_markers([near, middle, far]) == Requirement(
            gpus=0, memory=Size(GIB), timeout=5.0, priority=3, serial=True, lock=("port",), stage=2
        )

    def test_the_nearest_mark_takes_back_what_a_farther_one_says(self) -> None:
        """With the value that a test has without marks."""
        near = keys(gpus=1, memory=None, timeout=None, priority=0, serial=False, lock=(), stage=0)
        far = keys(gpus=2, memory=0.5, timeout=5, priority=9, serial=True, lock="port", stage=2)
        assert Requirement.from_markers([near, far]) == Requirement()

    def test_locks_of_several_marks_are_not_added(self) -> None:
        """As with every key, the nearest value is the whole value."""
        assert Requirement.from_markers([keys(lock="a"), keys(lock="b")]).lock == ("a",)

    def test_a_mark_without_keys_changes_nothing(self) -> None:
        """Bare marks are allowed."""
        assert Requirement.from_markers([keys(), keys(priority=-1)]) == Requirement(priority=-1)

    def test_a_far_marks_unknown_key_is_refused(self) -> None:
        """A near good mark does not hide it."""
        assert problem(keys(gpus=1), keys(memori=1)).startswith("@pytest.mark.gpupool has no key 'memori'")

    def test_a_far_marks_bad_value_counts_only_where_it_is_used(self) -> None:
        """The nearest value alone is looked at."""
        assert Requirement.from_markers([keys(gpus=2), keys(gpus=-1)]).gpus == 2
        assert problem(keys(priority=1), keys(gpus=-1)).startswith("@pytest.mark.gpupool(gpus=-1)")

    def test_an_unknown_key_is_refused_with_those_that_there_are(self) -> None:
        """In the order of the documents."""
        assert problem(keys(gpu=1)) == (
            "@pytest.mark.gpupool has no key 'gpu'; this version knows: "
            "gpus, memory, isolate, timeout, priority, serial, lock, stage, repeats, at_least, reduce"
        )

    def test_a_worker_has_longer_than_its_isolated_test(self) -> None:
        """Which it ends itself; where there is no limit there is none for the worker."""
        isolated, usual = Requirement(isolate=True, timeout=5.0), Requirement(timeout=5.0)
        assert usual.limit_of_worker(None, isolates=False) == 5.0
        assert isolated.limit_of_worker(None, isolates=False) == usual.limit_of_worker(None, isolates=True) == 65.0
        assert Requirement(isolate=False, timeout=5.0).limit_of_worker(None, isolates=True) == 5.0
        assert Requirement().limit_of_worker(7.0, isolates=True) == 67.0
        assert Requirement(isolate=True).limit_of_worker(None, isolates=True) is None

    def test_a_positional_argument_is_refused(self) -> None:
        """``gpupool(2)`` could mean anything."""
        assert problem(((2,), {})) == "@pytest.mark.gpupool takes keys only, not 2: write gpupool(gpus=…)"


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("gpus", 0, 0),
        ("gpus", 1, 1),
        ("gpus", 8, 8),
        ("gpus", 1024, 1024),
        ("memory", None, None),
        ("memory", "20GiB", Size(20 * GIB)),
        ("memory", "500MB", Size(500_000_000)),
        ("memory", "0.25", Size(0.25, relative=True)),
        ("memory", 0.5, Size(0.5, relative=True)),
        ("memory", 0, Size(0)),
        ("memory", 1, Size(1)),
        ("memory", 8 * GIB, Size(8 * GIB)),
        ("memory", 2e9, Size(2_000_000_000)),
        ("timeout", None, None),
        ("timeout", 1, 1.0),
        ("timeout", 0.5, 0.5),
        ("timeout", "90s", 90.0),
        ("timeout", "5m", 300.0),
        ("timeout", "2h", 7200.0),
        ("timeout", "1.5", 1.5),
        ("timeout", numpy.float64(2.5), 2.5),
        ("timeout", math.inf, math.inf),
        ("timeout", 10**400, math.inf),
        ("priority", 0, 0),
        ("priority", -3, -3),
        ("priority", 10**6, 10**6),
        ("serial", True, True),
        ("serial", False, False),
        ("lock", "port", ("port",)),
        ("lock", Lock.PORT, ("port",)),
        ("lock", (), ()),
        ("lock", ("port",), ("port",)),
        ("lock", ("port", "disk"), ("disk", "port")),
        ("lock", ["port", "disk"], ("disk", "port")),
        ("lock", {"port"}, ("port",)),
        ("lock", "a name, as people write it", ("a name, as people write it",)),
        ("stage", 0, 0),
        ("stage", -1, -1),
        ("stage", Stage.LAST, 9),
        ("repeats", 5, 5),
        ("repeats", None, None),
        ("at_least", 3, 3),
        ("reduce", "worst", "worst"),
    ],
)
def test_good_values(key: str, value: object, read: object) -> None:
    """What users write, and what it means; locks are in the order of the alphabet."""
    assert getattr(Requirement.from_markers([keys(**{key: value})]), key) == read


@pytest.mark.parametrize(
    ("key", "value", "written", "expected"),
    [
        ("gpus", -1, "-1", COUNT),
        ("gpus", 1025, "1025", COUNT),
        ("gpus", 1.0, "1.0", COUNT),
        ("gpus", "2", "'2'", COUNT),
        ("gpus", None, "None", COUNT),
        ("gpus", True, "True", COUNT),
        ("gpus", numpy.int64(2), "np.int64(2)", COUNT),
        ("memory", -1, "-1", MEMORY),
        ("memory", "", "''", MEMORY),
        ("memory", "20G", "'20G'", MEMORY),
        ("memory", "-1GiB", "'-1GiB'", MEMORY),
        ("memory", "half", "'half'", MEMORY),
        ("memory", True, "True", MEMORY),
        ("memory", b"1GiB", "b'1GiB'", MEMORY),
        ("memory", Size(1), "Size(amount=1, relative=False)", MEMORY),
        ("memory", math.nan, "nan", MEMORY),
        ("memory", math.inf, "inf", MEMORY),
        ("memory", 10**400, f"1{'0' * 99}…", MEMORY),
        ("timeout", 0, "0", SECONDS),
        ("timeout", -1, "-1", SECONDS),
        ("timeout", "soon", "'soon'", SECONDS),
        ("timeout", "0s", "'0s'", SECONDS),
        ("timeout", False, "False", SECONDS),
        ("timeout", math.nan, "nan", SECONDS),
        ("priority", 1.5, "1.5", WHOLE),
        ("priority", "high", "'high'", WHOLE),
        ("priority", None, "None", WHOLE),
        ("priority", True, "True", WHOLE),
        ("serial", 1, "1", FLAG),
        ("serial", None, "None", FLAG),
        ("serial", "yes", "'yes'", FLAG),
        ("lock", "", "''", NAMES),
        ("lock", None, "None", NAMES),
        ("lock", 3, "3", NAMES),
        ("lock", ("port", 3), "('port', 3)", NAMES),
        ("lock", ("port", ""), "('port', '')", NAMES),
        ("lock", b"port", "b'port'", NAMES),
        ("lock", {"port": 1}, "{'port': 1}", NAMES),
        ("stage", 0.5, "0.5", WHOLE),
        ("stage", "last", "'last'", WHOLE),
        ("stage", False, "False", WHOLE),
        ("repeats", 0, "0", REPEATS),
        ("repeats", 10_001, "10001", REPEATS),
        ("repeats", "3", "'3'", REPEATS),
        ("at_least", True, "True", REPEATS),
        ("reduce", "sum", "'sum'", REDUCER),
        ("reduce", None, "None", REDUCER),
    ],
)
def test_bad_values(key: str, value: object, written: str, expected: str) -> None:
    """The text has the key as it was written, and what it should be."""
    assert problem(keys(**{key: value})) == f"@pytest.mark.gpupool({key}={written}): {key} must be {expected}"


def test_a_value_without_a_repr_is_refused_all_the_same() -> None:
    """A user's own type may do anything."""
    text = problem(keys(lock=Unfriendly()))
    assert text == f"@pytest.mark.gpupool(lock=<Unfriendly whose repr failed: RuntimeError>): lock must be {NAMES}"


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.tuples(st.text(max_size=2)),
    st.integers(min_value=10**300), st.dictionaries(st.text(max_size=1), st.integers(), max_size=1), st.binary(),
)  # fmt: skip


KEYS = ["gpus", "memory", "timeout", "priority", "serial", "lock", "stage", "repeats", "at_least", "reduce"]


def test_more_cannot_pass_than_there_are() -> None:
    """Where the marker says how many there are; the run's option may be any."""
    assert problem(keys(at_least=3), keys(repeats=2)) == (
        "@pytest.mark.gpupool(repeats=2, at_least=3): so many cannot pass"
    )
    assert Requirement.from_markers([keys(at_least=3)]).at_least == 3


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_a_mark_is_read_or_refused(kwargs: dict[str, Any]) -> None:
    """Whatever its values are, there is no other error; what is read is plain."""
    try:
        requirement = Requirement.from_markers([keys(**kwargs)])
    except MarkerProblem:
        return
    assert requirement.gpus >= 0
    assert requirement.timeout is None or requirement.timeout > 0
    assert requirement.memory is None or 0 <= requirement.memory.amount < math.inf
    assert all(type(name) is str for name in requirement.lock)


@pytest.mark.parametrize(
    "requirement",
    [
        USUAL,
        Requirement(gpus=2, memory=Size(2**30), timeout=1.5, priority=-1, serial=True, lock=("a", "b"), stage=3),
        Requirement(gpus=0),
        Requirement(repeats=3, at_least=2, reduce="best"),
    ],
)
def test_it_travels_as_what_is_unusual_of_it(requirement: Requirement) -> None:
    """Through JSON too, which has no tuples."""
    assert Requirement.from_wire(json.loads(json.dumps(requirement.to_wire()))) == requirement
    assert (requirement.to_wire() == {}) is (requirement == USUAL)


def test_the_marker_is_shown_with_what_is_usual() -> None:
    """As ``pytest --markers`` has it."""
    expected = (
        "gpupool(gpus=1, memory=None, isolate=None, timeout=None, priority=0, serial=False, lock=(), stage=0, "
        "repeats=None, at_least=None, reduce='mean')"
    )
    assert Requirement.signature() == expected
