"""Whatever number a test records is kept exactly, and everything else is refused by name and type."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpupool.metrics.metric import Metric, coerce, from_record, make, non_finite_name
from pytest_gpupool.values.errors import MetricProblem


class Level(enum.IntEnum):
    """An enumeration of ints."""

    HIGH = 3


class Rate(enum.Enum):
    """An enumeration of floats, and of something else."""

    HALF = 0.5
    SCALAR = np.float32(0.25)
    WORD = "half"


class Celsius(float):
    """A float of a user's own."""


class Scalar:
    """What a tensor of one element looks like; raises what it is given as its value."""

    def __init__(self, value: object, shape: tuple[int, ...] = ()) -> None:
        self._value = value
        self.shape = shape

    def item(self) -> object:
        """The value."""
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


def strict(record: dict[str, Any]) -> dict[str, Any]:
    """What a reader of strict JSON makes of it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"not strict JSON: {constant}")

    read: dict[str, Any] = json.loads(json.dumps(record), parse_constant=refuse)
    return read


NUMBERS = {
    "zero": (0, 0),
    "int": (7, 7),
    "negative int": (-7, -7),
    "int beyond 2**53": (2**53 + 1, 2**53 + 1),
    "int beyond 64 bits": (2**64 + 1, 2**64 + 1),
    "int beyond floats": (10**400, 10**400),
    "true": (True, 1),
    "false": (False, 0),
    "float": (0.1, 0.1),
    "largest float": (1.7976931348623157e308, 1.7976931348623157e308),
    "smallest float": (5e-324, 5e-324),
    "float of a user's own": (Celsius(36.6), 36.6),
    "decimal": (Decimal("0.1"), 0.1),
    "fraction": (Fraction(1, 3), 1 / 3),
    "int enum": (Level.HIGH, 3),
    "float enum": (Rate.HALF, 0.5),
    "enum of a numpy scalar": (Rate.SCALAR, 0.25),
    "float16": (np.float16(0.1), 0.0999755859375),
    "float32": (np.float32(0.1), 0.10000000149011612),
    "float64": (np.float64(0.1), 0.1),
    "longdouble": (np.longdouble(1.5), 1.5),
    "int8": (np.int8(-3), -3),
    "int64": (np.int64(2**62 + 1), 2**62 + 1),
    "uint64": (np.uint64(2**64 - 1), 2**64 - 1),
    "numpy bool": (np.bool_(True), 1),
    "0-d array": (np.array(2.5), 2.5),
    "array of one element": (np.array([3]), 3),
    "array of shape (1, 1)": (np.array([[0.25]], dtype=np.float32), 0.25),
    "scalar of a foreign library": (Scalar(1.25, (1,)), 1.25),
}


class TestValue:
    """What ``record_metric`` takes as a value."""

    @pytest.mark.parametrize(("given_value", "value"), NUMBERS.values(), ids=NUMBERS)
    def test_a_number_is_kept_as_a_plain_python_number(self, given_value: object, value: float) -> None:
        """Neither a bool nor a foreign type comes out, and JSON brings back the same."""
        metric = make("accuracy", given_value)
        assert metric.value == value
        assert type(metric.value) is type(value)
        assert metric.is_finite
        record = strict(metric.to_record())
        assert (record["value"], type(record["value"])) == (value, type(value))
        assert "non_finite" not in record

    @pytest.mark.parametrize(
        ("value", "name"),
        [
            (math.nan, "nan"),
            (math.inf, "inf"),
            (-math.inf, "-inf"),
            (Decimal("NaN"), "nan"),
            (Decimal("-Infinity"), "-inf"),
            (np.float32("nan"), "nan"),
            (np.float16("inf"), "inf"),
            (np.array([-np.inf]), "-inf"),
        ],
    )
    def test_what_is_not_finite_is_null_and_named(self, value: object, name: str) -> None:
        """JSON has no NaN and no Infinity."""
        metric = make("loss", value)
        assert not metric.is_finite
        record = strict(metric.to_record())
        assert (record["value"], record["non_finite"]) == (None, name)

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            (None, "NoneType"),
            ("0.9", "str"),
            (b"1", "bytes"),
            (1j, "complex"),
            (np.complex64(1), "complex"),
            ([0.9], "list"),
            ((), "tuple"),
            ({"accuracy": 0.9}, "dict"),
            (object(), "object"),
            (float, "type"),
            (np.float64, "type"),
            (len, "builtin_function_or_method"),
            (timedelta(seconds=1), "datetime.timedelta"),
            (Rate.WORD, "str"),
            (np.str_("0.9"), "str"),
            (Scalar("0.9"), "str"),
        ],
    )
    def test_what_is_no_number_is_refused(self, value: object, kind: str) -> None:
        """A text that looks like a number too; the error says what to record instead."""
        with pytest.raises(MetricProblem) as raised:
            make("accuracy", value)
        assert str(raised.value) == (
            f"metric 'accuracy': a {kind} is not a number; record an int, a float, or a NumPy or torch scalar"
        )

    @pytest.mark.parametrize(
        ("value", "kind", "shape"),
        [
            (np.zeros(3), "numpy.ndarray", "(3,)"),
            (np.zeros((2, 2)), "numpy.ndarray", "(2, 2)"),
            (np.zeros(0), "numpy.ndarray", "(0,)"),
            (Scalar(1.0, (4,)), "test_metric.Scalar", "(4,)"),
        ],
    )
    def test_an_array_of_several_numbers_is_refused(self, value: object, kind: str, shape: str) -> None:
        """The error names its shape and what to do."""
        with pytest.raises(MetricProblem) as raised:
            make("loss", value)
        assert str(raised.value) == (
            f"metric 'loss': a {kind} of shape {shape} is not one number; record a summary of it such as .mean()"
        )

    @pytest.mark.parametrize(
        "error", [RuntimeError("a Tensor on 'meta'"), TypeError("no"), ValueError(""), KeyError("x")]
    )
    def test_an_item_that_raises_is_the_metrics_problem(self, error: Exception) -> None:
        """Whatever it raises, the error names the metric, the type and the reason."""
        with pytest.raises(MetricProblem) as raised:
            make("loss", Scalar(error))
        assert str(raised.value) == f"metric 'loss': test_metric.Scalar.item() failed: {error}"

    @pytest.mark.parametrize("value", [Mock(), Mock(spec=["item"]), Mock(shape=None)], ids=["any", "item", "shape"])
    def test_a_mock_is_refused_by_name(self, value: Mock) -> None:
        """It has every attribute, and none of them means anything."""
        with pytest.raises(MetricProblem, match=r"metric 'loss': .*unittest\.mock\.Mock"):
            make("loss", value)

    @pytest.mark.parametrize("value", [Decimal("sNaN"), Fraction(10**400)], ids=["signalling NaN", "fraction"])
    def test_a_number_that_has_no_float_is_refused(self, value: object) -> None:
        """Rather than recorded as another."""
        with pytest.raises(MetricProblem, match=rf"metric 'loss': {type(value).__name__} .* has no float"):
            make("loss", value)

    def test_a_decimal_beyond_floats_is_not_infinite(self) -> None:
        """It is refused like such a fraction: it is not the infinity that a float makes of it."""
        with pytest.raises(MetricProblem, match=r"metric 'loss': Decimal 1E\+400 has no float"):
            make("loss", Decimal("1e400"))

    def test_a_fraction_too_long_to_print_is_refused_by_name(self) -> None:
        """Python turns no int of more than 4300 digits into text."""
        with pytest.raises(MetricProblem, match=r"metric 'loss': .*Fraction"):
            make("loss", Fraction(10**5000))

    def test_an_int_too_long_to_print_is_strict_json_or_refused(self) -> None:
        """Python turns no int of more than 4300 digits into text, which a journal would need."""
        with pytest.raises(MetricProblem, match=r"metric 'loss': .*int"):
            strict(make("loss", 10**5000).to_record())

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_every_finite_float_is_kept_exactly(self, value: float) -> None:
        """Through the record, the sign of zero included."""
        read = strict(make("loss", value).to_record())["value"]
        assert (read, math.copysign(1, read)) == (value, math.copysign(1, value))

    @given(st.integers())
    def test_every_int_is_kept_exactly(self, value: int) -> None:
        """Not by way of a float."""
        assert strict(make("loss", value).to_record())["value"] == value

    @given(st.floats(width=32) | st.integers(-(2**70), 2**70) | st.decimals() | st.fractions() | st.booleans())
    def test_coerce_gives_an_int_or_a_float_or_a_problem(self, value: object) -> None:
        """Nothing else, for any number of the standard library."""
        try:
            number = coerce("loss", value)
        except MetricProblem:
            return
        assert type(number) in (int, float)


class TestNameAndUnit:
    """The texts of a metric."""

    @pytest.mark.parametrize("name", ["accuracy", "Top-5 %", "été", "損失", "a/b"])
    def test_any_text_is_a_name(self, name: str) -> None:
        """Users choose it."""
        assert strict(make(name, 1, unit=name).to_record())["name"] == name

    @pytest.mark.parametrize("name", ["12\u00a0%", "12\u202f%", "👩\u200d🔬", "می\u200cخواهم", "損失\u3000率"])
    def test_spaces_and_joiners_are_of_a_name(self, name: str) -> None:
        """Though Python does not call them printable: emoji and some languages need them."""
        assert strict(make(name, 1).to_record())["name"] == name

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("a\nb", "U+000A"),
            ("a\x1b[31m", "U+001B"),
            ("\ud800", "U+D800"),
            ("a\u202eb", "U+202E"),
            ("\ufeffa", "U+FEFF"),
        ],
    )
    def test_a_character_that_cannot_be_printed_is_named(self, name: str, code: str) -> None:
        """Some would break a line, others would change how it is shown; a lone surrogate no report can hold."""
        with pytest.raises(MetricProblem) as raised:
            make(name, 1)
        told = f"record_metric: the metric's name {name!r} has {code}, a character that cannot be printed"
        assert str(raised.value) == told

    @pytest.mark.parametrize("name", ["", "  ", "\n", "\u00a0", "\u200d ", None, 3, b"loss", ["loss"]])
    def test_what_is_no_name_is_refused(self, name: object) -> None:
        """Nothing empty, and no other type."""
        with pytest.raises(MetricProblem) as raised:
            make(name, 1)
        assert str(raised.value) == f"record_metric: the name of a metric is a non-empty text, not {name!r}"

    @pytest.mark.parametrize("unit", [None, 3, b"s", "\ud800"])
    def test_what_is_no_unit_is_refused(self, unit: object) -> None:
        """The empty text means none."""
        with pytest.raises(MetricProblem) as raised:
            make("loss", 1, unit=unit)
        assert str(raised.value) == f"metric 'loss': unit is a text such as 's' or 'TFLOP/s', not {unit!r}"

    @pytest.mark.parametrize("value", [1, 0, "yes", "higher", [], 0.5])
    def test_a_direction_is_a_bool_or_none(self, value: object) -> None:
        """``1`` is more likely a slip than a yes."""
        with pytest.raises(MetricProblem) as raised:
            make("loss", 1, higher_is_better=value)
        assert str(raised.value) == f"metric 'loss': higher_is_better is True, False or None, not {value!r}"


class TestSamples:
    """The value per item, and how many items there are."""

    @pytest.mark.parametrize(
        "samples",
        [[1, 0.5], (1.0, Fraction(1, 2)), np.array([1, 0.5], dtype=np.float16), {1: "a", 0.5: "b"}.keys()],
        ids=["list", "tuple", "array", "keys"],
    )
    def test_any_iterable_of_numbers(self, samples: Any) -> None:
        """They come out as floats, and give n."""
        metric = make("accuracy", 0.75, samples=samples)
        assert (metric.samples, metric.n) == ((1.0, 0.5), 2)
        assert {type(sample) for sample in metric.samples or ()} == {float}

    def test_a_generator_is_read_once(self) -> None:
        """Its length is not asked for."""
        assert make("accuracy", 0.5, samples=(number % 2 for number in range(4))).samples == (0.0, 1.0, 0.0, 1.0)

    def test_what_is_not_finite_is_named_in_the_record(self) -> None:
        """In its place among the samples."""
        metric = make("loss", 1, samples=[0.5, math.nan, math.inf, -math.inf])
        assert strict(metric.to_record())["samples"] == [0.5, "nan", "inf", "-inf"]

    @pytest.mark.parametrize(
        ("samples", "text"),
        [
            (5, "samples is one number per item, not a int"),
            (0.5, "samples is one number per item, not a float"),
            (len, "samples is one number per item, not a builtin_function_or_method"),
            ([1, "2"], "a str is not a number"),
            ("12", "a str is not a number"),
            ([1, None], "a NoneType is not a number"),
            (np.zeros((2, 3)), "a numpy.ndarray of shape (3,) is not one number"),
            ([[1], [2]], "a list is not a number"),
        ],
    )
    def test_bad_samples_are_refused(self, samples: Any, text: str) -> None:
        """The error names the metric and the type."""
        with pytest.raises(MetricProblem) as raised:
            make("accuracy", 1, samples=samples)
        assert str(raised.value).startswith("metric 'accuracy': ")
        assert text in str(raised.value)

    def test_a_bad_sample_is_told_apart_from_a_bad_value(self) -> None:
        """The error names the argument."""
        with pytest.raises(MetricProblem, match="samples"):
            make("accuracy", 1, samples=[1, "2"])

    def test_a_sample_beyond_floats_is_refused_by_name(self) -> None:
        """An int so large has no float."""
        with pytest.raises(MetricProblem, match=r"metric 'accuracy': .*int"):
            make("accuracy", 1, samples=[1, 10**400])

    def test_no_samples_at_all_are_refused(self) -> None:
        """A value cannot come from nothing, and a report's n is at least 1."""
        with pytest.raises(MetricProblem, match=r"metric 'accuracy': .*samples"):
            make("accuracy", 1, samples=[])

    @pytest.mark.parametrize(("n", "kept"), [(1, 1), (2**70, 2**70), (np.int64(5), 5), (np.array([5]), 5)])
    def test_n_is_a_whole_number(self, n: object, kept: int) -> None:
        """Of Python or NumPy."""
        metric = make("accuracy", 1, n=n)
        assert (metric.n, type(metric.n)) == (kept, int)

    @pytest.mark.parametrize("n", [0, -1, True, False, 2.0, "3", math.nan, [1], np.float32(2), np.bool_(True)])
    def test_a_bad_n_is_refused(self, n: object) -> None:
        """It counts items."""
        with pytest.raises(MetricProblem, match=r"metric 'accuracy': n is the number of items, a whole number from 1"):
            make("accuracy", 1, n=n)

    def test_n_must_fit_the_samples(self) -> None:
        """The error says how many there are."""
        assert make("accuracy", 1, n=2, samples=[1, 1]).n == 2
        with pytest.raises(MetricProblem) as raised:
            make("accuracy", 1, n=3, samples=[1, 1])
        assert str(raised.value) == "metric 'accuracy': n=3, but there are 2 samples; leave n out"


