"""A lease excludes every other process of this host, and ends with its own, however that ends."""

from __future__ import annotations

import getpass
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest
from standin import Driver
from standin.leaser import Leaser

from pytest_gpupool.devices.probe import DeviceFailed, GpuProcess, Usage
from pytest_gpupool.leases import holders
from pytest_gpupool.leases.lease import (
    Blocker,
    Lease,
    Request,
    acquire,
    lock_directory,
    locked_devices,
    try_lease,
)
from pytest_gpupool.leases.locks import LockFile
from pytest_gpupool.values.device import Device, Size, cpu_device
from pytest_gpupool.values.errors import NoLease, UsageProblem

GIB = 2**30
NOBODY = 65534
HANGS = 300.0  # seconds that nothing takes which works

GPUS = tuple(
    Device(id=f"GPU-{number:08x}-0000", kind="gpu", index=number, name="NVIDIA H200", memory_total=141 * GIB)
    for number in range(3)
)
ZERO = GPUS[0]
IDLE = Usage(processes=(), memory_used=0)

# Modules are imported before anything may be given up that importing needs.
LEASER = """
import json, os, signal, subprocess, sys
from pathlib import Path
import filelock, psutil, pytest_gpupool.leases.holders, pytest_gpupool.devices.probe
from pytest_gpupool.leases import lease as leases
from pytest_gpupool.values.errors import GpupoolError
from pytest_gpupool.leases.locks import LockFile
from pytest_gpupool.values.device import Device

class Idle:
    def usage(self, device):
        return pytest_gpupool.devices.probe.Usage(processes=(), memory_used=0)

def lease():
    try:
        directory = leases.lock_directory(sys.argv[1], {})
        request = leases.Request(
            devices=tuple(map(Device.from_wire, json.loads(sys.argv[2]))),
            lock_dir=directory, worker="gw7", run="run-1", first=0, busy_memory=None,
        )
        answer = leases.try_lease(request, Idle())
    except GpupoolError as error:
        return None, str(error)
    if isinstance(answer, leases.Lease):
        return answer, "leased " + answer.devices[0].id
    return None, "; ".join(map(str, answer))

def say(text):
    print(text, flush=True)
"""
LEASES = "held, text = lease()\nsay(text)\nsys.stdin.read()\n"


