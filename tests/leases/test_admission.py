"""Memory on a shared device is given to one test at a time, and a foreign process's is never taken for a worker's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from standin import Driver
from standin.leaser import Leaser

from pytest_gpupool.devices.probe import GpuProcess, Usage
from pytest_gpupool.leases.acquisition import try_lease
from pytest_gpupool.leases.lease import Lease, Request
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.values.device import Device, Size, cpu_device

GIB = 2**30
NOT_SUPPORTED = 3
SHARED = f"GPU-{os.getpid():08x}"

Leasers = Callable[..., Leaser]


@pytest.fixture
def driver(libraries: Path, tmp_path: Path) -> Driver:
    """A driver of two GPUs of 80 GiB."""
    return Driver.with_gpus(libraries, tmp_path / "nvml", 2, name="NVIDIA H200")


@pytest.fixture
def lock_dir(tmp_path: Path) -> Path:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {}).path


@pytest.fixture
def leaser(driver: Driver, lock_dir: Path) -> Iterator[Leasers]:
    """Starts workers on that driver, and kills them after the test."""
    with ExitStack() as stack:

        def start(**keys: str) -> Leaser:
            worker = Leaser(driver.environ(), lock_dir, **keys)
            stack.callback(worker.kill)
            return worker

        yield start


@pytest.fixture
def pair(leaser: Leasers) -> tuple[Leaser, Leaser]:
    """Two workers that share the first GPU."""
    first, second = leaser(worker="gw0"), leaser(worker="gw1")
    assert first.lease(only=[0], slots=2) == second.lease(only=[0], slots=2) == [0]
    return first, second


def use(driver: Driver, *processes: tuple[int, float | None], index: int = 0) -> None:
    """These processes use so many GiB each."""
    known = tuple((pid, None if size is None else int(size * GIB)) for pid, size in processes)
    driver.replace(index, used=sum(size or 0 for _, size in known), processes=known)


def reserved(lock_dir: Path, driver: Driver, slot: int) -> int | None:
    """What a holder's note says that its test may take."""
    alone, shared = (lock_dir / f"{driver.uuids[0]}.{part}json" for part in ("", f"{slot}."))
    data: dict[str, Any] = json.loads((shared if shared.exists() else alone).read_text())
    return data.get("memory")


