"""Which items were right and are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.items.flips import Rule, compared, is_right, worst_first


@pytest.mark.parametrize(
    ("value", "threshold", "lower", "right"),
    [
        (1, None, False, True),
        (0, None, False, False),
        (0.5, None, False, True),
        (0.49, None, False, False),
        ("nan", None, False, False),
        ("inf", None, False, None),
        (2.5, None, False, None),
        (-1, None, False, None),
        (2.5, 3.0, False, False),
        (3.0, 3.0, False, True),
        (1, None, True, False),
        (0, None, True, True),
        (3.0, 3.0, True, True),
        (3.1, 3.0, True, False),
    ],
)
def test_right_is_1_and_wrong_is_0(value: Any, threshold: float | None, lower: bool, right: bool | None) -> None:
    assert is_right(value, threshold, lower=lower) is right


def item(name: str, repeat: int | None = None, **scores: Any) -> dict[str, Any]:
    return {"id": name, "scores": scores} | ({} if repeat is None else {"repeat": repeat})


def flips(now: list[dict[str, Any]], before: list[dict[str, Any]], rule: Rule = Rule()) -> dict[str, Any]:  # noqa: B008
    known = {(one.get("repeat", 0), one["id"]): one for one in before}
    return {one["id"]: one["flip"] for one in compared(now, known, rule)}


def test_what_was_right_and_is_wrong_broke_and_back_is_fixed() -> None:
    now = [item("a", score=0), item("b", score=1), item("c", score=1), item("d", score=0), item("new", score=0)]
    before = [item("a", score=1), item("b", score=0), item("c", score=1), item("d", score=0)]
    assert flips(now, before) == {"a": "broke", "b": "fixed", "c": None, "d": None, "new": None}


def test_the_score_is_the_first_that_both_sides_have() -> None:
    now = [item("a", score=0, f1=0.9, accuracy=0)]
    assert flips(now, [item("a", f1=0.1)]) == {"a": "fixed"}
    assert flips(now, [item("a", f1=0.1, accuracy=1)], Rule(order=("score", "accuracy"))) == {"a": "broke"}
    assert flips(now, [item("a", f1=0.1, accuracy=1)], Rule(score="f1")) == {"a": "fixed"}
    assert flips(now, [item("a", other=1)]) == {"a": None}
    assert flips(now, [item("a", score=1)], Rule(score="missing")) == {"a": None}


def test_a_loss_flips_by_a_threshold_alone() -> None:
    now, before = [item("a", loss=3.5)], [item("a", loss=2.5)]
    assert flips(now, before, Rule(lower={"loss"})) == {"a": None}
    assert flips(now, before, Rule(lower={"loss"}, threshold=3.0)) == {"a": "broke"}


def test_each_repeat_is_compared_with_its_own() -> None:
    now = [item("a", repeat=0, score=1), item("a", repeat=1, score=0)]
    before = [item("a", repeat=0, score=1), item("a", repeat=1, score=1)]
    found = list(compared(now, {(one["repeat"], "a"): one for one in before}, Rule()))
    assert [one["flip"] for one in found] == [None, "broke"]
    assert found[1]["before"]["right"] is True


def test_what_broke_comes_first() -> None:
    now = [item("same", score=1), item("wrong", score=0), item("fixed", score=1), item("broke", score=0)]
    before = {(0, "fixed"): item("fixed", score=0), (0, "broke"): item("broke", score=1)}
    assert [one["id"] for one in worst_first(compared(now, before, Rule()))] == ["broke", "fixed", "wrong", "same"]