class Machine:
    """A machine of which each device is used as told; records what it was asked."""

    def __init__(self, **usage: Usage | Exception) -> None:
        self.usages = {f"GPU-{int(name[3:]):08x}-0000": value for name, value in usage.items()}
        self.asked: list[str] = []

    def usage(self, device: Device) -> Usage:
        """What leases ask."""
        self.asked.append(device.id)
        answer = self.usages.get(device.id, IDLE)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Process:
    """Another process of this host."""

    def __init__(self, lock_dir: Path, devices: Sequence[Device], source: str) -> None:
        wire = json.dumps([device.to_wire() for device in devices])
        self._process = subprocess.Popen(
            [sys.executable, "-c", LEASER + source, str(lock_dir), wire],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def says(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def kill(self) -> None:
        """SIGKILL it, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Let it end by itself, and wait until it is gone."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture
def process(lock_dir: Path) -> Iterator[Callable[..., Process]]:
    """Starts processes, and kills them after the test."""
    with ExitStack() as stack:

        def start(source: str = LEASES, *, devices: Sequence[Device] = GPUS[:1], where: Path = lock_dir) -> Process:
            process = Process(where, devices, source)
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def lock_dir(tmp_path: Path) -> Path:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def driver(libraries: Path, tmp_path: Path) -> Driver:
    """A driver of four GPUs."""
    return Driver.with_gpus(libraries, tmp_path / "nvml", 4, name="NVIDIA H200")


@pytest.fixture
def leaser(driver: Driver, lock_dir: Path) -> Iterator[Callable[..., Leaser]]:
    """Starts workers on that driver, and kills them after the test."""
    with ExitStack() as stack:

        def start(**keys: str) -> Leaser:
            worker = Leaser(driver.environ(), lock_dir, **keys)
            stack.callback(worker.kill)
            return worker

        yield start


@pytest.fixture
def request_for(lock_dir: Path) -> Callable[..., Request]:
    """Makes requests for devices, the first GPU alone if not said otherwise."""

    def make(*devices: Device, first: int = 0, busy_memory: str | None = "512MiB", **keys: Any) -> Request:
        size = None if busy_memory is None else Size.parse(busy_memory)
        return Request(
            devices=devices or (ZERO,),
            lock_dir=lock_dir,
            worker="gw0",
            run="run-1",
            first=first,
            busy_memory=size,
            **keys,
        )

    return make


def leased(answer: Lease | tuple[Blocker, ...]) -> Lease:
    """The lease that must be there."""
    assert isinstance(answer, Lease), [str(blocker) for blocker in answer]
    return answer


def refused(answer: Lease | tuple[Blocker, ...]) -> list[str]:
    """The lines that say why there is none."""
    assert not isinstance(answer, Lease)
    return [str(blocker) for blocker in answer]


def for_nothing(answer: Lease | tuple[Blocker, ...]) -> bool:
    """Whether no waiting can help."""
    assert not isinstance(answer, Lease)
    return all(blocker.for_good for blocker in answer)


def lock_file(directory: Path, device: Device = ZERO) -> Path:
    """Where the lock of a device lies."""
    return directory / f"{device.id}.0.lock"


Requests = Callable[..., Request]
Processes = Callable[..., Process]
Leasers = Callable[..., Leaser]


class TestExclusion:
    """One process holds a device."""

    def test_what_one_process_holds_no_other_gets(self, process: Processes, request_for: Requests) -> None:
        """It learns by whom and for how long."""
        other = process()
        assert other.says() == f"leased {ZERO.id}"
        answer = try_lease(request_for(), Machine())
        assert not isinstance(answer, Lease)
        (blocker,) = answer
        assert re.fullmatch(
            rf"GPU 0  NVIDIA H200  held by pid {other.pid} \({getpass.getuser()}\) for \d+ s", str(blocker)
        )
        assert (blocker.device, blocker.pid) == (ZERO, other.pid)

    def test_of_many_processes_as_many_succeed_as_there_are_devices(self, process: Processes) -> None:
        """Each has a device of its own."""
        others = [process(devices=GPUS) for _ in range(5)]
        texts = [other.says() for other in others]
        assert sorted(text for text in texts if text.startswith("leased")) == [f"leased {gpu.id}" for gpu in GPUS]

    def test_a_device_is_free_again_when_its_holder_ends(self, process: Processes, request_for: Requests) -> None:
        """Without a release."""
        other = process()
        other.says()
        other.end()
        leased(try_lease(request_for(), Machine())).release()

    def test_a_device_is_free_again_when_its_holder_is_killed(self, process: Processes, request_for: Requests) -> None:
        """The note that it left says nothing then."""
        other = process()
        other.says()
        other.kill()
        lease = leased(try_lease(request_for(), Machine()))
        holder = holders.read(request_for().lock_dir / f"{ZERO.id}.0.json")
        assert holder is not None
        assert holder.pid == os.getpid()
        lease.release()

    def test_the_subprocess_of_a_killed_holder_does_not_hold_it(
        self, process: Processes, request_for: Requests
    ) -> None:
        """Though it lives on."""
        other = process(
            "held, text = lease()\n"
            "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
            "say(child.pid)\n"
            "sys.stdin.read()\n"
        )
        child = psutil.Process(int(other.says()))
        other.kill()
        leased(try_lease(request_for(), Machine())).release()
        child.kill()

    def test_the_forked_child_of_a_killed_holder_is_found_by_its_memory(
        self, process: Processes, request_for: Requests
    ) -> None:
        """It lives on without the lock; while it uses the GPU, nobody gets that."""
        other = process(
            "held, text = lease()\nif os.fork() == 0:\n    say(os.getpid())\n    signal.pause()\nsys.stdin.read()\n"
        )
        child = psutil.Process(int(other.says()))
        other.kill()
        try:
            assert child.is_running()
            used = Usage(processes=(GpuProcess(pid=child.pid, memory=2 * GIB),), memory_used=2 * GIB)
            assert refused(try_lease(request_for(), Machine(gpu0=used))) == [
                f"GPU 0  NVIDIA H200  busy: pid {child.pid} (not of this pool) uses 2.0 GiB"
            ]
            leased(try_lease(request_for(), Machine())).release()
        finally:
            child.kill()

    @pytest.mark.parametrize("ending", ["sys.exit()", "os._exit(0)", "held.release(); os._exit(0)", "del held"])
    def test_a_forked_child_that_ends_takes_nothing_from_its_parent(
        self, process: Processes, request_for: Requests, ending: str
    ) -> None:
        """Whether its interpreter shuts down or not."""
        other = process(
            "held, text = lease()\n"
            "if (child := os.fork()) == 0:\n"
            f"    {ending}\n"
            "    sys.exit()\n"
            "os.waitpid(child, 0)\n"
            "say(text)\n"
            "sys.stdin.read()\n"
        )
        assert other.says() == f"leased {ZERO.id}"
        (line,) = refused(try_lease(request_for(), Machine()))
        assert line.startswith("GPU 0  NVIDIA H200  held by ")

    def test_a_lease_excludes_its_own_process_too(self, request_for: Requests) -> None:
        """Until it is released; a second release does nothing."""
        lease = leased(try_lease(request_for(), Machine()))
        assert refused(try_lease(request_for(), Machine())) != []
        lease.release()
        second = leased(try_lease(request_for(), Machine()))
        lease.release()
        assert refused(try_lease(request_for(), Machine())) != []
        second.release()


class TestFiles:
    """What lies in the lock directory."""

    def test_every_user_may_lock(self, process: Processes, tmp_path: Path) -> None:
        """Whatever the umask of who came first."""
        where = tmp_path / "new" / "locks"
        other = process("os.umask(0o077)\n" + LEASES, where=where)
        assert other.says() == f"leased {ZERO.id}"
        assert stat.S_IMODE(where.stat().st_mode) == 0o1777
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in where.iterdir()}
        assert files == {f"{ZERO.id}.0.lock": 0o666, f"{ZERO.id}.0.json": 0o666}

    def test_a_lock_file_stays_for_ever(self, process: Processes, request_for: Requests, lock_dir: Path) -> None:
        """Through a release and a kill: where it is removed, two can lock one name."""
        leased(try_lease(request_for(), Machine())).release()
        inode = lock_file(lock_dir).stat().st_ino
        other = process()
        other.says()
        other.kill()
        leased(try_lease(request_for(), Machine())).release()
        assert lock_file(lock_dir).stat().st_ino == inode

    def test_the_note_says_who_and_what(self, request_for: Requests, lock_dir: Path) -> None:
        """The test while it runs, nobody after the release."""
        note = lock_dir / f"{ZERO.id}.0.json"
        lease = leased(try_lease(request_for(), Machine()))
        holder = holders.read(note)
        assert holder is not None
        assert holder == holders.myself(worker="gw0", run="run-1", since=holder.since)
        lease.note("test_a.py::test_b[1]")
        assert holders.read(note) == replace(holder, test="test_a.py::test_b[1]")
        (line,) = refused(try_lease(request_for(), Machine()))
        assert f"held by pid {os.getpid()} ({getpass.getuser()}, test_b[1]) for " in line
        lease.note(None)
        assert holders.read(note) == holder
        lease.release()
        assert note.read_bytes() == b""

    def test_a_holder_whose_note_cannot_be_read_holds_all_the_same(
        self, process: Processes, request_for: Requests, lock_dir: Path
    ) -> None:
        """Only the lock excludes."""
        process().says()
        (lock_dir / f"{ZERO.id}.0.json").write_text("garbage")
        answer = try_lease(request_for(), Machine())
        assert refused(answer) == ["GPU 0  NVIDIA H200  held by a process that does not say who it is"]

    def test_the_slashes_of_an_old_drivers_mig_name_make_no_directories(
        self, request_for: Requests, lock_dir: Path
    ) -> None:
        """``MIG-GPU-<uuid>/<gi>/<ci>``."""
        mig = Device(id="MIG-GPU-1f/7/0", kind="mig", index=0, name="MIG 1g")
        lease = leased(try_lease(request_for(mig), Machine()))
        assert lock_file(lock_dir, replace(mig, id="MIG-GPU-1f_7_0")).exists()
        lease.release()

    def test_a_link_in_place_of_a_lock_file_is_refused(self, request_for: Requests, lock_dir: Path) -> None:
        """Anybody may put one there; its target is left alone, and the error says what to do."""
        target = lock_dir.parent / "precious"
        target.write_text("precious")
        lock_file(lock_dir).symlink_to(target)
        with pytest.raises(UsageProblem) as raised:
            try_lease(request_for(), Machine())
        assert str(raised.value) == (
            f"cannot lock {lock_file(lock_dir)}: Too many levels of symbolic links; remove the file if its owner no "
            "longer runs, or choose another directory with --gpupool-lock-dir (all runs on this host need the same)"
        )
        assert (target.read_text(), stat.S_IMODE(target.stat().st_mode) & 0o022) == ("precious", 0)

    def test_a_directory_in_place_of_a_lock_file_is_refused(self, request_for: Requests, lock_dir: Path) -> None:
        """The error names it."""
        lock_file(lock_dir).mkdir()
        with pytest.raises(UsageProblem, match=re.escape(f"cannot lock {lock_file(lock_dir)}: Is a directory; ")):
            try_lease(request_for(), Machine())


class TestOtherUsers:
    """Locks are for all users of a host."""

    # What is imported late must be there by then: another user may not be able to read this one's Python.
    AS_NOBODY = (
        f"import filelock, pytest_gpupool.leases.holders\nos.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    )

    def test_another_user_locks_what_root_has_made(self, process: Processes, public: Path) -> None:
        """In root's directory, root's lock file, and writes root's note."""
        where = public / "locks"
        first = process(where=where)
        assert first.says() == f"leased {ZERO.id}"
        second = process(self.AS_NOBODY + LEASES, where=where)
        assert second.says().startswith(f"GPU 0  NVIDIA H200  held by pid {first.pid} (")
        first.end()
        third = process(self.AS_NOBODY + LEASES, where=where)
        assert third.says() == f"leased {ZERO.id}"
        holder = holders.read(where / f"{ZERO.id}.0.json")
        assert holder is not None
        assert holder.pid == third.pid
        assert lock_file(where).stat().st_uid == 0

    def test_a_lock_file_that_only_its_owner_may_open_is_refused(self, process: Processes, public: Path) -> None:
        """The error says what to do."""
        where = lock_directory(str(public / "locks"), {})
        lock_file(where).touch(0o600)
        assert (
            process(self.AS_NOBODY + LEASES, where=where)
            .says()
            .startswith(
                f"cannot lock {lock_file(where)}: Permission denied; remove the file if its owner no longer runs, or "
            )
        )

    def test_root_locks_another_users_file(self, process: Processes, public: Path) -> None:
        """In a sticky directory, where the kernel may refuse to create what is there."""
        where = lock_directory(str(public / "locks"), {})
        process(self.AS_NOBODY + "held, text = lease()\nsay(text)\n", where=where).end()
        assert lock_file(where).stat().st_uid == NOBODY
        assert process(where=where).says() == f"leased {ZERO.id}"

    def test_a_directory_that_another_user_may_not_write(self, process: Processes, public: Path) -> None:
        """The error has the command for its owner."""
        where = public / "locks"
        where.mkdir(mode=0o755)
        assert process(self.AS_NOBODY + LEASES, where=where).says() == (
            f"the lock directory {where} may not be written by this user; let its owner do 'chmod 1777 {where}', "
            "or choose one for all users with --gpupool-lock-dir"
        )

    def test_a_directory_that_another_user_may_not_make(self, process: Processes, public: Path) -> None:
        """The error has the reason."""
        where = public / "locks"
        assert process(self.AS_NOBODY + LEASES, where=where).says() == (
            f"the lock directory {where} cannot be made: Permission denied; choose one with --gpupool-lock-dir"
        )


def using(*processes: tuple[int, int | None], used: int | None) -> Usage:
    """A device with these processes, each with its memory."""
    return Usage(processes=tuple(GpuProcess(pid=pid, memory=memory) for pid, memory in processes), memory_used=used)


class TestBusy:
    """A device that a process outside the pool uses is not free, though nobody locks it."""

    @pytest.mark.parametrize(
        ("usage", "text", "pid"),
        [
            (using((815, 61 * GIB), used=61 * GIB), "busy: pid 815 (not of this pool) uses 61.0 GiB", 815),
            (using((815, GIB), (816, 3 * GIB), used=0), "busy: pid 816 (not of this pool) uses 4.0 GiB", 816),
            (using((1, 300 << 20), (2, 300 << 20), used=None), "busy: pid 1 (not of this pool) uses 600 MiB", 1),
            (using((815, None), used=2 * GIB), "busy: pid 815 (not of this pool) uses 2.0 GiB", 815),
            (using((7, None), (8, 1 << 20), used=2 * GIB), "busy: pid 8 (not of this pool) uses 2.0 GiB", 8),
            (using(used=2 * GIB), "busy: a process that NVML does not name uses 2.0 GiB", None),
            (using(used=(512 << 20) + 1), "busy: a process that NVML does not name uses 512 MiB", None),
        ],
        ids=["process", "largest", "sum", "unknown", "some unknown", "unnamed", "just above"],
    )
    def test_it_is_busy(self, request_for: Requests, usage: Usage, text: str, pid: int | None) -> None:
        """Above what is allowed; the line says who, or that NVML does not."""
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
            using((815, 512 << 20), used=400 << 20),
            using((815, None), used=None),
            using((os.getpid(), 9 * GIB), used=0),
        ],
        ids=["idle", "unknown", "as much as allowed", "small", "all unknown", "this process itself"],
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
            "GPU 0  NVIDIA H200  busy: a process that NVML does not name uses 2.0 GiB",
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

    def test_locked_devices(self, process: Processes, request_for: Requests, lock_dir: Path) -> None:
        """Those that are held, with their holders; the others are free as before, and no note changes."""
        other = process(devices=GPUS[1:2])
        other.says()
        left = lock_dir / f"{ZERO.id}.0.json"
        left.write_text("left by a holder that was killed")
        (blocker,) = locked_devices(GPUS, lock_dir)
        assert (blocker.device, blocker.pid) == (GPUS[1], other.pid)
        assert left.read_text() == "left by a holder that was killed"
        assert holders.read(lock_dir / f"{GPUS[1].id}.0.json") is not None
        leased(try_lease(request_for(GPUS[0]), Machine())).release()


class TestAcquire:
    """Trying again is the caller's policy."""

    def test_it_tries_until_there_is_a_lease(self, request_for: Requests) -> None:
        """Pauses grow to half a second; each refusal is told with the seconds waited."""
        machine = Machine(gpu0=using(used=2 * GIB))
        clock = [100.0]
        pauses: list[float] = []
        told: list[tuple[str, float]] = []

        def pause(seconds: float) -> bool:
            pauses.append(seconds)
            clock[0] += seconds
            if len(pauses) == 9:
                machine.usages.clear()
            return True

        lease, seconds = acquire(
            request_for(),
            machine,
            refused=lambda blockers, waited: told.append((str(blockers[0]), waited)),
            pause=pause,
            clock=lambda: clock[0],
        )
        assert lease is not None
        lease.release()
        assert pauses == sorted(pauses)
        assert (pauses[0], pauses[-1]) == (0.05, 0.5)
        assert seconds == pytest.approx(sum(pauses))
        assert [waited for _, waited in told] == pytest.approx([sum(pauses[:number]) for number in range(9)])
        assert {line for line, _ in told} == {
            "GPU 0  NVIDIA H200  busy: a process that NVML does not name uses 2.0 GiB"
        }

    def test_at_once_it_takes_no_time(self, request_for: Requests) -> None:
        """Nothing is told, nobody pauses."""
        lease, seconds = acquire(request_for(), Machine(), refused=_never, pause=_never, clock=lambda: 5.0)
        assert lease is not None
        assert seconds == 0.0
        lease.release()

    def test_who_is_told_may_give_up(self, request_for: Requests) -> None:
        """By raising; nothing is held then."""

        def give_up(blockers: tuple[Blocker, ...], waited: float) -> None:
            raise NoLease(f"{len(blockers)} refused after {waited} s")

        busy = Machine(gpu0=using(used=2 * GIB), gpu1=using(used=2 * GIB))
        with pytest.raises(NoLease, match="2 refused after"):
            acquire(request_for(*GPUS[:2]), busy, refused=give_up, pause=_never)
        assert locked_devices(GPUS, request_for().lock_dir) == ()

    def test_a_pause_may_be_cancelled(self, request_for: Requests) -> None:
        """There is no lease then."""
        busy = Machine(gpu0=using(used=2 * GIB))
        clock = iter([1.0, 2.0, 4.5])
        answer = acquire(request_for(), busy, refused=lambda *_: None, pause=lambda _: False, clock=lambda: next(clock))
        assert answer == (None, 3.5)


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
        assert [blocker.device for blocker in locked_devices(GPUS, lock_dir)] == [GPUS[1]]
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
        notes = [holders.read(lock_dir / f"{gpu.id}.0.json") for gpu in GPUS]
        assert [note.test for note in notes if note] == ["test_a.py::test_a"] * 3
        lease.release()

    def test_a_device_that_is_busy_gives_the_others_back(self, request_for: Requests, lock_dir: Path) -> None:
        """And so does a probe that breaks."""
        assert refused(try_lease(request_for(*GPUS, gpus=3), Machine(gpu2=using(used=2 * GIB)))) == [
            "GPU 0  NVIDIA H200  free, but 3 devices are needed together",
            "GPU 1  NVIDIA H200  free, but 3 devices are needed together",
            "GPU 2  NVIDIA H200  busy: a process that NVML does not name uses 2.0 GiB",
        ]
        with pytest.raises(RuntimeError, match="a bug"):
            try_lease(request_for(*GPUS, gpus=3), Machine(gpu2=RuntimeError("a bug")))
        assert locked_devices(GPUS, lock_dir) == ()

    def test_avoided_devices_come_last(self, request_for: Requests) -> None:
        """They are leased where nothing else is left."""
        request = request_for(*GPUS, gpus=2, avoid=frozenset({ZERO.id}))
        first = leased(try_lease(request, Machine()))
        assert first.devices == GPUS[1:]
        second = leased(try_lease(replace(request, gpus=1), Machine()))
        assert second.devices == (ZERO,)
        first.release()
        second.release()

    def test_a_device_that_is_too_small_never_fits(self, request_for: Requests) -> None:
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

    def test_one_lease_never_has_two_slots_of_a_device(self, request_for: Requests) -> None:
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

    def test_locked_devices_are_those_that_are_shared_too(
        self, leaser: Leasers, driver: Driver, lock_dir: Path
    ) -> None:
        """In whatever slot."""
        worker = leaser()
        worker.lease(only=[1], slots=2, first=1)
        devices = [replace(ZERO, id=uuid, index=index) for index, uuid in enumerate(driver.uuids)]
        (blocker,) = locked_devices(devices, lock_dir)
        assert (blocker.device.index, blocker.pid) == (1, worker.pid)

    def test_somebody_who_looks_does_not_make_a_device_held(self, request_for: Requests, lock_dir: Path) -> None:
        """It is tried again, a moment later, and some moments more."""
        looking = LockFile(lock_file(lock_dir))
        assert looking.lock()
        moments: list[float] = []

        def sleep(seconds: float) -> None:
            moments.append(seconds)
            looking.unlock()

        leased(try_lease(request_for(), Machine(), sleep=sleep)).release()
        assert len(moments) == 1
        assert looking.lock()
        assert refused(try_lease(request_for(), Machine(), sleep=moments.append)) == [
            "GPU 0  NVIDIA H200  held by a process that does not say who it is"
        ]
        assert 2 < len(moments) < 10
        looking.unlock()


KEPT = "kept by this worker, but {} devices are needed together"


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
        lease, _ = acquire(request_for(*GPUS, gpus=2), Machine(), refused=_never, pause=_never)
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

    def test_what_can_never_be_complete_is_not_kept(self, request_for: Requests, lock_dir: Path) -> None:
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


GATHERS = """
import time
def tell(blockers, waited):
    for blocker in blockers:
        if blocker.reason.startswith("kept"):
            say(blocker.reason)
request = leases.Request(
    devices=tuple(map(Device.from_wire, json.loads(sys.argv[2]))),
    lock_dir=Path(sys.argv[1]), worker="gw7", run="run-1", first=0, busy_memory=None, gpus=2,
)
leases.acquire(request, Idle(), refused=tell, pause=lambda seconds: time.sleep(seconds) or True)
"""

# So many leases, one after the other; a line in the log while each is held, and one before it is given back.
STORM = """
import os, random, sys, time
from pathlib import Path
from pytest_gpupool.leases import lease as leases
from pytest_gpupool.values.device import Size
from pytest_gpupool.devices.nvml import NvmlProbe, survey

lock_dir, log, run = sys.argv[1:4]
gpus, slots, rounds = map(int, sys.argv[4:])
dice = random.Random(os.getpid())
descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
devices = survey().devices

def say(word, lease):
    names = ",".join(device.id for device in lease.devices)
    os.write(descriptor, f"{os.getpid()} {word} {slots} {names}\\n".encode())

def pause(seconds):
    time.sleep(min(seconds, 0.02) * dice.random())
    return True

for _ in range(rounds):
    request = leases.Request(
        devices=devices, lock_dir=Path(lock_dir), worker="gw0", run=run, first=dice.randrange(4),
        busy_memory=Size.parse("512MiB"), gpus=gpus, slots=slots,
    )
    lease, _ = leases.acquire(request, NvmlProbe(), refused=lambda *_: None, pause=pause)
    assert lease is not None and len(set(lease.devices)) == gpus
    say("begins", lease)
    time.sleep(0.004 * dice.random())
    say("ends", lease)
    lease.release()
"""


class TestStorm:
    """Many workers of two runs, some of which are killed: nobody meets anybody, and everybody gets its turn."""

    WANTED = ((1, 30), (1, 30), (1, 30), (2, 12), (2, 12), (4, 6))  # devices and leases of each worker of a run

    @pytest.mark.parametrize("slots", [(1, 1), (2, 2), (1, 2)], ids=["exclusive", "shared", "both"])
    def test_no_overlap_and_no_deadlock(
        self, driver: Driver, lock_dir: Path, tmp_path: Path, slots: tuple[int, int]
    ) -> None:
        """Twelve workers, four devices; who is killed may hold some, gather, or just look."""
        log = tmp_path / "log"
        log.touch()
        workers = {
            self.start(driver, lock_dir, log, run, gpus, slots[run], rounds): rounds
            for run in (0, 1)
            for gpus, rounds in self.WANTED
        }
        try:
            killed = self.kill_some(list(workers), log)
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
        assert locked_devices([replace(ZERO, id=uuid) for uuid in driver.uuids], lock_dir) == ()
        assert not LockFile(lock_dir / "queue.lock").is_taken()

    @staticmethod
    def start(
        driver: Driver, lock_dir: Path, log: Path, run: int, gpus: int, slots: int, rounds: int
    ) -> subprocess.Popen[bytes]:
        """One worker."""
        args = [str(lock_dir), str(log), f"run-{run}", str(gpus), str(slots), str(rounds)]
        return subprocess.Popen([sys.executable, "-c", STORM, *args], env=driver.environ())

    @staticmethod
    def kill_some(workers: list[subprocess.Popen[bytes]], log: Path) -> set[subprocess.Popen[bytes]]:
        """SIGKILL four of them, as the log grows; say in the log when."""
        dice = random.Random(7)
        killed: set[subprocess.Popen[bytes]] = set()
        for number in range(4):
            grown_to(log, 40 * number + 20)
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


def _never(*args: object) -> NoReturn:
    raise AssertionError(f"called with {args}")
