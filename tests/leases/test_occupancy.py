"""Who holds what is seen without locking or making anything."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_gpupool.leases.locking import holders
from pytest_gpupool.leases.locking.lock_directory import LockDirectory, lock_directory
from pytest_gpupool.leases.occupancy import Hold, Occupancy, bad_files, free_slots
from pytest_gpupool.leases.slots import Slot, claim
from pytest_gpupool.processes import table
from pytest_gpupool.values.device import Device

GPUS = [
    Device(id=f"GPU-{number:08x}-{os.getpid()}", kind="gpu", index=number, name="NVIDIA H200") for number in range(3)
]
GPU = GPUS[0]


@pytest.fixture
def directory(tmp_path: Path) -> LockDirectory:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


@pytest.fixture
def taken(directory: LockDirectory) -> Iterator[list[Slot]]:
    """What is held, given back at the end."""
    slots: list[Slot] = []
    yield slots
    for slot in slots:
        slot.unlock()


def take(directory: LockDirectory, taken: list[Slot], slots: int, first: int = 0, device: Device = GPU) -> Slot:
    """Take a device, or a number of it."""
    who = holders.myself(worker="gw0", run="run-1", since="2026-11-21T11:46:52.000000Z", slots=slots)
    slot = claim(directory, device, who, first=first)
    assert isinstance(slot, Slot)
    taken.append(slot)
    return slot


def test_a_device_that_is_held(directory: LockDirectory, taken: list[Slot]) -> None:
    """By whom; to look makes nothing."""
    assert Occupancy(directory).holds(GPU.id) == []
    assert list(directory.path.iterdir()) == []
    slot = take(directory, taken, 1)
    assert Occupancy(directory).holds(GPU.id) == [Hold(number=None, holder=slot.holder)]
    assert [Occupancy(directory).is_held(gpu.id) for gpu in GPUS] == [True, False, False]


def test_a_device_that_is_shared(directory: LockDirectory, taken: list[Slot]) -> None:
    """Each with its number."""
    slots = [take(directory, taken, 3, first) for first in (2, 0)]
    assert Occupancy(directory).holds(GPU.id) == [
        Hold(number=0, holder=slots[1].holder),
        Hold(number=2, holder=slots[0].holder),
    ]


def test_who_locks_the_file_with_another_program(directory: LockDirectory) -> None:
    """The kernel tells its number, and so its user and command."""
    path = directory.path / f"{GPU.id}.lock"
    child = subprocess.Popen(
        ["flock", path, sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    child.stdout.readline()
    (hold,) = Occupancy(directory).holds(GPU.id)
    assert hold.holder is not None
    assert (hold.holder.pid, hold.holder.command) == (child.pid, f"flock {path}"[:60])
    child.communicate("\n")
    assert Occupancy(directory).holds(GPU.id) == []


@pytest.mark.parametrize("whose", ["of a process that is gone", "of one that does not hold it", "garbage"])
def test_a_note_that_is_not_the_holders_names_nobody(directory: LockDirectory, whose: str) -> None:
    """What anybody may write is believed only where it may be true."""
    with (directory.path / f"{GPU.id}.lock").open("w") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        other = holders.by_pid(os.getppid())
        assert other is not None
        note = {"user": "mallory", "host": "h", "since": "2026-11-21T11:46:52.000000Z"}
        pid, started = (os.getppid(), table.start_of(os.getppid())) if "hold" in whose else (2**22 + 1, 1)
        text = (
            "garbage"
            if whose == "garbage"
            else json.dumps(note | {"pid": pid, "started": started, "pid_namespace": _own()})
        )
        (directory.path / f"{GPU.id}.json").write_text(text)
        (hold,) = Occupancy(directory).holds(GPU.id)
        assert hold.holder is not None
        assert (hold.holder.pid, hold.holder.since) == (os.getpid(), None)


@pytest.mark.parametrize(
    ("held", "wanted", "left"),
    [
        ((), 1, 1),
        ((), 3, 3),
        (((1, 0),), 1, 0),
        (((1, 0),), 3, 0),
        (((2, 0),), 1, 0),
        (((2, 0),), 3, 1),
        (((3, 0),), 3, 2),
        (((3, 0), (3, 1)), 3, 1),
        (((3, 0), (3, 2)), 2, 0),
        (((3, 2),), 2, 0),
        (((3, 0), (3, 1), (3, 2)), 3, 0),
    ],
    ids=str,
)
def test_room_beside_holders(
    directory: LockDirectory, taken: list[Slot], held: tuple[tuple[int, int], ...], wanted: int, left: int
) -> None:
    """As many as both they and the others let in; what it says can be taken, and no more."""
    for slots, first in held:
        take(directory, taken, slots, first)
    assert Occupancy(directory).room(GPU.id, wanted) == left
    assert free_slots([GPU], directory, wanted) == left
    for _ in range(left):
        take(directory, taken, wanted)
    who = holders.myself(worker="gw0", run="run-1", since="2026-11-21T11:46:52.000000Z", slots=wanted)
    assert not isinstance(claim(directory, GPU, who), Slot)


IN_CONTAINER = """
import sys
from pytest_gpupool.leases.locking import holders
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.leases.occupancy import Occupancy, free_slots
from pytest_gpupool.leases.slots import Slot, claim
from pytest_gpupool.values.device import Device
directory = lock_directory(sys.argv[1], {})
device = Device(id=sys.argv[2], kind="gpu", index=0, name="")
who = holders.myself(since="2026-11-21T11:46:52.000000Z", worker="gw0", run="run-1")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have namespaces of its own")
class TestContainers:
    """The lock directory is what containers have in common; pids and network are each one's own."""

    @pytest.fixture
    def container(self, directory: LockDirectory) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
        """Starts programs, each in a container of its own."""
        with ExitStack() as stack:

            def start(source: str) -> subprocess.Popen[str]:
                command = ["unshare", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c"]
                child = subprocess.Popen(
                    [*command, IN_CONTAINER + source, str(directory.path), GPU.id],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                stack.callback(child.communicate)
                return child

            yield start

    HOLDS = "slot = claim(directory, device, who)\nprint(isinstance(slot, Slot), flush=True)\ninput()\n"

    def says(self, child: subprocess.Popen[str]) -> str:
        """The next line of a program."""
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            pytest.skip("no such namespaces here")
        return line.strip()

    def test_from_outside_the_holder_is_seen(
        self, container: Callable[[str], subprocess.Popen[str]], directory: LockDirectory
    ) -> None:
        """By its note, which has the number that it has inside."""
        holder = container(self.HOLDS)
        assert self.says(holder) == "True"
        (hold,) = Occupancy(directory).holds(GPU.id)
        assert hold.holder is not None
        assert hold.holder.run == "run-1"
        assert hold.holder.pid_namespace != _own()
        assert free_slots(GPUS, directory, 1) == 2
        assert not isinstance(claim(directory, GPU, hold.holder), Slot)

    def test_from_another_one_it_is_not_seen_but_excluded(
        self, container: Callable[[str], subprocess.Popen[str]]
    ) -> None:
        """It is in none of the kernel's lists there; its lock is."""
        assert self.says(container(self.HOLDS)) == "True"
        looks = "print(Occupancy(directory).holds(device.id), free_slots([device], directory, 1), flush=True)\n"
        assert self.says(container(looks)) == "[] 0"
        assert self.says(container(self.HOLDS)) == "False"


def test_bad_files(directory: LockDirectory) -> None:
    """Each spoils its device."""
    (directory.path / f"{GPUS[1].id}.lock").mkdir()
    assert bad_files(GPUS, directory) == {
        GPUS[1].id: f"{directory.path}/{GPUS[1].id}.lock is no regular file: remove it"
    }


def _own() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino
