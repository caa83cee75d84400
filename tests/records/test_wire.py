"""Events cross the wire as they are, whatever is in them."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import PurePosixPath
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.records import wire

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(plain)
def test_plain_values_arrive_as_they_are(value: Any) -> None:
    """Tuples stay tuples, keys keep their type, lone surrogates and huge integers arrive."""
    arrived = wire.loads(wire.dumps(value))
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    ("value", "arrived"),
    [
        (numpy.float64(0.5), 0.5),
        (numpy.str_("text"), "text"),
        (numpy.int64(3), 3),
        ({"k": [numpy.float32(0.25)]}, {"k": [0.25]}),
        (PurePosixPath("a/b"), "PurePosixPath('a/b')"),
        (ValueError("no"), "ValueError('no')"),
        (OrderedDict(a=1), repr(OrderedDict(a=1))),
        (len, "<built-in function len>"),
    ],
    ids=repr,
)
def test_other_values_arrive_as_plain_ones(value: object, arrived: object) -> None:
    """A value derived from a plain type becomes that type, any other its repr."""
    got = wire.loads(wire.dumps([value]))
    assert got == [arrived]
    assert type(got[0]) in (int, float, str, bytes, dict)


def test_a_repr_that_raises_loses_nothing_else() -> None:
    """The event arrives with a word about that one value."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert wire.loads(wire.dumps([1, Broken()])) == [1, "<Broken whose repr failed: RuntimeError>"]


def test_reading_builds_nothing_foreign() -> None:
    """Bytes that name another class are refused."""
    with pytest.raises(pickle.UnpicklingError, match=r"an event may not hold a .*PurePosixPath"):
        wire.loads(pickle.dumps(PurePosixPath("a")))
