"""An event wakes who waits for it."""

from __future__ import annotations

import threading

from pytest_gpupool.processes.own.events import Event

LONG = 60.0
"""Seconds that are never waited for where it works."""


def test_a_wait_ends_when_it_is_set() -> None:
    """Before the wait, or meanwhile, for all that wait."""
    event = Event()
    assert not event.is_set()
    assert not event.wait(0)
    assert not event.wait(-1)
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(event.wait(LONG))) for _ in range(3)]
    for thread in threads:
        thread.start()
    event.set()
    event.set()
    for thread in threads:
        thread.join()
    assert answers == [True] * 3
    assert event.is_set()
    assert event.wait()
    assert event.wait(float("inf"))


def test_one_that_is_cleared_is_waited_for_again() -> None:
    event = Event()
    for _ in range(2):
        event.set()
        assert event.wait(LONG)
        event.clear()
        event.clear()
        assert not event.is_set()
        assert not event.wait(0)
