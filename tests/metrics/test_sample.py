"""What a test may say of one item, and the line that is kept of it."""

from __future__ import annotations

import dataclasses
import enum
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_gpupool.metrics.sample import KEPT_WHEN_FULL, MOST_OF_VALUE, make
from pytest_gpupool.values.errors import MetricProblem


class Answer(enum.Enum):
    """An answer."""

    A = "a"


@dataclasses.dataclass
class Reply:
    """A reply."""

    text: str
    tokens: int


class Silent:
    """What has no text."""

    def __str__(self) -> str:
        raise RuntimeError("not now")


def line(item: object = "q", score: object = None, is_full: bool = False, **values: object) -> Any:
    return json.loads(make(item, values=values, score=score, is_full=is_full).line)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("text", "text"),
        ("ünï\ud800", "ünï\ud800"),
        ({"a": [1, 2.5, None, True]}, {"a": [1, 2.5, None, True]}),
        ({1: "x"}, {"1": "x"}),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (float("nan"), "nan"),
        ([float("inf"), {"x": float("-inf")}], ["inf", {"x": "-inf"}]),
        (np.arange(3), [0, 1, 2]),
        ({"x": np.float32(0.5)}, {"x": 0.5}),
        (np.array([float("nan")]), ["nan"]),
        ({Answer.A: Answer.A}, {"a": "a"}),
        (Reply("hi", 2), {"text": "hi", "tokens": 2}),
        (Path("a/b"), "a/b"),
        (Decimal("0.5"), 0.5),
    ],
)
def test_any_json_value_is_kept_and_what_stands_for_one(given: object, kept: object) -> None:
    assert line(output=given) == {"id": "q", "output": kept}


@pytest.mark.parametrize(
    ("score", "kept"),
    [(True, 1), (False, 0), (0.25, 0.25), (7, 7), (np.float64(0.5), 0.5), (np.bool_(True), 1), (float("nan"), "nan")],
)
def test_a_score_is_a_bool_or_a_number(score: object, kept: object) -> None:
    assert line(score=score) == {"id": "q", "scores": {"score": kept}}


def test_scores_have_names_and_none_is_none() -> None:
    made = make(3, values={"input": None}, score=1, scores={"f1": 0.5, "bleu": None})
    assert (made.id, made.scores) == ("3", {"score": 1, "f1": 0.5})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"item": ""}, "the id of an item is a text or a number, not ''"),
        ({"item": None}, "the id of an item is a text or a number, not None"),
        ({"item": "x" * 1001}, "an id of 1001 characters .* is too long"),
        ({"item": Silent()}, r"a text or a number, not a test_sample.Silent \(not now\)"),
        ({"item": 10**5000}, r"a text or a number, not a int \(Exceeds the limit"),
        ({"score": 10**400}, "item 'q': score: an int of that size has no float"),
        ({"score": 10**5000}, "item 'q': score: an int of that size has no float"),
        ({"score": "0.5"}, "item 'q': score: a str is not a number"),
        ({"output": object()}, "item 'q': output is no JSON value: it holds a object .*; give texts, numbers"),
        ({"output": b"x"}, "it holds a bytes .* keep what is neither with attach"),
        ({"output": np.zeros(200_000)}, r"a numpy.ndarray of shape \(200000,\) has too many numbers"),
    ],
)
def test_what_cannot_be_kept_says_so(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(MetricProblem, match=told):
        line(**arguments)


def test_what_holds_itself_says_so() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(MetricProblem, match="output holds itself"):
        line(output=endless)


def test_a_long_value_leaves_its_beginning_its_length_and_a_digest() -> None:
    text = "abc" * MOST_OF_VALUE
    told = line(output=text, input=["x" * MOST_OF_VALUE])
    assert told["output"] == text[: len(told["output"])] != ""
    assert told["cut"]["output"]["length"] == len(text)
    assert len(told["cut"]["output"]["sha256"]) == 16
    assert told["input"].startswith('["xxx')
    assert told["cut"]["input"]["json"] is True
    assert make("q", values={"output": text}).is_cut
    assert line(output=text) == line(output=text) != line(output=f"{text}.")


def test_once_there_is_too_much_only_beginnings_are_kept() -> None:
    told = line(output="y" * 1000, target="short", is_full=True, score=1)
    assert told["output"] == "y" * KEPT_WHEN_FULL
    assert (told["target"], told["scores"]) == ("short", {"score": 1})
