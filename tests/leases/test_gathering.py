"""Who needs several devices gets them, however many want one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from made_leases import (
    GIB,
    GPUS,
    KEPT,
    ZERO,
    Machine,
    Processes,
    Requests,
    never,
    request,
    starting,
    using,
)

from pytest_gpupool.devices.probe import DeviceFailed
from pytest_gpupool.leases.acquisition import acquire
from pytest_gpupool.leases.admission import Blocker
from pytest_gpupool.leases.lock_directory import lock_directory
from pytest_gpupool.leases.locks import LockFile
from pytest_gpupool.leases.occupancy import locked_devices
from pytest_gpupool.values.errors import NoLease

GATHERS = """
import time
def tell(blockers, waited):
    for blocker in blockers:
        if blocker.reason.startswith("kept"):
            say(blocker.reason)
request = Request(
    devices=tuple(map(Device.from_wire, json.loads(sys.argv[2]))),
    lock_dir=Path(sys.argv[1]), worker="gw7", run="run-1", first=0, busy_memory=None, gpus=2,
)
acquire(request, Idle(), refused=tell, pause=lambda seconds: time.sleep(seconds) or True)
"""


@pytest.fixture
def lock_dir(tmp_path: Path) -> Path:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


@pytest.fixture
def request_for(lock_dir: Path) -> Requests:
    """Makes requests for devices, the first GPU alone if not said otherwise."""
    return partial(request, lock_dir)


@pytest.fixture
def process(lock_dir: Path) -> Iterator[Processes]:
    """Starts processes, and kills them after the test."""
    with starting(lock_dir) as start:
        yield start


class TestGathering:
    """Of those who wait for several devices, one at a time keeps what it gets."""

    def test_it_keeps_what_it_gets(self, process: Processes, request_for: Requests, lock_dir: Path) -> None:
        """Its note is beside each device; once it has all, another may gather."""
        others = [process(devices=[gpu]) for gpu in GPUS[:2]]
        assert [other.says() for other in others] == [f"leased {gpu.id}" for gpu in GPUS[:2]]
        queue = LockFile(lock_dir / "queue.lock")
        told: list[list[str]] = []

        def pause(_: float) -> bool:
            assert queue.is_taken()
            if len(told) == 2:
                third = process(devices=GPUS[:1])
                assert third.says().startswith(f"GPU 0  NVIDIA H200  held by pid {os.getpid()} ")
            others[len(told) - 1].end()
            return True

        lease, _ = acquire(
            request_for(*GPUS[:2], gpus=2),
            Machine(),
            refused=lambda blockers, _: told.append([re.sub(" by pid.*", "", blocker.reason) for blocker in blockers]),
            pause=pause,
        )
        assert lease is not None
        assert lease.devices == GPUS[:2]
        assert told == [["held", "held"], [KEPT.format(2), "held"]]
        assert not queue.is_taken()
        lease.release()
        assert locked_devices(GPUS, lock_dir) == ()

    def test_a_second_one_holds_nothing_while_it_waits(
        self, process: Processes, request_for: Requests, lock_dir: Path
    ) -> None:
        """It takes what it needs where that is free at once, before the one that gathers."""
        process(devices=GPUS[:1]).says()
        queue = LockFile(lock_dir / "queue.lock")
        assert queue.lock()

        def pause(_: float) -> bool:
            assert [blocker.device for blocker in locked_devices(GPUS, lock_dir)] == [ZERO]
            return False

        answer, _ = acquire(request_for(*GPUS, gpus=3), Machine(), refused=lambda *_: None, pause=pause)
        assert answer is None
        lease, _ = acquire(request_for(*GPUS, gpus=2), Machine(), refused=never, pause=never)
        assert lease is not None
        lease.release()

    def test_one_device_needs_no_queue(self, process: Processes, request_for: Requests, lock_dir: Path) -> None:
        """Who waits for one leaves it to the others."""
        process().says()
        acquire(request_for(), Machine(), refused=lambda *_: None, pause=lambda _: False)
        assert not (lock_dir / "queue.lock").exists()

    @pytest.mark.parametrize("ending", ["cancelled", "refused", "interrupted", "broken"])
    def test_however_it_ends_nothing_is_held(
        self, process: Processes, request_for: Requests, lock_dir: Path, ending: str
    ) -> None:
        """Neither devices nor the queue."""
        process().says()
        machine = Machine(gpu2=using(used=2 * GIB))

        def tell(blockers: tuple[Blocker, ...], _: float) -> None:
            assert [blocker.reason for blocker in blockers].count(KEPT.format(3)) == 1
            if ending == "refused":
                raise NoLease("enough")

        def pause(_: float) -> bool:
            assert len(locked_devices(GPUS, lock_dir)) == 2
            if ending == "interrupted":
                raise KeyboardInterrupt
            machine.usages[GPUS[2].id] = RuntimeError("a bug")
            return ending != "cancelled"

        errors = {"refused": NoLease, "interrupted": KeyboardInterrupt, "broken": RuntimeError}
        with pytest.raises(errors[ending]) if ending in errors else nullcontext():
            answer, _ = acquire(request_for(*GPUS, gpus=3), machine, refused=tell, pause=pause)
            assert answer is None
        assert [blocker.device for blocker in locked_devices(GPUS, lock_dir)] == [ZERO]
        assert not LockFile(lock_dir / "queue.lock").is_taken()

    def test_what_cannever_be_complete_is_not_kept(self, request_for: Requests, lock_dir: Path) -> None:
        """Where a device is lost while it waits, it gives the others back."""
        machine = Machine(gpu2=using(used=2 * GIB))
        kept: list[int] = []

        def pause(_: float) -> bool:
            kept.append(len(locked_devices(GPUS, lock_dir)))
            machine.usages[GPUS[2].id] = DeviceFailed("is lost", for_good=True)
            return len(kept) < 3

        acquire(request_for(*GPUS, gpus=3), machine, refused=lambda *_: None, pause=pause)
        assert kept == [2, 0, 0]

    def test_a_killed_one_leaves_nothing_locked(self, process: Processes, lock_dir: Path) -> None:
        """Its devices and its place are the next one's."""
        process(devices=GPUS[1:2]).says()
        gathering = process(GATHERS, devices=GPUS[:2])
        assert gathering.says() == KEPT.format(2)
        assert [blocker.device for blocker in locked_devices(GPUS, lock_dir)] == list(GPUS[:2])
        gathering.kill()
        assert [blocker.device for blocker in locked_devices(GPUS, lock_dir)] == [GPUS[1]]
        assert process(GATHERS, devices=GPUS[:2]).says() == KEPT.format(2)
