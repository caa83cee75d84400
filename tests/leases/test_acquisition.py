"""What a worker gets of what it asks for, at once or after others, and why it gets nothing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from made_leases import (
    GIB,
    GPUS,
    IDLE,
    ZERO,
    Leasers,
    Machine,
    Processes,
    Requests,
    for_nothing,
    leased,
    lock_file,
    locked,
    never,
    noted,
    refused,
    request,
    starting,
    starting_leasers,
    using,
)
from standin import Driver

from pytest_gpupool.devices.probe import DeviceFailed, Usage
from pytest_gpupool.leases.acquisition import acquire, try_lease
from pytest_gpupool.leases.admission import Blocker
from pytest_gpupool.leases.lease import Lease
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.leases.locking.locks import LockFile
from pytest_gpupool.values.device import cpu_device
from pytest_gpupool.values.errors import NoLease


@pytest.fixture
def lock_dir(tmp_path: Path) -> Path:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {}).path


@pytest.fixture
def request_for(lock_dir: Path) -> Requests:
    """Makes requests for devices, the first GPU alone if not said otherwise."""
    return partial(request, lock_directory(str(lock_dir), {}))


@pytest.fixture
def process(lock_dir: Path) -> Iterator[Processes]:
    """Starts processes, and kills them after the test."""
    with starting(lock_dir) as start:
        yield start


@pytest.fixture
def driver(libraries: Path, tmp_path: Path) -> Driver:
    """A driver of four GPUs."""
    return Driver.with_gpus(libraries, tmp_path / "nvml", 4, name="NVIDIA H200")


@pytest.fixture
def leaser(driver: Driver, lock_dir: Path) -> Iterator[Leasers]:
    """Starts workers on that driver, and kills them after the test."""
    with starting_leasers(driver, lock_dir) as start:
        yield start


OF_816 = "busy: pid 816 (not of this pool)"
MANY = "uses 4.0 GiB, pid 815 1.0 GiB, pid 7 0 MiB and 1 more"


class TestBusy:
    """A device that a process outside the pool uses is not free, though nobody locks it."""

    @pytest.mark.parametrize(
        ("usage", "text", "pid"),
        [
            (using((815, 61 * GIB), used=61 * GIB), "busy: pid 815 (not of this pool) uses 61.0 GiB", 815),
            (using((815, GIB), (816, 3 * GIB), used=0), f"{OF_816} uses 3.0 GiB, pid 815 1.0 GiB", 816),
            (using((815, GIB), (816, GIB << 2), (7, 9), (8, 8), used=None), f"{OF_816} {MANY}", 816),
            (using((815, 1), used=0), "busy: pid 815 (not of this pool) uses 0 MiB", 815),
            (using((815, None), used=None), "busy: pid 815 (not of this pool) computes on it", 815),
            (using((7, None), (8, 1 << 20), used=2 * GIB), "busy: pid 8 (not of this pool) uses 1 MiB, pid 7", 8),
            (using(used=2 * GIB), "busy: 2.0 GiB in use by no process that is named", None),
            (using(used=(512 << 20) + 1), "busy: 512 MiB in use by no process that is named", None),
        ],
        ids=["process", "largest", "many", "however little", "unknown", "some unknown", "unnamed", "just above"],
    )
    def test_it_is_busy(self, request_for: Requests, usage: Usage, text: str, pid: int | None) -> None:
        """With any process, or with more than is allowed that none explains; the line says who."""
        answer = try_lease(request_for(), Machine(gpu0=usage))
        assert refused(answer) == [f"GPU 0  NVIDIA H200  {text}"]
        assert isinstance(answer, tuple)
        assert answer[0].pid == pid
        # The lock was given back.
        leased(try_lease(request_for(), Machine())).release()

    @pytest.mark.parametrize(
        "usage",
        [
            IDLE,
            using(used=None),
            using(used=512 << 20),
            using((os.getpid(), 9 * GIB), used=9 * GIB),
        ],
        ids=["idle", "unknown", "as much as allowed", "this process itself"],
    )
    def test_it_is_free(self, request_for: Requests, usage: Usage) -> None:
        """Below, or where nothing can be told."""
        leased(try_lease(request_for(), Machine(gpu0=usage))).release()

    def test_a_busy_device_is_leased_where_the_user_allows_it(self, request_for: Requests) -> None:
        """``--gpupool-allow-busy``."""
        usage = using((815, 61 * GIB), used=61 * GIB)
        leased(try_lease(request_for(busy_memory=None), Machine(gpu0=usage))).release()

    def test_what_is_allowed_may_be_a_part_of_the_device(self, request_for: Requests) -> None:
        """``--gpupool-busy-memory=0.5``, of 141 GiB here."""
        half = request_for(busy_memory="0.5")
        leased(try_lease(half, Machine(gpu0=using(used=70 * GIB)))).release()
        assert refused(try_lease(half, Machine(gpu0=using(used=71 * GIB)))) != []

    def test_a_device_that_does_not_answer_is_passed_over(self, request_for: Requests) -> None:
        """Even where busy ones are allowed; the line has its words, and the lock is free."""
        lost = Machine(gpu0=DeviceFailed("is lost"))
        assert refused(try_lease(request_for(busy_memory=None), lost)) == ["GPU 0  NVIDIA H200  is lost"]
        lease = leased(try_lease(request_for(*GPUS), lost))
        assert lease.devices == (GPUS[1],)
        lease.release()
        leased(try_lease(request_for(), Machine())).release()

    def test_a_probe_that_breaks_holds_nothing(self, request_for: Requests) -> None:
        """Its error is passed on, and the lock is free."""
        with pytest.raises(RuntimeError, match="a bug"):
            try_lease(request_for(), Machine(gpu0=RuntimeError("a bug")))
        leased(try_lease(request_for(), Machine())).release()


class TestChoice:
    """Which of several devices a worker gets."""

    @pytest.mark.parametrize(("first", "got"), [(0, 0), (1, 1), (2, 2), (3, 0), (7, 1)])
    def test_workers_begin_at_different_devices(self, request_for: Requests, first: int, got: int) -> None:
        """So that they do not collide; only the device that is tried is asked about."""
        machine = Machine()
        lease = leased(try_lease(request_for(*GPUS, first=first), machine))
        assert lease.devices == (GPUS[got],)
        assert machine.asked == [GPUS[got].id]
        lease.release()

    def test_every_device_is_tried_once_around(self, process: Processes, request_for: Requests) -> None:
        """Each has its reason, in the order of the tries; what is locked is not asked about."""
        process(devices=GPUS[1:2]).says()
        machine = Machine(gpu0=using(used=2 * GIB), gpu2=DeviceFailed("is lost"))
        lines = refused(try_lease(request_for(*GPUS, first=2), machine))
        assert [re.sub("  held .*", "  held", line) for line in lines] == [
            "GPU 2  NVIDIA H200  is lost",
            "GPU 0  NVIDIA H200  busy: 2.0 GiB in use by no process that is named",
            "GPU 1  NVIDIA H200  held",
        ]
        assert machine.asked == [GPUS[2].id, ZERO.id]

    def test_a_cpu_slot_takes_no_lock(self, lock_dir: Path) -> None:
        """Two may hold one."""
        first, second = Lease([cpu_device(0)]), Lease([cpu_device(0)])
        assert first.devices == second.devices == (cpu_device(0),)
        first.note("test")
        first.release()
        second.release()
        assert list(lock_dir.iterdir()) == []


class TestAcquire:
    """Trying again is the caller's policy."""

    def test_it_tries_until_there_is_a_lease(self, request_for: Requests, lock_dir: Path) -> None:
        """Each refusal is told with the seconds waited; it has a place in the queue meanwhile, and none afterwards."""
        machine = Machine(gpu0=using(used=2 * GIB))
        clock = [100.0]
        told: list[tuple[str, float]] = []

        def tell(blockers: tuple[Blocker, ...], waited: float) -> None:
            told.append((str(blockers[0]), waited))
            assert len(list(lock_dir.glob("gpupool-*.ticket"))) == 1
            clock[0] += 5.0
            if len(told) == 4:
                machine.usages.clear()

        lease, seconds = acquire(
            request_for(), machine, refused=tell, is_cancelled=lambda: False, clock=lambda: clock[0]
        )
        assert lease is not None
        lease.release()
        assert seconds == 20.0
        assert [waited for _, waited in told] == [0.0, 5.0, 10.0, 15.0]
        assert {line for line, _ in told} == {"GPU 0  NVIDIA H200  busy: 2.0 GiB in use by no process that is named"}
        assert list(lock_dir.glob("*.ticket")) == []

    def test_at_once_it_takes_no_time(self, request_for: Requests) -> None:
        """Nothing is told, nobody is asked."""
        lease, seconds = acquire(request_for(), Machine(), refused=never, is_cancelled=never, clock=lambda: 5.0)
        assert lease is not None
        assert seconds == 0.0
        lease.release()

    def test_who_is_told_may_give_up(self, request_for: Requests, lock_dir: Path) -> None:
        """By raising; nothing is held then, and nobody waits."""

        def give_up(blockers: tuple[Blocker, ...], waited: float) -> None:
            raise NoLease(f"{len(blockers)} refused after {waited} s")

        busy = Machine(gpu0=using(used=2 * GIB), gpu1=using(used=2 * GIB))
        with pytest.raises(NoLease, match="2 refused after"):
            acquire(request_for(*GPUS[:2]), busy, refused=give_up, is_cancelled=never)
        assert locked(lock_dir) == []
        assert list(lock_dir.glob("*.ticket")) == []

    def test_it_may_be_cancelled(self, request_for: Requests, lock_dir: Path) -> None:
        """There is no lease then."""
        busy = Machine(gpu0=using(used=2 * GIB))
        clock = iter([1.0, 2.0, 4.5])
        answer = acquire(
            request_for(), busy, refused=lambda *_: None, is_cancelled=lambda: True, clock=lambda: next(clock)
        )
        assert answer == (None, 3.5)
        assert list(lock_dir.glob("*.ticket")) == []

    def test_a_directory_that_vanishes_while_it_waits_is_made_again(
        self, process: Processes, request_for: Requests, lock_dir: Path
    ) -> None:
        """With its place in the queue; it gets the device in the new one."""
        process().says()
        told: list[str] = []

        def tell(blockers: tuple[Blocker, ...], _: float) -> None:
            told.append(blockers[0].reason.partition(" by ")[0])
            if len(told) == 2:
                shutil.rmtree(lock_dir)
            if len(told) > 3 and lock_dir.is_dir():
                assert len(list(lock_dir.glob("*.ticket"))) == 1
                for other in list(psutil.Process().children()):
                    other.kill()
                    other.wait()

        lease, _ = acquire(request_for(), Machine(), refused=tell, is_cancelled=lambda: False)
        assert lease is not None
        assert locked(lock_dir) == [0]
        assert set(told) == {"held"}
        lease.release()