class TestMemory:
    """A test that says what it needs starts when that is free on each device."""

    def test_what_fits_is_reserved(self, leaser: Leasers, driver: Driver, lock_dir: Path) -> None:
        """In the note, until no test runs."""
        worker = leaser()
        worker.lease(only=[0])
        assert worker.admit("40GiB") == []
        assert reserved(lock_dir, driver, 0) == 40 * GIB
        worker.note("test_a.py::test_a")
        assert reserved(lock_dir, driver, 0) == 40 * GIB
        worker.note(None)
        assert reserved(lock_dir, driver, 0) is None

    def test_a_part_of_the_device(self, leaser: Leasers, driver: Driver, lock_dir: Path) -> None:
        """``memory=0.5``."""
        worker = leaser()
        worker.lease(only=[0])
        assert worker.admit("0.5") == []
        assert reserved(lock_dir, driver, 0) == 40 * GIB

    def test_what_a_foreign_process_uses_is_not_free(self, leaser: Leasers, driver: Driver, lock_dir: Path) -> None:
        """The blocker says who it is; nothing is reserved meanwhile."""
        worker = leaser()
        worker.lease(only=[0])
        use(driver, (1, 50))
        assert worker.admit("40GiB") == [
            [0, "29.5 GiB free, 40.0 GiB needed: pid 1 (not of this pool) has 50.0 GiB", 1, False]
        ]
        assert reserved(lock_dir, driver, 0) is None
        use(driver, (1, 39))
        assert worker.admit("40GiB") == []

    def test_what_nobody_is_named_for_is_not_free_either(self, leaser: Leasers, driver: Driver) -> None:
        """As in some containers."""
        worker = leaser()
        worker.lease(only=[0])
        driver.replace(0, used=50 * GIB)
        assert worker.admit("40GiB") == [[0, "29.5 GiB free, 40.0 GiB needed", None, False]]

    def test_what_the_worker_has_itself_is_free(self, leaser: Leasers, driver: Driver) -> None:
        """It and its children: an allocator keeps what earlier tests used."""
        worker = leaser()
        worker.lease(only=[0])
        use(driver, (worker.pid, 40), (worker.ask("child"), 30))
        assert worker.admit("79GiB") == []
        use(driver, (worker.pid, None))
        driver.replace(0, used=60 * GIB)
        assert worker.admit("79GiB") == []

    def test_more_than_the_device_has_is_hopeless(self, leaser: Leasers, driver: Driver, lock_dir: Path) -> None:
        """Waiting cannot help; what was reserved before is not kept."""
        worker = leaser()
        worker.lease(only=[0])
        assert worker.admit("1GiB") == []
        assert worker.admit("100GiB") == [[0, "too small: it has 80.0 GiB of memory, 100.0 GiB needed", None, True]]
        assert reserved(lock_dir, driver, 0) is None

    def test_every_device_of_the_lease_must_have_it(self, leaser: Leasers, driver: Driver, lock_dir: Path) -> None:
        """Where one has not, none is reserved."""
        worker = leaser()
        assert worker.lease(gpus=2) == [0, 1]
        use(driver, (1, 50), index=1)
        ((index, *_),) = worker.admit("40GiB")
        assert index == 1
        assert reserved(lock_dir, driver, 0) is None
        assert worker.admit("20GiB") == []
        assert reserved(lock_dir, driver, 0) == 20 * GIB

    def test_where_nvml_does_not_know_nothing_is_in_the_way(self, leaser: Leasers, driver: Driver) -> None:
        """An old driver."""
        worker = leaser()
        worker.lease(only=[0])
        use(driver, (1, 50))
        driver.fault("nvmlDeviceGetMemoryInfo_v2", NOT_SUPPORTED)
        assert worker.admit("40GiB") == []

    def test_a_device_that_is_lost(self, leaser: Leasers, driver: Driver, lock_dir: Path) -> None:
        """It does not come back by waiting."""
        worker = leaser()
        worker.lease(only=[0])
        driver.lose(0)
        ((_, reason, _, for_good),) = worker.admit("1GiB")
        assert reason.startswith("is lost")
        assert for_good
        assert reserved(lock_dir, driver, 0) is None

    def test_leases_without_locks_admit_everything(self) -> None:
        """CPU slots, and a lease of no device, which can also be noted and released."""
        for lease in (Lease(()), Lease([cpu_device(0)])):
            assert lease.admit(Size.parse("100GiB"), _Broken()) == ()
            assert lease.admit(1 << 50, _Broken()) == ()
            lease.note("test")
            lease.note(None)
            lease.release()

    def test_no_need_asks_nothing(self, lock_dir: Path) -> None:
        """It withdraws what was reserved."""
        probe = _Machine(free=9 * GIB)
        lease = _lease(lock_dir, probe)
        assert lease.admit(GIB, probe) == ()
        probe.asked = 0
        assert lease.admit(0, probe) == ()
        assert probe.asked == 0
        assert '"memory"' not in (lock_dir / f"{SHARED}.0.json").read_text()
        lease.release()

    def test_a_probe_that_breaks_leaves_nothing_reserved(self, lock_dir: Path) -> None:
        """Its error is passed on."""
        lease = _lease(lock_dir, _Machine(free=GIB))
        with pytest.raises(RuntimeError, match="a bug"):
            lease.admit(GIB, _Broken())
        assert '"memory"' not in (lock_dir / f"{SHARED}.0.json").read_text()
        lease.release()