class TestTolerances:
    """The allowed change, absolute and relative."""

    @pytest.mark.parametrize("value", [0, 0.05, 1, Decimal("0.05"), Fraction(1, 20), np.float32(0.5), True])
    def test_a_number_from_zero(self, value: Any) -> None:
        """It comes out as a float."""
        metric = make("accuracy", 1, atol=value, rtol=value)
        assert metric.atol == metric.rtol == float(value)
        assert type(metric.atol) is float

    @pytest.mark.parametrize("key", ["atol", "rtol"])
    @pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -math.inf, Decimal("-1")])
    def test_no_other_number(self, key: str, value: object) -> None:
        """The error names the argument."""
        with pytest.raises(MetricProblem) as raised:
            make("accuracy", 1, **{key: value})  # type: ignore[arg-type]
        assert str(raised.value) == f"metric 'accuracy': {key} is a number from 0, not {value!r}"

    @pytest.mark.parametrize("key", ["atol", "rtol"])
    @pytest.mark.parametrize(("value", "kind"), [("1%", "str"), ([0.1], "list"), (1j, "complex")])
    def test_what_is_no_number_is_told_apart_from_a_bad_value(self, key: str, value: object, kind: str) -> None:
        """The error names the argument and the type."""
        with pytest.raises(MetricProblem, match=f"metric 'accuracy': .*{kind}") as raised:
            make("accuracy", 1, **{key: value})  # type: ignore[arg-type]
        assert key in str(raised.value)

    @pytest.mark.parametrize("key", ["atol", "rtol"])
    def test_a_tolerance_beyond_floats_is_refused_by_name(self, key: str) -> None:
        """An int so large has no float."""
        with pytest.raises(MetricProblem, match=r"metric 'accuracy': "):
            make("accuracy", 1, **{key: 10**400})  # type: ignore[arg-type]


