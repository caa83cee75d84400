"""The tests that a worker was given, over xdist's own queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import execnet
import pytest
from xdist.remote import TestQueue as XdistQueue

from pytest_gpupool.foreign.xdist_worker import SHUTDOWN
from pytest_gpupool.values.messages import Rest
from pytest_gpupool.worker.protocol.given_tests import GivenTests

Given = Callable[..., GivenTests]


@pytest.fixture
def given() -> Given:
    """Makes a queue that holds these."""

    def make(*items: Any) -> GivenTests:
        queue = XdistQueue(execnet.default_group.execmodel)
        for item in items:
            queue.put(item)
        return GivenTests(queue)

    return make


def test_they_come_in_their_order(given: Given) -> None:
    """The first has the number 0, which is a test too."""
    tests = given(0, 3)
    assert tests.next_at_once() == 0
    assert tests.wait() == 3
    assert tests.next_at_once() is None


def test_what_has_begun_is_not_given_back(given: Given) -> None:
    """Nor what was never there; the others keep their order."""
    tests = given(1, 2, 3, 4)
    assert tests.wait() == 1
    assert tests.give_back({1, 2, 4, 9}) == [2, 4]
    assert [tests.wait(), tests.next_at_once()] == [3, None]


def test_all_are_given_back_but_what_is_no_test(given: Given) -> None:
    """Neither the rest nor the end."""
    tests = given(5, Rest(), 6, SHUTDOWN)
    assert tests.give_back_all() == [5, 6]
    assert tests.next_at_once() is None


def test_a_rest_comes_behind_what_was_given_before(given: Given) -> None:
    """As the controller said it."""
    tests = given(7)
    tests.rest()
    assert tests.wait() == 7
    assert isinstance(tests.wait(), Rest)