class TestSharing:
    """Two workers of one device."""

    def test_what_another_has_reserved_is_not_free(self, pair: tuple[Leaser, Leaser]) -> None:
        """Though it does not use it yet, whoever has the lower slot number; the blocker names it and its test."""
        for first, second in (pair, pair[::-1]):
            assert first.admit("50GiB") == []
            first.note("test_a.py::test_big")
            ((index, reason, pid, for_good),) = second.admit("50GiB")
            assert (index, pid, for_good) == (0, first.pid, False)
            assert reason.startswith(f"29.5 GiB free, 50.0 GiB needed: pid {first.pid} (")
            assert reason.endswith(", test_big) has 50.0 GiB")
            assert second.admit("29GiB") == []
            second.note(None)
            first.note(None)
            assert second.admit("50GiB") == []
            second.note(None)

    def test_what_it_uses_of_that_counts_once(self, pair: tuple[Leaser, Leaser], driver: Driver) -> None:
        """Its children's too; beyond its reservation all counts."""
        first, second = pair
        assert first.admit("50GiB") == []
        use(driver, (first.pid, 20), (first.ask("child"), 20))
        assert second.admit("29GiB") == []
        assert len(second.admit("30GiB")) == 1
        use(driver, (first.pid, 60))
        assert second.admit("19GiB") == []
        assert len(second.admit("20GiB")) == 1

    def test_a_killed_workers_reservation_is_gone(
        self, pair: tuple[Leaser, Leaser], lock_dir: Path, driver: Driver
    ) -> None:
        """Its note stays, its lock does not."""
        first, second = pair
        assert first.admit("50GiB") == []
        first.kill()
        assert reserved(lock_dir, driver, 0) == 50 * GIB
        assert second.admit("79GiB") == []

    def test_of_two_at_once_never_both_may_start(
        self, pair: tuple[Leaser, Leaser], driver: Driver, lock_dir: Path
    ) -> None:
        """Though both ask at the same moment, again and again; only who may start has a reservation."""
        started = 0
        for _ in range(40):
            for worker in pair:
                worker.send("admit", need="50GiB")
            may_start = [worker.answer() == [] for worker in pair]
            assert [reserved(lock_dir, driver, slot) == 50 * GIB for slot in (0, 1)] == may_start
            assert not all(may_start)
            started += sum(may_start)
            for worker in pair:
                worker.note(None)
        assert started


class TestReservations:
    """Which of two reservations gives way, step by step."""

    def test_the_higher_slot_withdraws_at_once(self, lock_dir: Path) -> None:
        """It does not wait for the lower one, whose reservation may be new."""
        probe = _Machine(free=9 * GIB)
        low, high = _lease(lock_dir, probe), _lease(lock_dir, probe)
        assert low.admit(6 * GIB, probe) == ()
        assert len(high.admit(6 * GIB, probe, sleep=_never)) == 1
        low.release()
        high.release()

    def test_the_lower_slot_waits_for_that(self, lock_dir: Path) -> None:
        """And may start once the other has withdrawn."""
        probe = _Machine(free=9 * GIB)
        low, high = _lease(lock_dir, probe), _lease(lock_dir, probe)
        assert high.admit(6 * GIB, probe) == ()
        assert low.admit(6 * GIB, probe, sleep=lambda _: high.note(None)) == ()
        low.release()
        high.release()

    def test_the_lower_slot_gives_up_where_the_other_stays(self, lock_dir: Path) -> None:
        """It was there first."""
        probe = _Machine(free=9 * GIB)
        low, high = _lease(lock_dir, probe), _lease(lock_dir, probe)
        assert high.admit(6 * GIB, probe) == ()
        slept: list[float] = []
        assert len(low.admit(6 * GIB, probe, sleep=slept.append)) == 1
        assert slept
        assert '"memory"' not in (lock_dir / f"{SHARED}.0.json").read_text()
        assert '"memory"' in (lock_dir / f"{SHARED}.1.json").read_text()
        low.release()
        high.release()


def test_a_neighbour_that_is_process_1_of_its_container_owns_nobody(
    pair: tuple[Leaser, Leaser], driver: Driver, lock_dir: Path
) -> None:
    """Every process here descends from one of that number."""
    first, second = pair
    note = lock_dir / f"{driver.uuids[0]}.1.json"
    said = json.loads(note.read_text())
    note.write_text(json.dumps(said | {"pid": 1, "pid_namespace": said["pid_namespace"] + 1}))
    stranger = psutil.Process().pid
    use(driver, (first.pid, 1), (stranger, 40))
    ((_, reason, pid, _),) = first.admit("60GiB")
    assert f"pid {stranger} (not of this pool) has 40.0 GiB" in reason
    assert pid == stranger
    assert second.pid != stranger


