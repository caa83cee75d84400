"""Many workers that want different numbers of devices, some of which are killed, while lock files are removed."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from made_leases import HANGS, ZERO, locked
from standin import Driver

from pytest_gpupool.leases.locking.lock_directory import LockDirectory, lock_directory
from pytest_gpupool.leases.queueing.tickets import waiters

# So many leases, one after the other; a line in the log while each is held, and one before it is given back.
STORM = """
import os, random, sys, time
from pytest_gpupool.leases.acquisition import acquire
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.leases.lease import Request
from pytest_gpupool.values.device import Size
from pytest_gpupool.devices.nvidia.nvml import NvmlProbe, survey

lock_dir, log, run = sys.argv[1:4]
gpus, slots, rounds = map(int, sys.argv[4:])
dice = random.Random(os.getpid())
descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
devices = survey().devices

def say(word, lease):
    names = ",".join(device.id for device in lease.devices)
    os.write(descriptor, f"{os.getpid()} {word} {slots} {names}\\n".encode())

for _ in range(rounds):
    request = Request(
        devices=devices, lock_dir=lock_directory(lock_dir, {}), worker="gw0", run=run, first=dice.randrange(4),
        busy_memory=Size.parse("512MiB"), gpus=gpus, slots=slots,
    )
    lease, _ = acquire(request, NvmlProbe(), refused=lambda *_: None, is_cancelled=lambda: False)
    assert lease is not None and len(set(lease.devices)) == gpus
    say("begins", lease)
    time.sleep(0.004 * dice.random())
    say("ends", lease)
    lease.release()
"""


@pytest.fixture
def lock_dir(tmp_path: Path) -> LockDirectory:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


@pytest.fixture
def driver(libraries: Path, tmp_path: Path) -> Driver:
    """A driver of four GPUs."""
    return Driver.with_gpus(libraries, tmp_path / "nvml", 4, name="NVIDIA H200")


class TestStorm:
    """Many workers of two runs, some of which are killed: nobody meets anybody, and everybody gets its turn."""

    WANTED = ((1, 30), (1, 30), (1, 30), (2, 12), (2, 12), (4, 6))  # devices and leases of each worker of a run

    @pytest.mark.parametrize(
        "slots",
        [pytest.param((1, 1), marks=pytest.mark.long), pytest.param((2, 2), marks=pytest.mark.long), (1, 2)],
        ids=["exclusive", "shared", "both"],
    )
    def test_no_overlap_and_no_deadlock(
        self, driver: Driver, lock_dir: LockDirectory, tmp_path: Path, slots: tuple[int, int]
    ) -> None:
        """Twelve workers, four devices; who is killed may hold some, wait, or just look. A cleaner comes, too."""
        log = tmp_path / "log"
        log.touch()
        workers = {
            self.start(driver, lock_dir, log, run, gpus, slots[run], rounds): rounds
            for run in (0, 1)
            for gpus, rounds in self.WANTED
        }
        try:
            killed = self.kill_some(list(workers), log, lock_dir)
            ends = {worker.pid: worker.wait(timeout=HANGS) for worker in workers if worker not in killed}
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        assert set(ends.values()) == {0}
        lines = [line.split() for line in log.read_text().splitlines()]
        check_sharing(lines)
        for worker, rounds in workers.items():
            if worker not in killed:
                assert sum(pid == str(worker.pid) and word == "begins" for pid, word, *_ in lines) == rounds
        assert locked(lock_dir.path, [replace(ZERO, id=uuid) for uuid in driver.uuids]) == []
        assert waiters(lock_directory(str(lock_dir.path), {})) == []

    @staticmethod
    def start(
        driver: Driver, lock_dir: LockDirectory, log: Path, run: int, gpus: int, slots: int, rounds: int
    ) -> subprocess.Popen[bytes]:
        """One worker."""
        args = [str(lock_dir.path), str(log), f"run-{run}", str(gpus), str(slots), str(rounds)]
        return subprocess.Popen([sys.executable, "-c", STORM, *args], env=driver.environ())

    @staticmethod
    def kill_some(
        workers: list[subprocess.Popen[bytes]], log: Path, lock_dir: LockDirectory
    ) -> set[subprocess.Popen[bytes]]:
        """SIGKILL four of them, as the log grows, and say so in it. Remove files of the directory, or all of it."""
        dice = random.Random(7)
        killed: set[subprocess.Popen[bytes]] = set()
        for number in range(4):
            grown_to(log, 40 * number + 20)
            if number % 2:
                shutil.rmtree(lock_dir.path, ignore_errors=True)
            else:
                for path in lock_dir.path.glob("*.lock"):
                    path.unlink(missing_ok=True)
            victim = dice.choice([worker for worker in workers if worker not in killed])
            # Stopped first, so that the line is neither before its last one nor after another's first.
            victim.send_signal(signal.SIGSTOP)
            while victim.poll() is None and psutil.Process(victim.pid).status() != psutil.STATUS_STOPPED:
                pass
            if victim.poll() is not None:
                continue
            with log.open("a") as file:
                file.write(f"{victim.pid} dies\n")
            victim.kill()
            victim.wait()
            killed.add(victim)
        return killed


def grown_to(log: Path, count: int) -> None:
    """Wait until the log has so many lines."""
    for _ in range(int(HANGS * 100)):
        if log.read_text().count("\n") >= count:
            return
        time.sleep(0.01)
    pytest.fail(f"the log never got {count} lines")


def check_sharing(lines: list[list[str]]) -> None:
    """Never are more on a device than each of them lets in."""
    present: dict[str, tuple[int, list[str]]] = {}
    for pid, word, *rest in lines:
        if word == "begins":
            present[pid] = (int(rest[0]), rest[1].split(","))
            for device in present[pid][1]:
                lets = [slots for slots, devices in present.values() if device in devices]
                assert len(lets) <= min(lets), (pid, device, present)
        else:
            present.pop(pid, None)