class TestSeveral:
    """A worker may want several devices: all at once or none."""

    def test_all_or_none(self, process: Processes, request_for: Requests, lock_dir: Path) -> None:
        """Without all it has none, and says of each device why."""
        process(devices=GPUS[1:2]).says()
        lines = refused(try_lease(request_for(*GPUS, gpus=3), Machine()))
        assert [re.sub("  held .*", "  held", line) for line in lines] == [
            "GPU 0  NVIDIA H200  free, but 3 devices are needed together",
            "GPU 1  NVIDIA H200  held",
            "GPU 2  NVIDIA H200  free, but 3 devices are needed together",
        ]
        assert locked(lock_dir) == [1]
        lease = leased(try_lease(request_for(*GPUS, gpus=2), Machine()))
        assert lease.devices == (GPUS[0], GPUS[2])
        lease.release()

    def test_where_too_few_look_free_the_others_are_left_alone(
        self, process: Processes, request_for: Requests, lock_dir: Path
    ) -> None:
        """No lock is taken and NVML is not asked."""
        process(devices=GPUS[1:2]).says()
        machine = Machine()
        refused(try_lease(request_for(*GPUS, gpus=3), machine))
        assert machine.asked == []
        assert not lock_file(lock_dir).exists()

    @pytest.mark.parametrize("first", range(4))
    def test_they_come_in_the_pools_order(self, request_for: Requests, lock_dir: Path, first: int) -> None:
        """Wherever the search began; each says which test runs."""
        lease = leased(try_lease(request_for(*GPUS, gpus=3, first=first), Machine()))
        assert lease.devices == GPUS
        lease.note("test_a.py::test_a")
        notes = [noted(lock_dir, gpu) for gpu in GPUS]
        assert [note["test"] for note in notes if note] == ["test_a.py::test_a"] * 3
        lease.release()

    def test_a_device_that_is_busy_gives_the_others_back(self, request_for: Requests, lock_dir: Path) -> None:
        """And so does a probe that breaks."""
        assert refused(try_lease(request_for(*GPUS, gpus=3), Machine(gpu2=using(used=2 * GIB)))) == [
            "GPU 0  NVIDIA H200  free, but 3 devices are needed together",
            "GPU 1  NVIDIA H200  free, but 3 devices are needed together",
            "GPU 2  NVIDIA H200  busy: 2.0 GiB in use by no process that is named",
        ]
        with pytest.raises(RuntimeError, match="a bug"):
            try_lease(request_for(*GPUS, gpus=3), Machine(gpu2=RuntimeError("a bug")))
        assert locked(lock_dir) == []

    def test_avoided_devices_come_last(self, request_for: Requests) -> None:
        """They are leased where nothing else is left."""
        request = request_for(*GPUS, gpus=2, avoid=frozenset({ZERO.id}))
        first = leased(try_lease(request, Machine()))
        assert first.devices == GPUS[1:]
        second = leased(try_lease(replace(request, gpus=1), Machine()))
        assert second.devices == (ZERO,)
        first.release()
        second.release()

    def test_a_device_that_is_too_smallnever_fits(self, request_for: Requests) -> None:
        """One of unknown size may; waiting is for nothing where too few are left."""
        pool = (replace(ZERO, memory_total=80 * GIB), replace(GPUS[1], memory_total=None), GPUS[2])
        lease = leased(try_lease(request_for(*pool, gpus=2, memory=100 * GIB), Machine()))
        assert lease.devices == pool[1:]
        lease.release()
        answer = try_lease(request_for(*pool, gpus=3, memory=100 * GIB), Machine())
        assert refused(answer) == [
            "GPU 0  NVIDIA H200  too small: it has 80.0 GiB of memory, 100.0 GiB needed",
            "GPU 1  NVIDIA H200  free, but 3 devices are needed together",
            "GPU 2  NVIDIA H200  free, but 3 devices are needed together",
        ]
        assert for_nothing(answer)

    @pytest.mark.parametrize(("gpus", "hopeless"), [(1, False), (2, False), (3, True), (4, True)])
    def test_waiting_is_for_nothing_where_too_few_can_come(
        self, request_for: Requests, gpus: int, hopeless: bool
    ) -> None:
        """One of three is lost for good; the others are busy, which may end."""
        busy = using(used=2 * GIB)
        machine = Machine(gpu0=DeviceFailed("is lost", for_good=True), gpu1=busy, gpu2=busy)
        assert for_nothing(try_lease(request_for(*GPUS, gpus=gpus), machine)) is hopeless