class TestBusyBeside:
    """On a shared device only processes that no worker started are foreign."""

    def test_other_workers_and_their_children_are_none(self, leaser: Leasers, driver: Driver) -> None:
        """However much they use."""
        first, second = leaser(), leaser()
        first.lease(only=[0], slots=2)
        use(driver, (first.pid, 30), (first.ask("child"), 10))
        assert second.lease(only=[0], slots=2) == [0]

    def test_foreign_processes_are_named_the_largest_first(self, leaser: Leasers, driver: Driver) -> None:
        """However little they hold; what the device has in use beside that is the workers'."""
        first, second = leaser(), leaser()
        first.lease(only=[0], slots=2)
        use(driver, (first.pid, 30), (1, 0.3), (os.getpid(), 0.4))
        assert second.lease(only=[0], slots=2) == [
            [0, f"busy: pid {os.getpid()} (not of this pool) uses 410 MiB, pid 1 307 MiB", os.getpid(), False]
        ]
        use(driver, (first.pid, 30), (os.getpid(), None))
        assert second.lease(only=[0], slots=2) == [
            [0, f"busy: pid {os.getpid()} (not of this pool) computes on it", os.getpid(), False]
        ]

    def test_a_killed_workers_child_is_one(self, leaser: Leasers, driver: Driver) -> None:
        """Nobody holds the slot that it was leased with."""
        first, second, third = leaser(), leaser(), leaser()
        first.lease(only=[0], slots=3)
        second.lease(only=[0], slots=3)
        child = psutil.Process(first.ask("child"))
        child.suspend()  # else it ends with its parent's pipe
        first.kill()
        try:
            use(driver, (second.pid, 10), (child.pid, 10))
            assert third.lease(only=[0], slots=3) == [
                [0, f"busy: pid {child.pid} (not of this pool) uses 10.0 GiB", child.pid, False]
            ]
        finally:
            child.kill()

    def test_alone_the_devices_own_figure_counts(self, leaser: Leasers, driver: Driver) -> None:
        """As it does without sharing."""
        driver.replace(0, used=GIB)
        assert leaser().lease(only=[0], slots=2) == [
            [0, "busy: 1.0 GiB in use by no process that is named", None, False]
        ]


class TestGraphics:
    """Programs that only draw are named, and stand in nobody's way."""

    def test_a_desktop_does_not_block(self, leaser: Leasers, driver: Driver) -> None:
        """What it holds is explained."""
        driver.replace(0, used=2 * GIB, graphics=((1, GIB), (os.getpid(), GIB)))
        assert leaser().lease(only=[0]) == [0]

    def test_memory_that_nobody_explains_beside_it_does(self, leaser: Leasers, driver: Driver) -> None:
        """The line names who draws, so that nobody goes after them."""
        driver.replace(0, used=2 * GIB, graphics=((os.getpid(), GIB),))
        name = psutil.Process().name()
        assert leaser().lease(only=[0]) == [
            [
                0,
                "busy: 1.0 GiB in use by no process that is named, beside graphics: "
                f"pid {os.getpid()} ({name}) 1.0 GiB",
                None,
                False,
            ]
        ]
        assert leaser().lease(only=[0], busy="1GiB") == [0]

    def test_what_it_holds_without_saying_is_unexplained(self, leaser: Leasers, driver: Driver) -> None:
        """A larger ``--gpupool-busy-memory`` lets that pass."""
        driver.replace(0, used=GIB, graphics=((999999999, None),))
        line = "busy: 1.0 GiB in use by no process that is named, beside graphics: pid 999999999 an untold size"
        assert leaser().lease(only=[0]) == [[0, line, None, False]]
        assert leaser().lease(only=[0], busy="2GiB") == [0]

    def test_one_that_computes_too_blocks(self, leaser: Leasers, driver: Driver) -> None:
        """As any process does."""
        driver.replace(0, used=GIB, graphics=((1, GIB),), processes=((1, GIB),))
        assert leaser().lease(only=[0]) == [[0, "busy: pid 1 (not of this pool) uses 1.0 GiB", 1, False]]

    def test_who_needs_memory_is_told_of_it(self, leaser: Leasers, driver: Driver) -> None:
        """With the others that have some."""
        worker = leaser()
        worker.lease(only=[0])
        driver.replace(0, used=60 * GIB, graphics=((77, 60 * GIB),))
        assert worker.admit("40GiB") == [
            [0, "19.5 GiB free, 40.0 GiB needed: pid 77 (graphics) has 60.0 GiB", 77, False]
        ]


