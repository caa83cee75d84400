"""A process is known by its number, its start and its pid namespace."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_workers import Start, starting

from pytest_gpupool.processes import table
from pytest_gpupool.values.process_id import ProcessId

SAY = "from pytest_gpupool.processes import table; print(*(table.identity() or ()), flush=True); input()"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers; see :func:`made_workers.starting`."""
    with starting() as begin:
        yield begin


@contextlib.contextmanager
def in_a_namespace(*options: str, code: str = SAY) -> Iterator[tuple[int, ProcessId]]:
    """Give the number that a process in a pid namespace of its own has here, and what it says of itself there."""
    command = ["unshare", "--pid", "--fork", *options, sys.executable, "-c", code]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **streams) as started:  # type: ignore[call-overload]
        said = started.stdout.readline().split()
        if not said:
            pytest.skip(f"no pid namespace can be made here: {started.communicate()[1]}")
        inside = [pid for pid, known in table.all_processes().items() if known.parent == started.pid]
        yield inside[0], ProcessId(*map(int, said))
        started.communicate("\n")


def test_who_this_process_is() -> None:
    """With and without its number."""
    known = table.identity()
    assert known is not None
    assert known == table.identity(os.getpid())
    assert (known.pid, known.started) == (os.getpid(), table.start_of(os.getpid()))
    assert f"pid:[{known.pid_namespace}]" == str(Path("/proc/self/ns/pid").readlink())
    assert table.lives(known) is True


def test_a_number_that_is_used_again(start: Start) -> None:
    """The one that had it before lives no more."""
    known = table.identity(start("say()\nrest()").pid)
    assert known is not None
    assert table.lives(known) is True
    assert table.is_process(known.pid, known)
    before = known._replace(started=known.started - 1)
    assert table.lives(before) is False
    assert not table.is_process(known.pid, before)


def test_one_that_is_gone(start: Start) -> None:
    """Nobody is known by its number; a zombie lives no more."""
    worker = start("say()\ninput()", stdin=None)
    known = table.identity(worker.pid)
    assert known is not None
    worker.popen.kill()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    assert table.lives(known) is False
    worker.wait()
    assert table.lives(known) is False
    assert table.identity(worker.pid) is None


def test_a_container_s_first_process_is_not_ours() -> None:
    """It is 1 there, as the first process here is: they are told apart, and its own note is recognised."""
    with in_a_namespace("--mount-proc") as (pid, said):
        assert said.pid == 1
        assert table.identity(pid) == said
        assert table.lives(said) is None
        assert table.is_process(pid, said)
        assert not table.is_process(1, said)
        assert not table.is_process(os.getpid(), said)
        first = table.identity(1)
        assert first is None or not table.is_process(pid, first)


def test_a_container_that_sees_its_host_s_proc() -> None:
    """What it says of itself is right; of others it cannot tell, where /proc has other numbers than it."""
    code = (
        "from pytest_gpupool.processes import table; own = table.identity()\n"
        "assert own and table.lives(own) is None, own\n"
        "print(*own, flush=True); input()"
    )
    with in_a_namespace(code=code) as (pid, said):
        assert said.pid == 1
        assert table.identity(pid) == said


def test_another_user_s_process_hides_its_namespace() -> None:
    """It is taken for one of ours; its number in its own is no secret."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    known, own = table.identity(1), table.identity()
    assert known is not None
    assert own is not None
    code = (
        "import os, sys; from pytest_gpupool.processes import table\n"
        "from pytest_gpupool.values.process_id import ProcessId\n"
        "os.setuid(65534); known = ProcessId(*map(int, sys.argv[1:]))\n"
        "print(*table.identity(1), table.is_process(1, known), table.lives(known))"
    )
    command = [sys.executable, "-c", code, *map(str, known)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*map(str, known._replace(pid_namespace=own.pid_namespace)), "True", "True"]
