"""Handlers of signals are of the process that has set them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from pytest_gpupool.processes.own.handlers import Handler

NUMBER = signal.SIGUSR2


class Heard:
    """How often a signal was heard here."""

    def __init__(self) -> None:
        self.count = 0
        self.handler = Handler(NUMBER, self.hear)
        self.handler.set()

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Count."""
        assert number == NUMBER
        self.count += 1


@pytest.fixture
def heard() -> Iterator[Heard]:
    """A handler that is put back at the end."""
    found = Heard()
    yield found
    found.handler.put_back()
    assert signal.getsignal(NUMBER) == signal.SIG_DFL


def test_this_process_hears_it(heard: Heard) -> None:
    os.kill(os.getpid(), NUMBER)
    assert heard.count == 1


@pytest.mark.parametrize("turn", range(20))
def test_a_child_has_what_was_there_before(heard: Heard, turn: int) -> None:
    """From its first moment on: what it is sent as it is forked is not lost either."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(pid, NUMBER)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -NUMBER
    assert heard.count == 0
    os.kill(os.getpid(), NUMBER)  # which is not blocked here
    assert heard.count == 1


def test_another_handler_that_came_later_stays(heard: Heard) -> None:
    signal.signal(NUMBER, signal.SIG_IGN)
    heard.handler.put_back()
    assert signal.getsignal(NUMBER) == signal.SIG_IGN
    signal.signal(NUMBER, signal.SIG_DFL)