def foreign_numbers() -> Iterator[st.SearchStrategy[Any]]:
    """Strategies of every kind of number that a test may record."""
    yield st.floats()
    yield st.integers()
    yield st.booleans()
    yield st.floats(width=16).map(np.float16)
    yield st.floats(width=32).map(lambda value: np.array([value], dtype=np.float32))
    yield st.decimals(allow_nan=True).filter(lambda value: not value.is_snan())


@given(
    st.one_of(*foreign_numbers()),
    st.none() | st.lists(st.floats(), min_size=1),
    st.none() | st.booleans(),
    st.none() | st.floats(0, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip).filter(str.isprintable),
)
def test_every_metric_is_strict_json(
    value: object,
    samples: list[float] | None,
    better: bool | None,
    tolerance: float | None,
    name: str,
) -> None:
    """With each of its fields, and non_finite where the value is null."""
    metric = make(
        name,
        value,
        kind="score",
        unit=name,
        higher_is_better=better,
        samples=samples,
        atol=tolerance,
        rtol=tolerance,
    )
    record = strict(metric.to_record())
    assert (record["name"], record["unit"], record["higher_is_better"]) == (name, name, better)
    assert (record["atol"], record["rtol"]) == (tolerance, tolerance)
    assert record["n"] == (None if samples is None else len(samples))
    assert (record["value"] is None) == ("non_finite" in record)
    assert ("samples" in record) == (samples is not None)


def test_the_record_of_a_metric_with_everything() -> None:
    """As the journal keeps it."""
    metric = make("accuracy", 0.75, unit="1", higher_is_better=True, n=2, samples=[1, 0.5], atol=0.01, rtol=0)
    assert metric.to_record() == {
        "name": "accuracy",
        "value": 0.75,
        "kind": "mean",
        "unit": "1",
        "higher_is_better": True,
        "n": 2,
        "atol": 0.01,
        "rtol": 0.0,
        "samples": [1.0, 0.5],
    }
    assert Metric(name="loss", value=math.nan).to_record()["non_finite"] == "nan"


def test_non_finite_names() -> None:
    """The three that the report format knows."""
    assert [non_finite_name(value) for value in (math.nan, math.inf, -math.inf)] == ["nan", "inf", "-inf"]


KINDS: list[tuple[dict[str, Any], str]] = [
    ({"value": 0.913}, "score"),
    ({"value": 0.913, "n": 1000}, "proportion"),
    ({"value": np.float32(0.913), "n": 1000}, "proportion"),
    ({"value": 1201 / 1319, "n": 1319}, "proportion"),
    ({"value": 0.9135, "n": 1000}, "score"),
    ({"value": 91.3, "n": 1000, "unit": "%"}, "proportion"),
    ({"value": 91.3, "n": 1000}, "score"),
    ({"value": 0.5, "n": 2, "unit": "nats"}, "score"),
    ({"value": 0.5, "samples": [0, 1]}, "proportion"),
    ({"value": 0.5, "samples": {"q1": False, "q2": True}}, "proportion"),
    ({"value": 50, "samples": [0, 1], "unit": "%"}, "proportion"),
    ({"value": 0.5, "samples": [0.25, 0.75]}, "mean"),
    ({"value": 0.15, "unit": "nats"}, "score"),
    ({"value": 0.5, "n": 2, "unit": "s"}, "time"),
    ({"value": 0.5, "samples": [0.4, 0.5, 0.9], "unit": "ms"}, "time"),
    ({"value": 1e6, "unit": "tokens/s"}, "score"),
    ({"value": 1e6, "unit": "tokens/s", "kind": "rate"}, "rate"),
    ({"value": 0.7, "samples": [0, 1], "kind": "score"}, "score"),
    ({"value": math.nan, "samples": [0.5, 1]}, "mean"),
]


