"""Workers without pytest: processes that run some code, with marks as a real worker's, and what they leave."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping

import psutil

from pytest_gpupool.processes import table
from pytest_gpupool.processes.stacks import stacks
from pytest_gpupool.processes.termination import Worker

GRACE = 30.0  # longer than a loaded machine needs; who hears the signal ends at once

SLEEP = "import time; time.sleep(600)"

PRELUDE = f"""
import os, signal, subprocess, sys, time
from pytest_gpupool.processes import stacks, table, termination

termination.become_group_leader()

def start(code={SLEEP!r}, **options):
    return subprocess.Popen([sys.executable, "-ISc", code], **options)

def daemon(**options):
    # Twice forked, as daemons do: in a session of its own, and its parent is gone.
    parent = "import os, subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=sys.stderr).pid)"
    command = [sys.executable, "-ISc", parent, sys.executable, "-ISc", {SLEEP!r}]
    return int(subprocess.check_output(command, start_new_session=True, **options))

def known(pid, marks):
    return termination.Worker(table.identity(pid), marks)

def say(*values):
    print(*values, flush=True)

def rest():
    while True:  # a signal that comes just before a sleep is only heard after it
        time.sleep(0.05)
"""

# A lock that is taken twice: no signal interrupts it, and PyDLL holds the GIL meanwhile.
STUCK = """
import ctypes, threading

def in_the_library():
    libc, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    say(fd)
    libc.pthread_mutex_lock(mutex)

def in_the_loader():
    time.sleep(600)

threading.Thread(target=in_the_loader, daemon=True).start()
fd = stacks.offer_stacks()
in_the_library()
"""


class Started:
    """A worker that the test started; ``said`` is the first line of numbers that it printed."""

    def __init__(self, popen: subprocess.Popen[str], marks: dict[str, str]) -> None:
        self.popen, self.pid, self.marks = popen, popen.pid, marks
        assert popen.stdout is not None
        self.known = Worker(table.identity(popen.pid), marks)
        self.said = [int(word) for word in popen.stdout.readline().split()]

    def wait(self) -> int:
        return self.popen.wait(GRACE)


Start = Callable[..., Started]


@contextlib.contextmanager
def starting() -> Iterator[Start]:
    """Give what starts a worker that runs some code; whatever of the workers still lives at the end is killed.

    A worker's marks are in the environment of all that it starts.
    """
    run = f"test-{uuid.uuid4()}"
    started: list[Started] = []

    def begin(code: str, worker: str = "gw3", **options: object) -> Started:
        marks = {"GPUPOOL_RUN": run, "PYTEST_XDIST_WORKER": worker}
        popen: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **marks},
            **options,  # type: ignore[call-overload]
        )
        started.append(Started(popen, marks))
        return started[-1]

    try:
        yield begin
    finally:
        for one in started:
            one.popen.kill()
            one.popen.wait()
            one.popen.stdout.close()  # type: ignore[union-attr]
        _kill_all({"GPUPOOL_RUN": run})


def _kill_all(marks: Mapping[str, str]) -> None:
    deadline = time.monotonic() + GRACE
    while left := marked(marks):
        assert time.monotonic() < deadline, left
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.02)


def marked(marks: Mapping[str, str]) -> list[psutil.Process]:
    """Who lives with these marks, found in another way than the code does."""
    found = []
    for process in psutil.process_iter():
        try:
            if marks.items() <= process.environ().items() and lives(process.pid):
                found.append(process)
        except psutil.Error:
            continue
    return found


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stuck_stacks(worker: Started) -> str:
    """Wait until a worker that runs STUCK is stuck, and return its stacks then."""
    deadline = time.monotonic() + GRACE
    while "in say\n" in (text := stacks(worker.pid, worker.said[0], timeout=GRACE)):
        assert time.monotonic() < deadline  # it is about to take the lock
    return text
