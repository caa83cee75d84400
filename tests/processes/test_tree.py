"""A process and its descendants: what they have taken together, whoever of them still lives."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psutil
import pytest

from pytest_gpupool.processes import table
from pytest_gpupool.processes.kernel.memory import host_memory
from pytest_gpupool.processes.tree import ProcessTree, ResourceUsage

MEMORY = 64 * 2**20

# Burns so much processor time, takes memory, says so, and waits.
BUSY = f"""
import sys, time
memory = bytearray(b"x") * {MEMORY}
while time.process_time() < 0.3:
    pass
print("ready", flush=True)
sys.stdin.read(1)
"""
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {BUSY!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.readline()
child.communicate()
print("reaped", flush=True)
sys.stdin.read(1)
"""
WAITING = "import os; print(os.getpid(), flush=True); input()"
THREADED = f"""
CODE = {WAITING!r}
import subprocess, sys, threading
def start():
    global child
    child = subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE)
    done.wait()
done = threading.Event()
threading.Thread(target=start, daemon=True).start()
sys.stdin.read(1)
"""


class Started:
    """A process that says a line at a time."""

    def __init__(self, code: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start() -> Iterator[Callable[[str], Started]]:
    """Starts processes, and ends them after the test."""
    with ExitStack() as stack:

        def started(code: str) -> Started:
            process = Started(code)
            stack.callback(process.end)
            return process

        yield started


@pytest.fixture(params=["lists", "parents"])
def kernel(request: pytest.FixtureRequest) -> str:
    """A kernel that lists the children of threads, and one that does not."""
    return str(request.param)


def tree_of(pid: int, kernel: str) -> ProcessTree:
    grown = ProcessTree(pid, lists=kernel == "lists")
    grown.walk()
    return grown


def usage(grown: ProcessTree) -> ResourceUsage:
    taken = grown.usage()
    assert taken is not None
    return taken


def rss(pid: int) -> int:
    known = table.process(pid)
    assert known is not None
    return known.rss


def test_descendants_count(start: Callable[[str], Started], kernel: str) -> None:
    """A grandchild's time and memory are there while it lives; its time stays when it has ended."""
    parent = start(PARENT)
    grandchild = int(parent.line())
    grown = tree_of(parent.process.pid, kernel)
    living = usage(grown)
    assert living.seconds >= 0.2
    assert living.rss >= MEMORY
    parent.go_on()
    assert parent.line() == "reaped"
    assert table.process(grandchild) is None
    ended = usage(grown)
    assert ended.seconds >= living.seconds
    assert ended.rss < living.rss - MEMORY / 2


def test_a_child_that_another_thread_started_counts(start: Callable[[str], Started], kernel: str) -> None:
    """The kernel lists children by thread."""
    parent = start(THREADED)
    child = int(parent.line())
    together = usage(tree_of(parent.process.pid, kernel)).rss
    assert together >= rss(parent.process.pid) + rss(child) / 2


def test_other_processes_do_not_count(start: Callable[[str], Started], kernel: str) -> None:
    """Nor does who started the process."""
    other = start(WAITING)
    other.line()
    assert usage(tree_of(other.process.pid, kernel)).rss <= rss(other.process.pid) * 1.5


def test_a_process_that_is_gone_has_no_usage(kernel: str) -> None:
    """Nor can its children be found."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert tree_of(process.pid, kernel).usage() is None


def test_a_tree_is_of_this_process_unless_another_is_named() -> None:
    """It finds out what the kernel can tell."""
    grown = ProcessTree()
    grown.walk()
    assert usage(grown).rss >= rss(os.getpid()) / 2


def test_the_hosts_memory_is_what_psutil_finds() -> None:
    """What is left changes at any moment."""
    memory = host_memory()
    assert memory is not None
    assert memory.total == psutil.virtual_memory().total
    assert 0 < memory.available <= memory.total
