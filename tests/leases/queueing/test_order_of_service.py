"""Who waits for devices gets them in the order in which it came, whatever others do meanwhile."""

from __future__ import annotations

import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from made_leases import GPUS, Machine, locked, request, using, wait_until

from pytest_gpupool.leases.acquisition import try_lease
from pytest_gpupool.leases.lease import Lease
from pytest_gpupool.leases.locking import holders
from pytest_gpupool.leases.locking.lock_directory import LockDirectory, lock_directory
from pytest_gpupool.leases.queueing.tickets import Ticket, Wish, waiters
from pytest_gpupool.leases.queueing.wakeups import Wakeups

LIMIT = 60.0
"""Seconds after which nothing more comes for sure."""

WAITER = """
import json, sys
from pytest_gpupool.devices.probe import Usage
from pytest_gpupool.leases.acquisition import acquire
from pytest_gpupool.leases.lease import Request
from pytest_gpupool.leases.locking import holders
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.values.device import Device

class Idle:
    def usage(self, device):
        return Usage(processes=(), memory_used=0)

directory, devices, gpus, slots = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
request = Request(
    devices=tuple(map(Device.from_wire, devices)), lock_dir=lock_directory(directory, {}), worker="gw7", run="run-7",
    busy_memory=None, gpus=gpus, slots=slots,
)
told = []
def tell(blockers, waited):
    if not told:
        told.append(print("waits", flush=True))
lease, _ = acquire(request, Idle(), refused=tell, is_cancelled=lambda: False)
print("has", *(device.index for device in lease.devices), flush=True)
sys.stdin.readline()
lease.release()
print("gone", flush=True)
"""

Start = Callable[..., "Comer"]