@pytest.mark.parametrize(("call", "kind"), KINDS)
def test_what_a_metric_is(call: dict[str, Any], kind: str) -> None:
    """The call says it, or items or a unit of time; nothing else is guessed. It is on record, and read again."""
    metric = make("m", **call)
    assert metric.kind == kind
    assert from_record(strict(metric.to_record())) == metric or math.isnan(metric.value)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ({"value": 1, "kind": "ratio"}, "kind is one of proportion, mean, time, rate, size, score, not 'ratio'"),
        ({"value": 91.3, "kind": "proportion"}, "a proportion is from 0 to 1, not 91.3; give unit='%'"),
        ({"value": -0.1, "kind": "proportion"}, "a proportion is from 0 to 1, not -0.1"),
        ({"value": 0.5, "kind": "proportion", "unit": "nats"}, "a proportion has no unit, or '%', not 'nats'"),
        ({"value": 0.6, "samples": [0, 1]}, "0.6 is not the mean of its samples, which is 0.5; give kind='score'"),
        ({"value": 0.5, "samples": [0, 1], "unit": "%"}, "0.5 is not the mean of its samples, which is 50"),
        ({"value": 2.5, "samples": [1.5, 2.5]}, "2.5 is not the mean of its samples, which is 2"),
        ({"value": 1, "samples": {1: 1, "1": 1}}, "samples has two ids that read the same"),
        ({"value": 1, "repeats": []}, "repeats is empty; leave it out where it was measured once"),
        ({"value": 1, "repeats": 3}, "repeats is one number per measurement of the same quantity, not a int"),
    ],
)
def test_what_contradicts_itself_is_refused(call: dict[str, Any], told: str) -> None:
    """At once, with what to do."""
    with pytest.raises(MetricProblem) as raised:
        make("m", **call)
    assert told in str(raised.value)
