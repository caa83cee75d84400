"""Who has, uses and waits for the devices of a host, without touching anything."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_leases import GIB, GPUS, ZERO, Machine, Processes, leased, request, starting, using

from pytest_gpupool.devices.probe import Usage
from pytest_gpupool.leases import quarantines
from pytest_gpupool.leases.acquisition import try_lease
from pytest_gpupool.leases.host_view import HostView, look, waited
from pytest_gpupool.leases.locking import holders
from pytest_gpupool.leases.locking.lock_directory import LockDirectory, directory_to_look_at, lock_directory
from pytest_gpupool.leases.quarantines import mine
from pytest_gpupool.leases.queueing.tickets import Ticket, Wish

IDLE = using(used=0)


@pytest.fixture
def directory(tmp_path: Path) -> LockDirectory:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


@pytest.fixture
def process(directory: LockDirectory) -> Iterator[Processes]:
    """Starts processes, and kills them after the test."""
    with starting(directory.path) as start:
        yield start


def seen(path: Path, *usages: Usage | str) -> HostView:
    """The view of one that only looks; devices of which nothing is said are idle."""
    known = dict(zip((device.id for device in GPUS), usages, strict=False))
    to_look = directory_to_look_at(str(path), {})
    try:
        return look(GPUS, {device.id: known.get(device.id, IDLE) for device in GPUS}, to_look)
    finally:
        to_look.close()


def states(view: HostView) -> list[str]:
    return [device.state for device in view.devices]


class TestStates:
    """What can be leased, and why the rest cannot."""

    def test_a_lease_names_its_holder(self, directory: LockDirectory, process: Processes) -> None:
        other = process()
        assert other.says() == f"leased {ZERO.id}"
        view = seen(directory.path)
        assert states(view) == ["leased", "free", "free"]
        (hold,) = view.devices[0].holds
        assert hold.holder is not None
        assert (hold.holder.pid, hold.holder.worker, hold.number) == (other.pid, "gw7", None)
        other.kill()
        assert states(seen(directory.path)) == ["free"] * 3

    def test_what_is_busy(self, directory: LockDirectory) -> None:
        """With a process that is not the holder's, or with memory that nobody named has."""
        child = subprocess.Popen(["sleep", "1000"])
        try:
            view = seen(directory.path, using((child.pid, 3 * GIB), used=3 * GIB), using(used=2 * GIB), "is lost")
        finally:
            child.kill()
            child.wait()
        assert states(view) == ["busy", "busy", "failed"]
        (foreign,) = view.devices[0].foreign
        user = holders.user_name()
        assert (foreign.pid, foreign.user, foreign.command, foreign.memory) == (
            child.pid,
            user,
            "sleep 1000",
            3 * GIB,
        )
        assert view.devices[1].unexplained == 2 * GIB
        assert view.devices[2].problem == "is lost"

    def test_what_the_holder_has_started_is_not_foreign(self, directory: LockDirectory) -> None:
        """Neither its children, nor what is in its group."""
        held = leased(try_lease(request(directory), Machine()))
        child = subprocess.Popen(["sleep", "1000"])
        try:
            view = seen(directory.path, using((child.pid, 3 * GIB), (os.getpid(), GIB), used=4 * GIB))
        finally:
            child.kill()
            child.wait()
            held.release()
        assert states(view) == ["leased", "free", "free"]
        assert view.devices[0].foreign == ()

    def test_a_foreign_process_beside_the_holder(self, directory: LockDirectory, process: Processes) -> None:
        other = process()
        other.says()
        (foreign,) = seen(directory.path, using((other.pid, GIB), (os.getpid(), 2 * GIB), used=0)).devices[0].foreign
        assert foreign.pid == os.getpid()

    def test_quarantine(self, directory: LockDirectory) -> None:
        """Of devices that are not here, too."""
        quarantines.put(directory, GPUS[1].id, mine("dust"))
        quarantines.put(directory, "GPU-elsewhere", mine("rust"))
        view = seen(directory.path)
        assert states(view) == ["free", "quarantined", "free"]
        assert view.devices[1].quarantine is not None
        assert {id_: one.reason for id_, one in view.gone.items()} == {"GPU-elsewhere": "rust"}

    def test_a_removed_directory_hides_nothing(self, directory: LockDirectory, process: Processes) -> None:
        """Only who it is."""
        process().says()
        for path in directory.path.iterdir():
            path.unlink()
        directory.path.rmdir()
        view = seen(directory.path)
        assert states(view) == ["leased", "free", "free"]
        assert [hold.holder for hold in view.devices[0].holds] == [None]
        assert not directory.path.exists()


