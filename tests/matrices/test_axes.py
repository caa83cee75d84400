"""``pytest_gpupool.matrix``: the product of axes, its ids, and what is left out of it."""

from __future__ import annotations

import enum
import functools
import math
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pytest_gpupool import matrix
from pytest_gpupool.values.errors import UsageProblem


class Mode(enum.Enum):
    """An axis."""

    FAST = 1
    SLOW = 2


class Size(enum.IntEnum):
    """Members that are numbers."""

    SMALL = 8


class Model:
    """What has no text."""


class Named:
    """As torch shows its number formats."""

    def __repr__(self) -> str:
        return "torch.bfloat16"


class Hostile:
    """A foreign type that fails whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("closed")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("closed")

    __hash__ = None  # type: ignore[assignment]


def values_of(decorator: pytest.MarkDecorator) -> list[tuple[Any, ...]]:
    """The values that each test gets."""
    return [tuple(one.values) for one in decorator.args[1]]


def ids_of(decorator: pytest.MarkDecorator) -> list[Any]:
    return [one.id for one in decorator.args[1]]


def digits(*names: str) -> dict[str, Any]:
    """Axes of ten values each."""
    return {name: list(range(10)) for name in names}


class TestProduct:
    """Which tests there are, in which order."""

    def test_the_last_axis_varies_fastest(self) -> None:
        decorator = matrix(lr=[1e-3, 1e-4], batch_size=[32, 64])
        assert decorator.args[0] == ("lr", "batch_size")
        assert values_of(decorator) == [(0.001, 32), (0.001, 64), (0.0001, 32), (0.0001, 64)]
        assert ids_of(decorator) == [
            "lr=0.001-batch_size=32", "lr=0.001-batch_size=64", "lr=0.0001-batch_size=32", "lr=0.0001-batch_size=64",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "values", [(1, 2), range(1, 3), {1: "a", 2: "b"}.keys(), np.array([1, 2]), (n for n in (1, 2))]
    )
    def test_whatever_has_an_order_is_an_axis(self, values: Any) -> None:
        """A generator too, which can be read once."""
        assert values_of(matrix(a=values, b=[0, 1])) == [(1, 0), (1, 1), (2, 0), (2, 1)]

    def test_an_enum_is_the_axis_of_its_members(self) -> None:
        assert values_of(matrix(mode=Mode)) == [(Mode.FAST,), (Mode.SLOW,)]

    def test_values_stay_what_they_are(self) -> None:
        """Neither copied nor compared."""
        values = [Model(), Hostile(), (1, 2), [3], None]
        assert all(mine is given for (mine,), given in zip(values_of(matrix(a=values)), values, strict=True))


class TestIds:
    """Readable ids."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.001, "0.001"), (1e-5, "1e-05"), (1 / 3, "0.3333333333333333"), (math.inf, "inf"), (-1, "-1"),
            (True, "True"), (None, "None"), ("adam", "adam"), ("", ""), ("a b", "a b"), (b"a\xff", "a\\xff"),
            (Mode.FAST, "FAST"), (Size.SMALL, "SMALL"), (Model, "Model"), (print, "print"),
            (np.float64(0.5), "0.5"), (np.float32(0.1), "0.1"), (np.int64(3), "3"), (np.str_("x"), "x"),
            (np.float16, "float16"), (Named(), "bfloat16"), (Decimal("0.10"), "0.10"), (Fraction(1, 3), "1/3"),
            (1 + 2j, "(1+2j)"),
            (Model(), "a0"), (Hostile(), "a0"), (lambda: 1, "a0"), (functools.partial(print), "a0"), ((1, 2), "a0"),
            ({"a": 1}, "a0"), ("x" * 101, "a0"), pytest.param(10**5000, "a0", id="too long for Python"),
        ],
    )  # fmt: skip
    def test_texts_of_values(self, value: object, text: str) -> None:
        """What has no short text is called like pytest does, by the axis and its place."""
        assert ids_of(matrix(a=[value])) == [f"a={text}"]

    def test_the_place_is_that_in_the_axis(self) -> None:
        """So that it does not change with the other axes."""
        assert ids_of(matrix(b=[1, 2], model=[Model(), Model()])) == [
            "b=1-model=model0", "b=1-model=model1", "b=2-model=model0", "b=2-model=model1",
        ]  # fmt: skip

    def test_different_values_with_one_text_are_told_apart(self) -> None:
        assert ids_of(matrix(a=[1, "1", 2, True, "True"])) == ["a=1_0", "a=1_1", "a=2", "a=True_3", "a=True_4"]

    def test_an_id_is_the_same_in_every_sample(self) -> None:
        """Results of earlier runs and baselines go by it."""
        axes: dict[str, Any] = {"a": [0.1, Decimal("0.1"), "x"], "model": [Model(), Model(), Model()], "c": [1, "1"]}
        whole = ids_of(matrix(**axes))
        assert len(set(whole)) == 18
        for sample in (1, 5, 17):
            assert set(ids_of(matrix(sample=sample, **axes))) < set(whole)

    def test_params_of_pytest_keep_their_ids_and_marks(self) -> None:
        skip, big = pytest.mark.skip, pytest.mark.gpupool(gpus=4)
        decorator = matrix(
            model=["8b", pytest.param("70b", marks=[big, skip], id="large")],
            shots=[0, pytest.param(5, marks=skip, id=pytest.HIDDEN_PARAM)],
        )
        assert values_of(decorator) == [("8b", 0), ("8b", 5), ("70b", 0), ("70b", 5)]
        assert ids_of(decorator) == ["model=8b-shots=0", "model=8b", "model=large-shots=0", "model=large"]
        marks = [[mark.name for mark in one.marks] for one in decorator.args[1]]
        assert marks == [[], ["skip"], ["gpupool", "skip"], ["gpupool", "skip", "skip"]]

    def test_where_all_is_hidden_there_is_no_id(self) -> None:
        assert ids_of(matrix(a=[pytest.param(1, id=pytest.HIDDEN_PARAM)])) == [pytest.HIDDEN_PARAM]


