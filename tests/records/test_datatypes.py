"""Data types: what passes a check satisfies the schema, and shapes are read by the keys that matter."""

from __future__ import annotations

import math
from typing import Any

import jsonschema
import pytest

from pytest_gpupool.records import datatypes
from pytest_gpupool.records.datatypes import (
    COUNT,
    NAME,
    TEXT,
    DataType,
    Key,
    Shape,
    list_of,
    one_of,
    optional,
    or_null,
    unread,
)

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 7, 101, 10**400, 0.0, 0.5, 1.5, -0.5, 100.5, 1e12, math.nan, math.inf, -math.inf,
    "", "a", "nan", "inf", "GPU-8a5c", "MIG-1", "MIG-\n", "cpu:0", "cpu:12345", "cpu:", "cpu:١", "gpu:0", "0",
    "2026-11-21T00:00:00Z", "2026-11-21T00:00:00.5Z", "2026-13-21T00:00:00Z", "2026-11-21",
    [], [0.5, "nan"], ["none"], [1], ["a"], {}, {"a": 1},
]  # fmt: skip

TYPES = {name: value for name, value in vars(datatypes).items() if isinstance(value, DataType)}

WIDER: dict[str, set[Any]] = {
    "SECONDS": {10**400},
    "TIMESTAMP": {"2026-13-21T00:00:00Z"},
    "DEVICE_ID": {"cpu:12345"},
    "PROCESS": {-1},
    "SAMPLE": {10**400},
}
"""What a schema need not refuse: nothing like it is ever written."""


def plain(part: Any) -> Any:
    """A schema in which every data type is written out."""
    if isinstance(part, DataType):
        return plain(part.schema)
    if isinstance(part, dict):
        return {key: plain(value) for key, value in part.items()}
    return [plain(value) for value in part] if isinstance(part, list) else part


@pytest.mark.parametrize("name", TYPES)
def test_what_passes_the_check_satisfies_the_schema(name: str) -> None:
    """And the other way round, but for what the schema cannot say."""
    validator = jsonschema.Draft202012Validator(plain(TYPES[name]))
    for value in VALUES:
        if isinstance(value, float) and (value.is_integer() or not math.isfinite(value)):
            continue  # a whole number to JSON Schema, or none that JSON has
        passes, satisfies = TYPES[name].check(value), validator.is_valid(value)
        assert passes == satisfies or (satisfies and value in WIDER.get(name, set())), value


@pytest.mark.parametrize("name", ["NUMBER", "AMOUNT", "PERCENT", "SECONDS", "SAMPLE"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_is_finite(name: str, value: float) -> None:
    assert not TYPES[name].check(value)


@pytest.mark.parametrize(
    ("data_type", "schema"),
    [
        (or_null(NAME), {"type": ["string", "null"], "minLength": 1}),
        (or_null(one_of("a", "b")), {"enum": ["a", "b", None]}),
        (or_null(list_of(NAME)), {"type": ["array", "null"], "items": NAME}),
        (or_null(DataType(NAME.check, Shape({"a": NAME}))), None),
    ],
    ids=["text", "words", "list", "object"],
)
def test_what_may_be_null(data_type: DataType, schema: object) -> None:
    """Its schema says so in the way that is shortest."""
    assert data_type.check(None)
    if schema is None:
        assert isinstance(data_type.schema, dict)
        assert data_type.schema["anyOf"][0] == {"type": "null"}
    else:
        assert data_type.schema == schema


SHAPE = Shape({"name": NAME, "n": optional(COUNT), "about": unread(TEXT), "run": Key(TEXT, is_needed=False)})


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ({"name": "a"}, True),
        ({"name": "a", "n": 1, "run": "", "more": None}, True),
        ({"name": "a", "about": 7}, True),
        ({"name": ""}, False),
        ({"n": 1}, False),
        ({"name": "a", "n": None}, False),
        ({"name": "a", "run": 1}, False),
        ([], False),
        (None, False),
    ],
    ids=str,
)
def test_a_mapping_fits_by_the_keys_that_matter(value: object, fits: bool) -> None:
    """Others do no harm, and what no reader looks at may be anything."""
    assert SHAPE.fits(value) is fits
    if isinstance(value, dict):
        assert (SHAPE.first_wrong(value) is None) is fits


def test_a_closed_shape_has_all_its_keys_and_no_other() -> None:
    closed = Shape({"a": TEXT, "b": or_null(TEXT)}, is_closed=True)
    assert closed.fits({"a": "", "b": None})
    assert not closed.fits({"a": "", "b": None, "c": None})
    assert not closed.fits({"a": ""})


def test_a_shape_may_have_a_rule_on_the_whole() -> None:
    equal = Shape({"a": TEXT, "b": TEXT}, rule=lambda value: value["a"] == value["b"])
    assert equal.fits({"a": "x", "b": "x"})
    assert not equal.fits({"a": "x", "b": "y"})
