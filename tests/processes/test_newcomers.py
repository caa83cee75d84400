"""Which processes a test has left running, seen after each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from made_workers import Start, lives, starting

from pytest_gpupool.processes import table
from pytest_gpupool.processes.termination import Worker, end_worker
from pytest_gpupool.processes.tree import Newcomers

pytestmark = pytest.mark.skipif(not table.lists_children(), reason="this kernel does not list children")


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers; see :func:`made_workers.starting`."""
    with starting() as begin:
        yield begin


def test_each_child_is_new_once(start: Start) -> None:
    """What there was at first never is; for a child's children the child answers."""
    first = start("say()\ntime.sleep(600)")
    newcomers = Newcomers()
    assert newcomers.look() == []
    second = start("say(start().pid)\ntime.sleep(600)")
    assert newcomers.look() == [table.identity(second.pid)]
    assert newcomers.look() == []
    second.popen.kill()
    second.wait()
    assert newcomers.look() == []
    assert lives(first.pid)


def test_one_that_has_ended_is_none(start: Start) -> None:
    """Though nobody has waited for it."""
    newcomers = Newcomers()
    ended = start("say()")
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert newcomers.look() == []


def test_who_was_seen_is_ended_with_its_worker(start: Start) -> None:
    """Also one that was forked, left group and parent, and has no marks: nothing else tells whose it is."""
    code = (
        "newcomers = tree.Newcomers()\n"
        "forked = os.fork()\n"
        "if not forked:\n"
        "    os.setsid()\n"
        "    time.sleep(600)\n"
        "(one,) = newcomers.look()\n"
        "say(*one)\n"
    )
    worker = start("from pytest_gpupool.processes import tree\n" + code)
    assert worker.wait() == 0
    seen = table.identity(worker.said[0])
    assert seen is not None
    assert [*seen] == worker.said
    try:
        assert end_worker(Worker(worker.known.process, {}), grace=30.0) == set()
        assert lives(seen.pid)
        assert (
            end_worker(Worker(worker.known.process, {}, [seen._replace(started=seen.started - 1)]), grace=30.0) == set()
        )
        assert lives(seen.pid)
        assert end_worker(Worker(worker.known.process, {}, [seen]), grace=30.0) == set()
    finally:
        alive = lives(seen.pid)
        if alive:
            os.kill(seen.pid, 9)
    assert not alive
