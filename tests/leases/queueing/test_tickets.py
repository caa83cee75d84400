"""A ticket says who waits for what since when, as long as its process lives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_leases import wait_until

from pytest_gpupool.leases.locking import holders
from pytest_gpupool.leases.locking.holders import Holder
from pytest_gpupool.leases.locking.lock_directory import LockDirectory, lock_directory
from pytest_gpupool.leases.queueing.tickets import Ticket, Waiter, Wish, now, waiters

SECOND = 1_000_000_000
WISH = Wish(devices=("GPU-1", "GPU-2"), gpus=2, slots=1)

WAITS = """
import sys, time
from pytest_gpupool.leases.locking import holders
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.leases.queueing.tickets import Ticket, Wish
ticket = Ticket(lock_directory(sys.argv[1], {}), holders.myself(since="2026-11-21T11:46:52.000000Z", run="run-1"))
ticket.draw(Wish(devices=("GPU-1",)))
print(ticket.name, flush=True)
input()
"""


@pytest.fixture
def directory(tmp_path: Path) -> LockDirectory:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


def me() -> Holder:
    """This process."""
    return holders.myself(since="2026-11-21T11:46:52.000000Z", run="run-1", worker="gw0")


def another(directory: LockDirectory) -> tuple[subprocess.Popen[str], str]:
    """Another process that waits, and the name of its ticket."""
    command = [sys.executable, "-c", WAITS, str(directory.path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_it_says_who_waits_for_what(directory: LockDirectory) -> None:
    """As long as it lies there; every user may read it, only this one may write."""
    before = os.umask(0o077)
    ticket = Ticket(directory, me())
    ticket.draw(WISH)
    os.umask(before)
    (waiter,) = waiters(directory)
    assert waiter == Waiter(ticket=ticket.name, came=ticket.came, who=me(), wish=WISH, responds=True)
    assert stat.S_IMODE((directory.path / ticket.name).stat().st_mode) == 0o644
    ticket.give_back()
    ticket.give_back()
    assert waiters(directory) == []
    assert list(directory.path.iterdir()) == []


def test_first_come_first(directory: LockDirectory) -> None:
    """By when they began to wait, not by when they drew the ticket; times are the same for all processes."""
    first, second = Ticket(directory, me()), Ticket(directory, me())
    process, third = another(directory)
    second.draw(WISH)
    first.draw(WISH)
    assert [one.ticket for one in waiters(directory)] == [first.name, second.name, third]
    assert [one.ticket for one in waiters(directory, before=second.name)] == [first.name]
    assert first.came <= second.came <= now()
    process.communicate("\n")
    first.give_back()
    second.give_back()


def test_what_it_says_may_change(directory: LockDirectory) -> None:
    """It keeps its place."""
    ticket = Ticket(directory, me())
    ticket.draw(WISH)
    wish = Wish(devices=("GPU-1",), unusable=("GPU-1",), keeps=5)
    ticket.draw(wish)
    assert [(one.ticket, one.wish) for one in waiters(directory)] == [(ticket.name, wish)]
    ticket.give_back()


def test_a_killed_ones_is_gone(directory: LockDirectory) -> None:
    """Its file goes when somebody looks who may remove it."""
    process, name = another(directory)
    assert [one.ticket for one in waiters(directory)] == [name]
    process.kill()
    process.communicate()
    assert waiters(directory) == []
    assert not (directory.path / name).exists()


def test_one_that_is_stopped_does_not_respond(directory: LockDirectory) -> None:
    """Until it goes on."""
    process, _ = another(directory)
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: not waiters(directory)[0].responds)
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: waiters(directory)[0].responds)
    process.communicate("\n")


def test_one_without_a_sign_of_life_does_not_respond(directory: LockDirectory) -> None:
    """It hangs, whatever it is doing."""
    clock = [now()]
    ticket = Ticket(directory, me(), clock=lambda: clock[0])
    ticket.draw(WISH)
    assert waiters(directory, clock=lambda: clock[0] + 2 * SECOND)[0].responds
    assert not waiters(directory, clock=lambda: clock[0] + 3 * SECOND)[0].responds
    clock[0] += 3 * SECOND
    ticket.draw(WISH)
    assert waiters(directory, clock=lambda: clock[0])[0].responds
    ticket.give_back()


@pytest.mark.parametrize("what", ["the file", "the directory"])
def test_a_ticket_that_was_removed_is_laid_again(directory: LockDirectory, what: str) -> None:
    """With the same time, so that nobody has overtaken it."""
    ticket = Ticket(directory, me())
    ticket.draw(WISH)
    (directory.path / ticket.name).unlink() if what == "the file" else shutil.rmtree(directory.path)
    ticket.draw(WISH)
    assert [one.ticket for one in waiters(lock_directory(str(directory.path), {}))] == [ticket.name]
    ticket.give_back()


def test_where_none_can_be_laid_it_goes_on_without(directory: LockDirectory) -> None:
    """As on a full disk: to wait in no order is better than not to wait."""
    directory.path.rmdir()
    directory.path.write_text("in the way")
    ticket = Ticket(directory, me())
    ticket.draw(WISH)
    assert not ticket.is_drawn
    ticket.give_back()


def _lay(directory: LockDirectory, content: bytes) -> subprocess.Popen[bytes]:
    path = directory.path / f"gpupool-{0:020d}-{0:016x}.ticket"
    path.write_bytes(content)
    process = subprocess.Popen(["flock", path, "sh", "-c", "echo; read line"], stdin=-1, stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    return process


WANTS: dict[str, Any] = {"devices": ["GPU-1"], "gpus": 1, "slots": 1, "unusable": [], "keeps": 0}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"wants": {}},
        {"wants": WANTS | {"gpus": 0}},
        {"wants": WANTS | {"gpus": True}},
        {"wants": WANTS | {"keeps": 1 << 70}},
        {"wants": WANTS | {"devices": 3}},
        {"wants": [1]},
        {"user": 3},
        {"pid": "1"},
    ],
    ids=str,
)
def test_what_says_nothing_sensible_is_passed_over(directory: LockDirectory, data: Any) -> None:
    """Every user may lay such a file."""
    whole = me().to_json() | {"wants": WANTS}
    text = json.dumps(whole | data if isinstance(data, dict) else data)
    process = _lay(directory, text.encode())
    assert waiters(directory) == []
    process.communicate(b"\n")


@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b"[" * 50_000], ids=["empty", "bytes", "cut", "deep"])
def test_garbage_is_passed_over(directory: LockDirectory, content: bytes) -> None:
    """And what is no file."""
    (directory.path / f"gpupool-{1:020d}-{0:016x}.ticket").mkdir()
    (directory.path / f"gpupool-{2:020d}-{0:016x}.ticket").symlink_to("/etc/passwd")
    os.mkfifo(directory.path / f"gpupool-{3:020d}-{0:016x}.ticket")
    process = _lay(directory, content)
    assert waiters(directory) == []
    process.communicate(b"\n")