class TestMps:
    """Work that reaches a device through MPS is the work of whoever sent it."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[int]:
        """A process with the name of MPS's server."""
        # The kernel takes a process's name from its program's file.
        program = tmp_path / "nvidia-cuda-mps-server"
        program.symlink_to(shutil.which("sleep") or "sleep")
        with subprocess.Popen([program, "300"]) as running:
            yield running.pid
            running.kill()

    def test_the_server_alone_is_nobody(self, leaser: Leasers, driver: Driver, server: int) -> None:
        """It has a context for others, who may be gone."""
        use(driver, (server, 0.03))
        assert leaser().lease(only=[0]) == [0]

    def test_a_client_is_a_process_like_others(self, leaser: Leasers, driver: Driver, server: int) -> None:
        """A foreign one blocks, however little it holds."""
        driver.replace(0, used=GIB, processes=((server, GIB),), mps=((1, 1 << 20),))
        assert leaser().lease(only=[0]) == [[0, "busy: pid 1 (not of this pool) uses 1 MiB", 1, False]]

    def test_workers_may_be_clients(self, leaser: Leasers, driver: Driver, server: int) -> None:
        """Of a device that they share."""
        first, second = leaser(), leaser()
        first.lease(only=[0], slots=2)
        driver.replace(0, used=GIB, processes=((server, GIB),), mps=((first.pid, GIB),))
        assert second.lease(only=[0], slots=2) == [0]


class TestUnusable:
    """What no program may use is busy."""

    def test_compute_mode_prohibited(self, leaser: Leasers, driver: Driver) -> None:
        """The line says how that is ended; another device is leased meanwhile."""
        driver.replace(0, compute_mode=2)
        why = "its compute mode is PROHIBITED, which lets no program use it ('nvidia-smi -i 0 -c 0' ends that)"
        assert leaser().lease(only=[0]) == [[0, f"busy: {why}", None, False]]
        assert leaser().lease() == [1]

    def test_where_the_user_leases_busy_ones(self, leaser: Leasers, driver: Driver) -> None:
        """``--gpupool-allow-busy`` asks for nothing but that the device answers."""
        driver.replace(0, compute_mode=2, used=60 * GIB, processes=((1, 60 * GIB),))
        assert leaser().lease(only=[0], busy=None) == [0]


class TestContainer:
    """Where processes have other numbers than the vendor's library tells, as in a container."""

    GONE = 999999999

    def test_alone_an_unseen_process_is_foreign(self, leaser: Leasers, driver: Driver) -> None:
        """Nobody of the pool holds the device."""
        use(driver, (self.GONE, 0.1))
        assert leaser().lease(only=[0]) == [
            [0, f"busy: pid {self.GONE} (not of this pool) uses 102 MiB", self.GONE, False]
        ]

    def test_on_a_shared_device_it_may_be_a_worker(self, leaser: Leasers, driver: Driver) -> None:
        """One of those that hold its other slots, by the number that it has outside."""
        first, second = leaser(), leaser()
        first.lease(only=[0], slots=2)
        use(driver, (self.GONE, 30))
        assert second.lease(only=[0], slots=2) == [0]


class _Machine:
    def __init__(self, free: int) -> None:
        self.free = free
        self.asked = 0

    def usage(self, device: Device) -> Usage:
        self.asked += 1
        return Usage(processes=(GpuProcess(pid=os.getpid(), memory=0),), memory_used=0, memory_free=self.free)


class _Broken:
    def usage(self, device: Device) -> Usage:
        raise RuntimeError("a bug")


def _lease(lock_dir: Path, probe: _Machine) -> Lease:
    gpu = Device(id=SHARED, kind="gpu", index=0, name="NVIDIA H200", memory_total=80 * GIB)
    request = Request(
        devices=(gpu,),
        lock_dir=lock_directory(str(lock_dir), {}),
        worker="gw0",
        run="run-1",
        first=0,
        busy_memory=None,
        slots=2,
    )
    answer = try_lease(request, probe)
    assert isinstance(answer, Lease)
    return answer


def _never(seconds: float) -> None:
    raise AssertionError("it waits")