class TestExclude:
    """Combinations that are left out."""

    @pytest.mark.parametrize(
        ("exclude", "left"),
        [
            ([], "a1 a2 b1 b2"),
            ([{"x": "a"}], "b1 b2"),
            ([{"x": "a", "y": 1}], "a2 b1 b2"),
            ([{"x": "a", "y": 1}, {"y": 2}], "b1"),
            ([{"x": "a"}, {"x": "a", "y": 1}], "b1 b2"),
            ([{"y": 1.0}], "a2 b2"),
            (iter([{"y": 1}]), "a2 b2"),
        ],
    )
    def test_a_dict_leaves_out_what_has_all_its_values(self, exclude: Any, left: str) -> None:
        decorator = matrix(exclude=exclude, x=["a", "b"], y=[1, 2])
        assert " ".join(f"{x}{y}" for x, y in values_of(decorator)) == left

    def test_true_is_not_1_and_nan_is_itself(self) -> None:
        values = [1, True, math.nan, np.array([1, 2]), pytest.param(0, id="none")]
        assert ids_of(matrix(a=values, exclude=[{"a": True}, {"a": math.nan}, {"a": 0}])) == ["a=1", "a=a3"]
        assert ids_of(matrix(a=values, exclude=[{"a": 1}, {"a": values[3]}])) == ["a=True", "a=nan", "a=none"]

    def test_enums_and_objects_are_compared_as_they_compare(self) -> None:
        assert values_of(matrix(mode=Mode, exclude=[{"mode": Mode.FAST}])) == [(Mode.SLOW,)]


class TestSample:
    """A reproducible subset."""

    def test_it_is_the_same_on_every_machine(self) -> None:
        """Whatever the version of Python, the process and its hash seed."""
        assert values_of(matrix(sample=4, **digits("a", "b", "c"))) == GOLDEN
        assert values_of(matrix(sample=4, seed=0, **digits("a", "b", "c"))) == GOLDEN
        assert values_of(matrix(sample=4, seed=1, **digits("a", "b", "c"))) != GOLDEN

    def test_it_keeps_the_order_of_the_product(self) -> None:
        chosen = values_of(matrix(sample=50, **digits("a", "b")))
        assert chosen == sorted(chosen)
        assert len(set(chosen)) == 50

    def test_a_larger_one_has_all_of_a_smaller_one(self) -> None:
        samples = [set(values_of(matrix(sample=size, **digits("a", "b")))) for size in (1, 10, 60, 100)]
        assert all(small < large for small, large in pairwise(samples))

    @pytest.mark.parametrize("sample", [4, 5, 10**9])
    def test_one_as_large_as_all_is_all(self, sample: int) -> None:
        axes: dict[str, Any] = {"a": [1, 2], "b": [1, 2]}
        assert values_of(matrix(sample=sample, **axes)) == values_of(matrix(**axes))

    def test_exclude_replaces_only_what_it_leaves_out(self) -> None:
        """The others of the sample stay."""
        before = values_of(matrix(sample=20, **digits("a", "b")))
        after = values_of(matrix(sample=20, exclude=[{"a": 3}], **digits("a", "b")))
        assert len(after) == 20
        assert {one for one in before if one[0] != 3} <= set(after)
        assert all(one[0] != 3 for one in after)

    def test_every_combination_is_as_likely(self) -> None:
        """Of 6, 2 are drawn 6,000 times: each about 2,000 times, more than 5 standard deviations (36.5) around it."""
        axes: dict[str, Any] = {"a": [0, 1], "b": [0, 1, 2]}
        count = Counter(one for seed in range(6000) for one in values_of(matrix(sample=2, seed=seed, **axes)))
        assert set(count) == {(a, b) for a in (0, 1) for b in (0, 1, 2)}
        assert all(1800 < number < 2200 for number in count.values())

    def test_of_a_product_too_large_to_be_made(self) -> None:
        """10**26 combinations, of which a tenth is excluded; each axis has all its values."""
        axes = digits(*"abcdefghijklmnopqrstuvwxyz")
        chosen = values_of(matrix(sample=200, exclude=[{"a": 0}], **axes))
        assert len(set(chosen)) == 200
        assert [len({one[axis] for one in chosen}) for axis in range(26)] == [9] + [10] * 25


