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


def test_nobody_is_asked_before_somebody_looks(request: pytest.FixtureRequest) -> None:
    """To hold it is not to look."""
    question = Question(None)
    late = LateItem(request.node, question)
    assert question.asked == 0
    assert late.waited == 0.0
    assert late.resolve() is None
    assert question.asked == 1


def test_it_asks_once(request: pytest.FixtureRequest) -> None:
    """However often pytest looks."""
    item: Any = request.node
    question = Question(item)
    late = LateItem(item.parent, question)
    assert late
    assert late.listchain() == item.listchain()
    assert late.nodeid == item.nodeid
    assert late.resolve() is item
    assert question.asked == 1


def test_none_is_no_next_test(request: pytest.FixtureRequest) -> None:
    """As at the end."""
    late = LateItem(request.node, Question(None))
    assert not late
    assert late.listchain() == []


def test_a_worker_that_rests_leaves_set_up_what_tests_share(request: pytest.FixtureRequest) -> None:
    """It is as if the next test had the same place: only what is the present one's alone goes."""
    item: Any = request.node
    late = LateItem(item, Question(item))
    assert late
    assert late.listchain() == item.listchain()[:-1]
    assert late.path == item.path