class TestSlots:
    """Workers may share a device where their runs let them."""

    def test_two_workers_go_to_two_devices(self, request_for: Requests) -> None:
        """Wherever they begin; then each device gets its second one, and then there is no room."""
        request = request_for(*GPUS[:2], slots=2)
        leases = [leased(try_lease(request, Machine())) for _ in range(4)]
        assert [lease.devices[0].index for lease in leases] == [0, 1, 0, 1]
        assert len(refused(try_lease(request, Machine()))) == 2
        leases.pop(1).release()
        leases.append(leased(try_lease(request, Machine())))
        assert leases[-1].devices == (GPUS[1],)
        for lease in leases:
            lease.release()

    def test_avoiding_counts_more_than_company(self, request_for: Requests) -> None:
        """A shared device rather than one that is to be avoided."""
        request = request_for(*GPUS[:2], slots=2, avoid=frozenset({ZERO.id}))
        leases = [leased(try_lease(request, Machine())) for _ in range(3)]
        assert [lease.devices[0].index for lease in leases] == [1, 1, 0]
        for lease in leases:
            lease.release()

    def test_one_leasenever_has_two_slots_of_a_device(self, request_for: Requests) -> None:
        """Several devices are as many devices."""
        both = [leased(try_lease(request_for(*GPUS[:2], slots=2, gpus=2), Machine())) for _ in range(2)]
        assert [lease.devices for lease in both] == [GPUS[:2]] * 2
        for lease in both:
            lease.release()
        assert for_nothing(try_lease(request_for(ZERO, slots=9, gpus=2), Machine()))

    @pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
    def test_exclusive_excludes_those_who_share(self, leaser: Leasers, first: int, second: int) -> None:
        """Whoever comes first, of two runs, in whatever slot."""
        one, other = leaser(run="run-1"), leaser(run="run-2")
        assert one.lease(only=[0], slots=first, first=1) == [0]
        ((index, reason, pid, _),) = other.lease(only=[0], slots=second)
        assert (index, pid) == (0, one.pid)
        assert reason.startswith(f"held by pid {one.pid} (")
        one.release()
        assert other.lease(only=[0], slots=second) == [0]

    def test_a_killed_holders_slot_is_free(self, leaser: Leasers) -> None:
        """The note that it left says nothing."""
        one, other = leaser(), leaser()
        assert one.lease(only=[0], slots=2, first=1) == [0]
        one.kill()
        assert other.lease(only=[0]) == [0]

    def test_free_slots(self, leaser: Leasers) -> None:
        """None of a device that another run has alone; of one that is shared, what its holders leave."""
        worker, other = leaser(), leaser(run="run-2")
        assert [worker.ask("free", slots=slots) for slots in (1, 2, 3)] == [4, 8, 12]
        other.lease(only=[2])
        assert [worker.ask("free", slots=slots) for slots in (1, 2, 3)] == [3, 6, 9]
        worker.lease(only=[0], slots=2)
        assert [worker.ask("free", slots=slots) for slots in (1, 2, 3)] == [2, 5, 7]

    def test_somebody_who_looks_does_not_make_a_device_held(self, request_for: Requests, lock_dir: Path) -> None:
        """It is tried again, a moment later, and some moments more."""
        looking = LockFile(lock_directory(str(lock_dir), {}), lock_file(lock_dir).name)
        assert looking.lock()
        moments: list[float] = []

        def sleep(seconds: float) -> None:
            moments.append(seconds)
            looking.unlock()

        leased(try_lease(request_for(), Machine(), sleep=sleep)).release()
        assert len(moments) == 1
        assert looking.lock()
        (line,) = refused(try_lease(request_for(), Machine(), sleep=moments.append))
        assert line.startswith(f"GPU 0  NVIDIA H200  held by pid {os.getpid()} (")
        assert 2 < len(moments) < 10
        looking.unlock()