class Comer:
    """A process that wants devices, has them until it is told, and then gives them back."""

    def __init__(self, directory: Path, indices: Sequence[int], gpus: int, slots: int) -> None:
        wire = json.dumps([GPUS[index].to_wire() for index in indices])
        command = [sys.executable, "-c", WAITER, str(directory), wire, str(gpus), str(slots)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def says(self) -> str:
        """The next line that it prints; queue.Empty is raised where none comes."""
        return self._lines.get(timeout=LIMIT)

    def leave(self) -> None:
        """Have it give its devices back, and see that it has."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.says() == "gone"

    def kill(self) -> None:
        """SIGKILL it."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def directory(tmp_path: Path) -> LockDirectory:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


@pytest.fixture
def comes(directory: LockDirectory) -> Iterator[Start]:
    """Starts one that comes now, and waits until it has a place in the queue or its devices."""
    with ExitStack() as stack:

        def start(*indices: int, gpus: int = 1, slots: int = 1, says: str) -> Comer:
            comer = Comer(directory.path, indices or (0,), gpus, slots)
            stack.callback(comer.kill)
            assert comer.says() == says
            return comer

        yield start


@pytest.mark.parametrize("ending", [Comer.leave, Comer.kill], ids=["given back", "killed"])
def test_first_come_first_served(comes: Start, ending: Callable[[Comer], None]) -> None:
    """However those before end."""
    line = [comes(says="has 0"), *(comes(says="waits") for _ in range(4))]
    for before, after in itertools.pairwise(line):
        ending(before)
        assert after.says() == "has 0"


def test_who_tries_once_does_not_overtake(directory: LockDirectory) -> None:
    """It learns who came before; what nobody waits for it gets, and what nobody waits for any more."""
    before = Ticket(directory, holders.myself(since="2026-11-21T11:46:52.000000Z", run="run-7"))
    before.draw(Wish(devices=(GPUS[0].id,)))
    answer = try_lease(request(directory, *GPUS), Machine())
    assert isinstance(answer, Lease)
    assert answer.devices == (GPUS[1],)
    answer.release()
    refused = try_lease(request(directory), Machine())
    assert not isinstance(refused, Lease)
    assert refused[0].reason == f"free, but pid {os.getpid()} ({holders.user_name()}) came before"
    before.give_back()
    answer = try_lease(request(directory), Machine())
    assert isinstance(answer, Lease)
    answer.release()


def test_one_that_waits_for_a_busy_device_wakes_nobody(directory: LockDirectory) -> None:
    """Its tries lock the device for a moment only, and are no hand-over: neither it nor others wake by them."""
    wakeups = Wakeups(directory)
    busy = Machine(gpu0=using((os.getppid(), 1), used=1))
    try_lease(request(directory), busy)  # the files are there from now on
    wakeups.watch([f"{GPUS[0].id}.lock"])
    assert not isinstance(try_lease(request(directory), busy), Lease)
    assert not wakeups.wait(0.05)
    lease = try_lease(request(directory), Machine())
    assert isinstance(lease, Lease)
    lease.release()
    assert wakeups.wait(60.0)
    wakeups.close()


def test_a_waiter_that_is_stopped_delays_nobody(comes: Start, directory: LockDirectory) -> None:
    """It keeps its place, and is the next one when it goes on."""
    first, stopped, second = comes(says="has 0"), comes(says="waits"), comes(says="waits")
    stopped.process.send_signal(signal.SIGSTOP)
    first.leave()
    assert second.says() == "has 0"
    third = comes(says="waits")
    stopped.process.send_signal(signal.SIGCONT)
    wait_until(lambda: all(waiter.responds for waiter in waiters(directory)))  # it may have been stopped for long
    for _ in range(2):  # what the third one has seen before that may be the first of its looks, and half over
        looked = signs_of_life(directory)[-1]
        wait_until(lambda: signs_of_life(directory)[-1] != looked)  # noqa: B023 - it is called in this round alone
    second.leave()
    assert stopped.says() == "has 0"
    stopped.leave()
    assert third.says() == "has 0"


def signs_of_life(directory: LockDirectory) -> list[int]:
    """When each that waits has looked last, first come first."""
    return [(directory.path / waiter.ticket).stat().st_mtime_ns for waiter in waiters(directory)]


def test_a_waiter_that_is_killed_delays_nobody(comes: Start) -> None:
    """Its ticket ends with it."""
    first, killed, second = comes(says="has 0"), comes(says="waits"), comes(says="waits")
    killed.kill()
    first.leave()
    assert second.says() == "has 0"


def test_others_devices_are_not_waited_for(comes: Start) -> None:
    """Who waits for one device does not keep others from another one, be it for several."""
    comes(0, says="has 0")
    comes(0, says="waits")
    comes(0, 1, gpus=2, says="waits")
    comes(2, says="has 2")


def test_who_needs_several_comes_in_its_turn(comes: Start) -> None:
    """One that comes later does not take what is free meanwhile; nobody holds anything while it waits."""
    one, two = comes(0, says="has 0"), comes(1, says="has 1")
    both = comes(0, 1, gpus=2, says="waits")
    later = comes(0, 1, says="waits")
    one.leave()
    two.leave()
    assert both.says() == "has 0 1"
    both.leave()
    # They come free one after the other, so that either may be the one it sees first.
    assert later.says() in {"has 0", "has 1"}


def test_while_it_waits_it_holds_nothing(comes: Start, directory: LockDirectory) -> None:
    """What is free is kept for it, but not locked."""
    comes(0, says="has 0")
    comes(0, 1, gpus=2, says="waits")
    assert locked(directory.path) == [0]
    answer = try_lease(request(directory, GPUS[1]), Machine())
    assert not isinstance(answer, Lease)
    assert answer[0].reason.startswith("free, but pid ")
    assert answer[0].reason.endswith(" came before")


def test_two_that_need_the_same_several_are_served_one_by_one(comes: Start) -> None:
    """Neither keeps a part from the other."""
    one = comes(0, says="has 0")
    first, second = comes(0, 1, gpus=2, says="waits"), comes(1, 0, gpus=2, says="waits")
    one.leave()
    assert first.says() == "has 0 1"
    first.leave()
    assert sorted(second.says().split()) == ["0", "1", "has"]


def test_those_who_share_come_in_their_turn_too(comes: Start) -> None:
    """Who wants it alone waits for all of them, and those that come after wait for it."""
    sharing = [comes(slots=2, says="has 0") for _ in range(2)]
    alone = comes(says="waits")
    third = comes(slots=2, says="waits")
    sharing[0].leave()
    # One that shares may join now: who wants it alone could not have taken it.
    assert third.says() == "has 0"
    sharing[1].leave()
    third.leave()
    assert alone.says() == "has 0"


@pytest.mark.parametrize("what", ["tickets", "all"])
def test_whatever_is_removed_they_are_served_in_their_order(comes: Start, directory: LockDirectory, what: str) -> None:
    """Tickets are laid again with the time that they had."""
    line = [comes(says="has 0"), *(comes(says="waits") for _ in range(3))]
    if what == "all":
        shutil.rmtree(directory.path)
    else:
        for path in directory.path.glob("*.ticket"):
            path.unlink()
    wait_until(lambda: len(waiters(lock_directory(str(directory.path), {}))) == 3)
    for before, after in itertools.pairwise(line):
        before.leave()
        assert after.says() == "has 0"


def test_tickets_are_there_only_while_somebody_waits(comes: Start, directory: LockDirectory) -> None:
    """Afterwards the directory has lock files and notes alone."""
    first, second = comes(says="has 0"), comes(says="waits")
    assert len(list(directory.path.glob("*.ticket"))) == 1
    first.leave()
    assert second.says() == "has 0"
    second.leave()
    assert sorted(path.name for path in directory.path.iterdir()) == [f"{GPUS[0].id}.json", f"{GPUS[0].id}.lock"]
