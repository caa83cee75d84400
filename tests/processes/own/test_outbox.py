"""Children that were forked leave lines for their parent."""

from __future__ import annotations

import os

from pytest_gpupool.processes.own.outbox import Outbox


def forked(outbox: Outbox, *lines: str, closes: bool = False) -> int:
    """A child leaves these, and ends with how many it could."""
    pid = os.fork()
    if pid == 0:
        if closes:
            os.closerange(3, 4096)
        os._exit(sum(map(outbox.put, lines)))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_lines_of_several_children_come_whole_and_once() -> None:
    outbox = Outbox()
    assert outbox.take() == []
    long = "x" * 200_000
    assert [forked(outbox, f"first of {number}", long) for number in range(3)] == [2, 2, 2]
    assert outbox.take() == [line for number in range(3) for line in (f"first of {number}", long)]
    assert outbox.take() == []
    assert forked(outbox, "later") == 1
    assert outbox.take() == ["later"]
    outbox.close()
    assert outbox.take() == []


def test_a_child_of_a_child_reaches_the_first_parent() -> None:
    outbox = Outbox()
    pid = os.fork()
    if pid == 0:
        os._exit(forked(outbox, "from below"))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert outbox.take() == ["from below"]
    outbox.close()


def test_who_has_closed_all_is_told_so() -> None:
    """And nothing is written where another file has the number by now."""
    outbox = Outbox()
    assert forked(outbox, "lost", closes=True) == 0
    assert outbox.take() == []
    outbox.close()
    assert not outbox.put("nobody has it")


def test_once_it_is_sealed_children_are_told_and_what_was_left_before_is_there() -> None:
    outbox = Outbox()
    assert forked(outbox, "early") == 1
    outbox.seal()
    assert forked(outbox, "late") == 0
    assert outbox.take() == ["early"]
    outbox.close()
