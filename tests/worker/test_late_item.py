"""The late item: whoever looks at it learns of the next test, nobody earlier."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gpupool.worker.protocol.late_item import LateItem


class Question:
    """Counts how often it is asked."""

    def __init__(self, answer: pytest.Item | None) -> None:
        self.answer = answer
        self.asked = 0

    def __call__(self) -> pytest.Item | None:
        self.asked += 1
        return self.answer


def test_nobody_is_asked_before_somebody_looks() -> None:
    """To hold it is not to look."""
    question = Question(None)
    late = LateItem(question)
    assert question.asked == 0
    assert late.waited == 0.0
    assert late.resolve() is None
    assert question.asked == 1


def test_it_asks_once(request: pytest.FixtureRequest) -> None:
    """However often pytest looks."""
    item: Any = request.node
    question = Question(item)
    late = LateItem(question)
    assert late
    assert late.listchain() == item.listchain()
    assert late.nodeid == item.nodeid
    assert late.resolve() is item
    assert question.asked == 1


def test_none_is_no_next_test() -> None:
    """As at the end, and for a worker that rests."""
    assert not LateItem(Question(None))
