"""A lease excludes every other process of this host, and ends with its own, however that ends."""

from __future__ import annotations

import getpass
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from pytest_gpupool import holders
from pytest_gpupool.errors import NoLease, UsageProblem
from pytest_gpupool.leases import (
    Blocker,
    Lease,
    Request,
    acquire,
    lock_directory,
    locked_devices,
    try_lease,
)
from pytest_gpupool.model import Device, Size, cpu_device
from pytest_gpupool.probe import DeviceFailed, GpuProcess, Usage

GIB = 2**30
NOBODY = 65534

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
import filelock, psutil, pytest_gpupool.holders, pytest_gpupool.probe
from pytest_gpupool import leases
from pytest_gpupool.errors import GpupoolError
from pytest_gpupool.model import Device

class Idle:
    def usage(self, device):
        return pytest_gpupool.probe.Usage(processes=(), memory_used=0)

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
def request_for(lock_dir: Path) -> Callable[..., Request]:
    """Makes requests for devices, the first GPU alone if not said otherwise."""

    def make(*devices: Device, first: int = 0, busy_memory: str | None = "512MiB") -> Request:
        size = None if busy_memory is None else Size.parse(busy_memory)
        return Request(
            devices=devices or (ZERO,), lock_dir=lock_dir, worker="gw0", run="run-1", first=first, busy_memory=size
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


def lock_file(directory: Path, device: Device = ZERO) -> Path:
    """Where the lock of a device lies."""
    return directory / f"{device.id}.0.lock"


Requests = Callable[..., Request]
Processes = Callable[..., Process]


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
    AS_NOBODY = f"import filelock, pytest_gpupool.holders\nos.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"

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


def _never(*args: object) -> NoReturn:
    raise AssertionError(f"called with {args}")


class TestDirectory:
    """Where the lock files lie."""

    def test_the_option_comes_before_the_environment(self, tmp_path: Path) -> None:
        """Parents are made, and a directory that is there stays as it is."""
        environ = {"GPUPOOL_LOCK_DIR": str(tmp_path / "environment")}
        (tmp_path / "there").mkdir(mode=0o700)
        assert lock_directory(str(tmp_path / "a" / "option"), environ) == tmp_path / "a" / "option"
        assert lock_directory(str(tmp_path / "there"), environ) == tmp_path / "there"
        assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o700
        assert not (tmp_path / "environment").exists()
        assert lock_directory(None, environ) == tmp_path / "environment"

    def test_a_relative_path_is_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A worker may have another working directory."""
        monkeypatch.chdir(tmp_path)
        assert lock_directory("locks", {}) == tmp_path / "locks"

    @pytest.mark.parametrize("below", [".", "below"])
    def test_a_file_in_its_place(self, tmp_path: Path, below: str) -> None:
        """Or in the place of a parent; the run ends with status 4."""
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / below
        with pytest.raises(UsageProblem) as raised:
            lock_directory(str(path), {})
        assert str(raised.value) in (
            f"the lock directory {path} is not a directory; choose one with --gpupool-lock-dir",
            f"the lock directory {path} cannot be made: Not a directory; choose one with --gpupool-lock-dir",
        )
        assert raised.value.exit_status == 4

    @pytest.mark.parametrize(
        ("setting", "directory"),
        [
            ("mount -t tmpfs none /dev/shm", "/dev/shm/gpupool"),
            ("mount -t tmpfs -o ro none /dev/shm", "$TMPDIR/gpupool"),
            (
                "mount -t tmpfs none /dev/shm && mkdir /dev/shm/gpupool"
                " && mount -t tmpfs -o mode=1777 none /dev/shm/gpupool && mount -o remount,ro /dev/shm",
                "/dev/shm/gpupool",
            ),
        ],
        ids=["shared memory", "cannot be written", "is there already"],
    )
    @pytest.mark.parametrize("variable", ["unset", "empty"])
    def test_without_a_choice(self, tmp_path: Path, setting: str, directory: str, variable: str) -> None:
        """Shared memory, else the temporary directory; where others lock in shared memory, everybody does."""
        source = (
            "import stat\nfrom pytest_gpupool.leases import lock_directory\n"
            "path = lock_directory(None)\nprint(path, oct(stat.S_IMODE(path.stat().st_mode)))\n"
        )
        environ = {name: value for name, value in os.environ.items() if name != "GPUPOOL_LOCK_DIR"}
        environ |= {"TMPDIR": str(tmp_path)} | ({"GPUPOOL_LOCK_DIR": ""} if variable == "empty" else {})
        shell = f'{setting} || exit 77; exec "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", shell, "sh", sys.executable, "-c", source],
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )
        if os.geteuid() != 0 or done.returncode == 77 or "unshare" in done.stderr:
            pytest.skip("only root can have a shared memory of its own, and not in every container")
        assert done.stdout == f"{directory.replace('$TMPDIR', str(tmp_path))} 0o1777\n", done.stderr


class TestNetworkFileSystem:
    """A lock on a network file system may exclude nobody."""

    @pytest.fixture
    def mounts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Makes psutil see these mounts, by a stand-in for /proc."""
        proc = tmp_path / "proc"
        (proc / "self").mkdir(parents=True)
        (proc / "filesystems").write_text("nodev\ttmpfs\nnodev\tnfs4\nnodev\tfuse\n\text4\n")
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(proc))

        def write(*lines: tuple[Path | str, str]) -> None:
            text = "".join(f"source {str(path).replace(' ', chr(92) + '040')} {kind} rw 0 0\n" for path, kind in lines)
            (proc / "self" / "mounts").write_text(text)

        return write

    @pytest.mark.parametrize("kind", ["nfs", "nfs4", "lustre", "ceph", "cifs", "fuse.sshfs", "beegfs", "gpfs"])
    def test_it_is_refused(self, tmp_path: Path, mounts: Callable[..., None], kind: str) -> None:
        """The error names its kind and another place."""
        mounts(("/", "ext4"), (tmp_path, kind), ("/dev/shm", "tmpfs"))
        path = tmp_path / "locks"
        with pytest.raises(UsageProblem) as raised:
            lock_directory(str(path), {})
        assert str(raised.value) == (
            f"the lock directory {path} lies on a network file system ({kind}), where locks do not exclude; "
            "choose one of this host with --gpupool-lock-dir, such as /dev/shm/gpupool"
        )

    def test_a_link_to_it_is_refused(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """Where it leads counts."""
        (tmp_path / "home").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "home")
        mounts(("/", "ext4"), (tmp_path / "home", "nfs4"))
        with pytest.raises(UsageProblem, match=r"lies on a network file system \(nfs4\)"):
            lock_directory(str(tmp_path / "link" / "locks"), {})

    def test_a_name_with_a_space(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """The kernel writes it in octal."""
        mounts(("/", "ext4"), (tmp_path / "my home", "nfs4"))
        with pytest.raises(UsageProblem, match=r"lies on a network file system \(nfs4\)"):
            lock_directory(str(tmp_path / "my home" / "locks"), {})

    def test_a_local_one_within_it_is_not(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """The innermost mount counts, not one of which the name is only the beginning."""
        mounts(("/", "ext4"), (tmp_path, "nfs4"), (tmp_path / "local", "ext4"), (tmp_path / "local/lo", "nfs4"))
        assert lock_directory(str(tmp_path / "local" / "locks"), {}).is_dir()

    def test_the_later_of_two_mounts_at_one_place_counts(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """It hides the earlier one."""
        mounts(("/", "ext4"), (tmp_path, "nfs4"), (tmp_path, "tmpfs"))
        assert lock_directory(str(tmp_path / "locks"), {}).is_dir()
        mounts(("/", "ext4"), (tmp_path, "tmpfs"), (tmp_path, "nfs4"))
        with pytest.raises(UsageProblem, match="nfs4"):
            lock_directory(str(tmp_path / "locks"), {})

    def test_where_nothing_is_known_nothing_is_refused(self, tmp_path: Path, mounts: Callable[..., None]) -> None:
        """A container may hide its mounts."""
        mounts()
        assert lock_directory(str(tmp_path / "locks"), {}).is_dir()