class TestWaiters:
    """Who waits, in order."""

    def test_they_come_in_their_order(self, directory: LockDirectory) -> None:
        me = holders.myself(since="2026-11-21T10:00:00Z", run="run-1")
        first, second = Ticket(directory, me), Ticket(directory, me)
        second.draw(Wish(devices=(ZERO.id,), gpus=1))
        first.draw(Wish(devices=tuple(device.id for device in GPUS), gpus=2))
        view = seen(directory.path)
        assert [waiter.wish.gpus for waiter in view.waiters] == [2, 1]
        assert all(waiter.responds for waiter in view.waiters)
        assert 0 <= waited(view.waiters[0]) < 300
        first.give_back()
        second.give_back()
        assert seen(directory.path).waiters == ()

    def test_one_that_hangs_is_marked(self, directory: LockDirectory) -> None:
        me = holders.myself(since="2026-11-21T10:00:00Z", run="run-1")
        ticket = Ticket(directory, me)
        ticket.draw(Wish(devices=(ZERO.id,)))
        os.utime(directory.path / ticket.name, ns=(1, 1))
        assert [waiter.responds for waiter in seen(directory.path).waiters] == [False]
        ticket.give_back()

    def test_a_dead_ones_ticket_stays_and_counts_for_nothing(self, directory: LockDirectory) -> None:
        """To remove it is for those who wait."""
        source = (
            "import os, sys\n"
            "from pytest_gpupool.leases.locking import holders\n"
            "from pytest_gpupool.leases.locking.lock_directory import lock_directory\n"
            "from pytest_gpupool.leases.queueing.tickets import Ticket, Wish\n"
            "ticket = Ticket(lock_directory(sys.argv[1], {}), holders.myself(since='2026-11-21T10:00:00Z'))\n"
            "ticket.draw(Wish(devices=('GPU-0',)))\n"
            "os.kill(os.getpid(), 9)\n"
        )
        subprocess.run([sys.executable, "-c", source, str(directory.path)], check=False)
        assert seen(directory.path).waiters == ()
        assert len(list(directory.path.glob("*.ticket"))) == 1


class TestTouch:
    """Looking leaves no trace."""

    def test_nothing_is_made(self, tmp_path: Path) -> None:
        view = seen(tmp_path / "none" / "locks")
        assert states(view) == ["free"] * 3
        assert list(tmp_path.iterdir()) == []

    def test_nothing_is_locked_or_written(self, directory: LockDirectory) -> None:
        """A lock that is tried would wake those that wait, and could be in their way."""
        leased(try_lease(request(directory, *GPUS, gpus=3), Machine())).release()
        before = {path.name: path.stat().st_mtime_ns for path in directory.path.iterdir()}
        calls: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fcntl, "flock", lambda descriptor, how: calls.append(how))
            seen(directory.path)
        assert calls == []
        assert {path.name: path.stat().st_mtime_ns for path in directory.path.iterdir()} == before

    @pytest.mark.skipif(os.geteuid() != 0, reason="root may write everywhere: becomes another user")
    def test_who_may_not_write_may_look(self, process: Processes) -> None:
        """As long as the directory may be read."""
        source = (
            "import os, sys, json\n"
            "from pytest_gpupool.leases.host_view import look\n"
            "from pytest_gpupool.leases.locking.lock_directory import directory_to_look_at\n"
            "from pytest_gpupool.devices.probe import Usage\n"
            "from pytest_gpupool.values.device import Device\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "device = Device(id=sys.argv[2], kind='gpu', index=0, name='x')\n"
            "usage = {device.id: Usage(processes=(), memory_used=0)}\n"
            "(view,) = look([device], usage, directory_to_look_at(sys.argv[1], {})).devices\n"
            "print(view.state, view.holds[0].holder.worker)\n"
        )
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            process(where=Path(place)).says()
            done = subprocess.run([sys.executable, "-c", source, place, ZERO.id], check=True, stdout=-1, text=True)
        assert done.stdout == "leased gw7\n"


def test_a_command_is_the_holder_once_it_has_inherited_the_lock(directory: LockDirectory) -> None:
    """Also when who leased it was killed; when it has ended, but was not waited for, it still is."""
    source = (
        "import os, sys, subprocess, time\n"
        "from pytest_gpupool.leases.acquisition import try_lease\n"
        "from pytest_gpupool.leases.lease import Request\n"
        "from pytest_gpupool.leases.locking.lock_directory import lock_directory\n"
        "from pytest_gpupool.processes import table\n"
        "from pytest_gpupool.values.device import Device\n"
        "from pytest_gpupool.devices.probe import Usage\n"
        "class Idle:\n"
        "    def usage(self, device): return Usage(processes=(), memory_used=0)\n"
        "device = Device(id=sys.argv[2], kind='gpu', index=0, name='x')\n"
        "wish = Request(devices=(device,), lock_dir=lock_directory(sys.argv[1], {}), command='it', busy_memory=None)\n"
        "lease = try_lease(wish, Idle())\n"
        "child = subprocess.Popen(['sleep', '1000'], pass_fds=lease.descriptors())\n"
        "lease.handed_to(table.identity(child.pid))\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.readline()\n"
        "child.kill()\n"
        "os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)\n"
        "print('ended', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    for is_killed in (False, True):
        program = subprocess.Popen(
            [sys.executable, "-c", source, str(directory.path), ZERO.id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        assert program.stdin is not None
        pid = int(program.stdout.readline())
        try:
            if is_killed:
                program.kill()
                program.wait()
            else:
                assert _holder(directory) == (pid, "it")
                print("end", file=program.stdin, flush=True)
                assert program.stdout.readline() == "ended\n"
            assert _holder(directory) == (pid, "it")
        finally:
            program.kill()
            if is_killed:
                os.kill(pid, 9)
                deadline = time.monotonic() + 60
                while seen(directory.path).devices[0].holds:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
            program.communicate()


def _holder(directory: LockDirectory) -> tuple[int, str | None] | None:
    (hold,) = seen(directory.path).devices[0].holds
    return None if hold.holder is None else (hold.holder.pid, hold.holder.command)
