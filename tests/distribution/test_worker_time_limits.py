"""Worker time limits: which worker is on a clock while questions and answers are on their way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from made_members import Node, member

from pytest_gpupool.distribution.workers.ends import WorkerEnds
from pytest_gpupool.distribution.workers.member import Member, Shape
from pytest_gpupool.distribution.workers.time_limits import WorkerTimeLimits

ANSWERS = ["runtests", "runtests_all", "gpupool_rest", "shutdown"]

HANGS = 60.0
"""Seconds after which something that works is surely done; never waited for then."""

SOON = 0.01
"""A limit that every test reaches."""


class Line:
    """Between the controller and one worker, which has just been given a test."""

    def __init__(self) -> None:
        self.overdue = threading.Event()
        self.limits = WorkerTimeLimits(lambda *_: self.overdue.set(), where=lambda _: "")
        self.limits.is_told("gw0", "runtests")

    def test_runs(self) -> None:
        """The test with a limit begins."""
        self.limits.runs(member("gw0"), "test_a", SOON)

    def is_on_a_clock(self) -> bool:
        """Whether its limit comes; a test of another worker that begins later comes to its own."""
        after = threading.Event()
        others = WorkerTimeLimits(lambda *_: after.set(), where=lambda _: "")
        others.runs(member("gw1"), "test_b", 20 * SOON)
        assert after.wait(HANGS)
        others.close()
        return self.overdue.is_set()


@pytest.fixture
def line() -> Iterator[Line]:
    """One whose clocks are closed after the test."""
    with ExitStack() as stack:
        line = Line()
        stack.callback(line.limits.close)
        yield line


@pytest.mark.parametrize("answer", ANSWERS)
def test_who_has_its_answer_goes_on(line: Line, answer: str) -> None:
    """Whatever it is: no test at all, none now, or one."""
    line.limits.asks("gw0", answers=1)
    line.test_runs()
    assert not line.is_on_a_clock()
    line.limits.is_told("gw0", answer)
    assert line.overdue.wait(HANGS)


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_question_that_crossed_with_its_answer_stops_nothing(line: Line, answer: str) -> None:
    """The call of its test was the reason for the answer."""
    line.limits.is_told("gw0", answer)
    line.limits.asks("gw0", answers=1)
    line.test_runs()
    assert line.overdue.wait(HANGS)


@pytest.mark.parametrize("command", ["steal", "gpupool_ends", "gpupool_attempts", "gpupool_describe"])
def test_what_answers_nothing_lets_nobody_go_on(line: Line, command: str) -> None:
    """Be it on its way before the question or after it."""
    line.limits.is_told("gw0", command)
    line.limits.asks("gw0", answers=1)
    line.limits.is_told("gw0", command)
    line.test_runs()
    assert not line.is_on_a_clock()


def test_the_next_test_has_its_time_when_it_begins(line: Line) -> None:
    """What an earlier one has left is torn down before; it has a clock of its own."""
    line.limits.tears_down("gw0")
    line.test_runs()
    assert not line.is_on_a_clock()
    line.limits.restart("gw0", "test_a")
    assert line.overdue.wait(HANGS)


def test_what_another_worker_is_told_lets_nobody_go_on(line: Line) -> None:
    """Each has answers of its own."""
    line.limits.asks("gw0", answers=1)
    line.limits.is_told("gw1", "runtests")
    line.test_runs()
    assert not line.is_on_a_clock()


class Process:
    """A worker's, of which nothing can be found out."""

    end_seconds = HANGS

    def __init__(self) -> None:
        self.was_ended = False

    def wait(self) -> None:
        """It has ended."""

    def clear(self) -> None:
        """What it has left behind cannot be found out."""
        raise OSError("no /proc")

    def end(self) -> None:
        """Remember it."""
        self.was_ended = True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
class TestWhatGoesWrong:
    """In a thread of ours, where nobody hears of it: the run goes on all the same."""

    def test_where_nobody_can_say_where_a_test_hangs(self) -> None:
        """Its worker is ended."""
        process: Any = Process()

        def where(_: Member) -> str:
            raise ValueError("no stacks")

        limits = WorkerTimeLimits(lambda *_: None, where)
        node: Any = Node("gw0")
        limits.cut_off(Member(node, process, (0,), Shape()), "test_a")
        limits.wait_for_ends()
        assert process.was_ended

    def test_where_what_a_worker_leaves_cannot_be_cleared_up(self) -> None:
        """Its end is told."""
        told = threading.Event()
        made_up: list[Any] = [Node("gw0"), Process(), SimpleNamespace()]
        node, process, controller = made_up
        dead = Member(node, process, (0,), Shape())
        dead.connection_over.set()
        ends = WorkerEnds(controller, exited=lambda _: None)
        ends.watch(dead, told.set)
        assert told.wait(HANGS)
        ends.wait()  # pytest hears of the error while this test runs
        assert dead.has_exited
        ends.close()