GOLDEN = [(3, 3, 2), (6, 1, 7), (6, 6, 1), (9, 2, 5)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"it has no axis; write such as matrix\(lr="),
        ({"lr": "0.1"}, r"lr is a list of values, not '0\.1'; write lr=\[…\]"),
        ({"lr": 0.1}, r"lr is a list of values, not 0\.1; write lr="),
        ({"lr": None}, "lr is a list of values, not None"),
        ({"lr": b"ab"}, "lr is a list of values, not b'ab'"),
        ({"lr": {"a": 1}}, "lr is a list of values, not {'a': 1}"),
        ({"lr": {1, 2}}, r"lr is a set, which has no order; write lr=\[…\] or sorted"),
        ({"lr": []}, "lr has no values, so there would be no test"),
        ({"lr": [1], "b": ()}, "b has no values"),
        ({"lr": [pytest.param(1, 2)]}, "lr has a pytest.param of 2 values; each is of one"),
        ({"lr": [1], "sample": 0}, "sample is a whole number from 1, not 0"),
        ({"lr": [1], "sample": True}, "sample is a whole number from 1, not True"),
        ({"lr": [1], "sample": 0.5}, r"sample is a whole number from 1, not 0\.5"),
        ({"lr": [1], "sample": "3"}, "sample is a whole number from 1, not '3'"),
        ({"lr": [1], "sample": [1]}, r"sample is .* not \[1\]; an axis called sample takes a @pytest.mark.parametrize"),
        (
            {"lr": [1], "seed": range(3)},
            r"seed is .*; an axis called seed takes .*\('seed', …\) of its own",
        ),
        ({"lr": [1], "seed": None}, "seed is a whole number, not None"),
        ({"lr": [1], "seed": "a"}, "seed is a whole number, not 'a'"),
        ({"lr": [1], "exclude": {"lr": 1}}, r"exclude is a list of dicts, not {'lr': 1}; write exclude=\[{…}\]"),
        ({"lr": [1], "exclude": None}, "exclude is a list of dicts, not None"),
        ({"lr": [1], "exclude": ["lr"]}, "exclude has 'lr'; each is a dict of values by axis"),
        ({"lr": [1], "exclude": [{}]}, "exclude has {}; each is a dict"),
        ({"lr": [1], "b": [1], "exclude": [{"l": 1}]}, "exclude names 'l', which is no axis: there are lr, b"),
        ({"lr": [0.1], "exclude": [{"lr": 0.2}]}, r"exclude has lr=0\.2, which is no value of it: \[0\.1\]"),
        ({"lr": [1], "exclude": [{"lr": True}]}, r"exclude has lr=True, which is no value of it: \[1\]"),
        ({"lr": [Hostile()], "exclude": [{"lr": 1}]}, "exclude has lr=1, which is no value of it"),
        ({"lr": [1, 2], "exclude": [{"lr": 1}, {"lr": 2}]}, "exclude leaves no combination"),
        ({"lr": [1], "exclude": [{"lr": 1}], "sample": 1}, "exclude leaves no combination"),
    ],
)
def test_what_makes_no_sense_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageProblem, match=f"^matrix: {message}"):
        matrix(**given)
