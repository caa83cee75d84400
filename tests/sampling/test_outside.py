"""Processes of ours on devices that are not leased: whose they are, how often it is looked, and what is believed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from standin import Driver, fake_uuid
from standin.asker import CHILD, Asker
from support import Host

GRANDPARENT = """
import subprocess, sys
command = [sys.executable, "-c", "import time; time.sleep(600)"]
print(subprocess.Popen(command, stdout=subprocess.DEVNULL).pid, flush=True)
input()
"""

PRELUDE = f"""
GRANDPARENT = {GRANDPARENT!r}
import os, subprocess, sys
from pytest_gpupool.devices.nvidia.nvml import survey
from pytest_gpupool.sampling.outside import OutsideLook

now = [100.0]
children = []

def fresh(*leased):
    global outside
    outside = OutsideLook([survey().devices[number] for number in leased], clock=lambda: now[0])

def look(*on_leased):
    now[0] += 2.0
    return sorted([one.label, one.device, one.pid] for one in outside.look(on_leased))

def child(code="input()"):
    children.append(subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    return children[-1].pid

def grandchild():
    child(GRANDPARENT)
    return int(children[-1].stdout.readline())
"""
FIRST, SECOND = fake_uuid("GPU", 0), fake_uuid("GPU", 1)


@pytest.fixture
def driver(libraries: Path, tmp_path: Path) -> Driver:
    """A driver of two GPUs."""
    return Driver.with_gpus(libraries, tmp_path / "nvml", 2)


@pytest.fixture
def worker(driver: Driver) -> Iterator[Asker]:
    """A process that has leased the first of them."""
    asker = Asker(driver.environ(), PRELUDE)
    asker.ask("fresh(0)")
    yield asker
    asker.ask("[child.kill() or child.communicate() and None for child in children]")
    asker.end()


@pytest.mark.parametrize("who", ["os.getpid()", "child()", "grandchild()"])
def test_ours_are_this_process_and_its_descendants(driver: Driver, worker: Asker, who: str) -> None:
    """On a device that is leased they are at home."""
    pid = worker.ask(who)
    assert worker.ask("look()") == []
    driver.processes(0, (pid, 1))
    assert worker.ask("look()") == []
    driver.processes(1, (pid, None), (os.getpid(), 1))
    assert worker.ask("look()") == [["GPU 1", SECOND, pid]]
    driver.processes(1)
    assert worker.ask("look()") == []
    driver.processes(1, (pid, 1))
    worker.ask("fresh()")
    driver.processes(0, (pid, 1))
    assert worker.ask("look()") == [["GPU 0", FIRST, pid], ["GPU 1", SECOND, pid]]
    if who == "grandchild()":
        os.kill(pid, 9)


def test_one_of_ours_stays_ours_when_its_parent_has_ended(driver: Driver, worker: Asker) -> None:
    """While it is listed: what it was found to be is kept."""
    pid = worker.ask("grandchild()")
    driver.processes(1, (pid, 1))
    assert worker.ask("look()") == [["GPU 1", SECOND, pid]]
    worker.ask("children[-1].kill() or children[-1].communicate() and None")
    assert worker.ask("look()") == [["GPU 1", SECOND, pid]]
    os.kill(pid, 9)


def test_it_is_due_every_two_seconds(worker: Asker) -> None:
    """And at first after as long."""
    assert worker.ask("outside.is_due") is False
    worker.ask("now.__setitem__(0, 102.0)")
    assert worker.ask("outside.is_due") is True
    worker.ask("list(outside.look([]))")
    assert worker.ask("outside.is_due") is False
    worker.ask("now.__setitem__(0, 103.9)")
    assert worker.ask("outside.is_due") is False
    worker.ask("now.__setitem__(0, 104.0)")
    assert worker.ask("outside.is_due") is True


def test_without_a_driver_nothing_is_loaded(cpu_host: Host) -> None:
    """Nor is anybody outside."""
    asker = Asker(cpu_host.environ(), PRELUDE)
    try:
        asker.ask("fresh()")
        assert asker.ask("look()") == []
        assert asker.ask("'pynvml' in sys.modules") is False
    finally:
        asker.end()


UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc")


def can_unshare() -> bool:
    """Whether a pid namespace can be made here."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="no pid namespace can be made here")
def test_in_a_container_numbers_count_once_one_of_ours_was_found(driver: Driver) -> None:
    """The library may give those that processes have outside, where they are others'."""
    pipe = subprocess.PIPE
    command = [*UNSHARE, sys.executable, "-c", CHILD, PRELUDE]
    with subprocess.Popen(command, env=driver.environ(), stdin=pipe, stdout=pipe, text=True) as process:
        asker = Asker.of(process)
        asker.ask("fresh(0)")
        own = asker.ask("os.getpid()")
        driver.processes(1, (own, 1))
        assert asker.ask("look(12345)") == []
        assert asker.ask("look(os.getpid())") == [["GPU 1", SECOND, own]]
        assert asker.ask("look()") == [["GPU 1", SECOND, own]]
        assert process.stdin is not None
        process.stdin.close()
