"""What the kernel says of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest
from made_workers import Start, starting

from pytest_gpupool.processes import table
from pytest_gpupool.processes.table import Process


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers; see :func:`made_workers.starting`."""
    with starting() as begin:
        yield begin


def a_process(parent: int) -> Process:
    return Process(parent=parent, group=1, start=1, seconds=0.0, rss=0, name=b"", lives=True)


TREE = {2: a_process(1), 3: a_process(2), 4: a_process(3), 5: a_process(1), 6: a_process(7), 7: a_process(6)}


def test_what_the_kernel_says_of_a_process() -> None:
    """As psutil has it; a name may hold anything."""
    known = table.process(os.getpid())
    assert known is not None
    process = psutil.Process()
    assert (known.parent, known.group) == (os.getppid(), os.getpgrp())
    assert known.name.decode() == process.name()[:15]
    assert known.lives
    assert known.start == table.start_of(os.getpid())
    assert abs(known.rss - process.memory_info().rss) < 16 * 2**20
    assert known.seconds <= sum(process.cpu_times()[:4]) + 0.005  # both count in hundredths


def test_a_name_with_brackets_and_blanks(start: Start) -> None:
    """The last bracket ends it."""
    name = "import ctypes; ctypes.CDLL(None).prctl(15, b'a) S 1 (b', 0, 0, 0); say(); rest()"
    known = table.process(start(name).pid)
    assert known is not None
    assert (known.name, known.parent) == (b"a) S 1 (b", os.getpid())


def test_a_process_that_is_gone(start: Start) -> None:
    """Nothing is known of it, and nothing is raised."""
    worker = start("say()")
    worker.wait()
    assert (table.process(worker.pid), table.start_of(worker.pid)) == (None, None)
    assert not table.exists(worker.pid)
    assert table.lineage(worker.pid) == {}
    assert table.environment(worker.pid) == {b""}


@pytest.mark.parametrize("pid", [0, -1, 1 << 31, 1 << 80])
def test_what_is_no_number_of_a_process(pid: int) -> None:
    """It comes from notes and drivers, which may say anything."""
    assert not table.exists(pid)
    assert table.lineage(pid) == {}


def test_others_exist_too() -> None:
    """The first process is another user's, unless we are that user."""
    assert table.exists(os.getpid())
    assert table.exists(1)


def test_a_zombie_exists_but_does_not_live(start: Start) -> None:
    worker = start("say()")
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    known = table.process(worker.pid)
    assert known is not None
    assert not known.lives
    assert table.exists(worker.pid)


def test_the_environment_is_that_of_the_start(start: Start) -> None:
    """Whole variables; what a process sets later is not among them."""
    worker = start("os.environ['LATER'] = '1'\nsay()\nrest()")
    found = table.environment(worker.pid)
    assert f"GPUPOOL_RUN={worker.marks['GPUPOOL_RUN']}".encode() in found
    assert b"LATER=1" not in found


def test_all_processes_are_those_that_psutil_finds() -> None:
    """At least the ones that live before and after."""
    before = set(psutil.pids())
    found = table.all_processes()
    assert before & set(psutil.pids()) <= found.keys() | {os.getpid()}
    assert found[os.getpid()].parent == os.getppid()


def test_a_lineage_begins_with_the_process_itself() -> None:
    """The nearest first, as far as it is known; also where numbers lead in a circle."""
    assert list(table.lineage(4, TREE)) == [4, 3, 2]
    assert list(table.lineage(6, TREE)) == [6, 7]
    assert list(table.lineage(8, TREE)) == []
    assert list(table.lineage(os.getpid()))[:2] == [os.getpid(), os.getppid()]


def test_descendants_in_a_table() -> None:
    """With the roots themselves, known or not."""
    assert table.with_descendants([2], TREE) == {2, 3, 4}
    assert table.with_descendants([3, 5], TREE) == {3, 4, 5}
    assert table.with_descendants([1], TREE) == {1, 2, 3, 4, 5}
    assert table.with_descendants([6], TREE) == {6, 7}
    assert table.with_descendants([9], TREE) == {9}
    assert table.with_descendants([], TREE) == set()


@pytest.mark.skipif(not table.lists_children(), reason="this kernel does not list children")
def test_lists_find_whom_a_thread_started() -> None:
    """And not the process itself."""
    children: list[subprocess.Popen[bytes]] = []
    ended = threading.Event()

    def begin() -> None:
        children.append(subprocess.Popen([sys.executable, "-ISc", "input()"], stdin=subprocess.PIPE))
        ended.wait()

    thread = threading.Thread(target=begin)
    thread.start()
    while not children:
        thread.join(0.01)
    try:
        found = table.descendants_by_lists(os.getpid())
        assert children[0].pid in found
        assert os.getpid() not in found
    finally:
        ended.set()
        thread.join()
        children[0].communicate()
