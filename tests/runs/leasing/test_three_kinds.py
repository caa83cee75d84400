"""Programs of three kinds on one host, killed, stopped, robbed of their lock files: never are two on one GPU."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from made_leases import HANGS
from support import Host, anchors_of_these_tests, processes_with

from pytest_gpupool.processes.kernel.locks import FileKey, flocks

FEW, MANY = 60, 5000
"""How often somebody has had a device when it ends."""

PRESENT = """
import contextlib, errno, fcntl, os, struct

@contextlib.contextmanager
def present(ids):
    # Have these devices, and write down who has one of them too. The kernel knows who is there: these locks are a
    # process's own, no child has them, and they end with it, however that ends.
    held = []
    try:
        for name in ids:
            held.append(os.open(os.environ["TORTURE"] + "/" + name, os.O_RDWR | os.O_CREAT))
            _have(held[-1])
        _write("begins", *ids)
        yield
        _write("ends", *ids)
    finally:
        for file in held:
            os.close(file)

def _have(file):
    whole = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    while True:
        try:
            return fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            kind, _, _, _, owner = struct.unpack("hhqqi", fcntl.fcntl(file, fcntl.F_GETLK, whole))
            if kind != fcntl.F_UNLCK and not _is_ending(owner):
                return _write("beside", str(owner))

def _is_ending(pid):
    # Its files are closed one after the other: the lease may be free before this lock is.
    try:
        with open(f"/proc/{pid}/stat") as file:
            return bool(int(file.read().rpartition(")")[2].split()[6]) & 0x4)  # PF_EXITING, linux/sched.h
    except (FileNotFoundError, ProcessLookupError):
        return True

def _write(word, *rest):
    os.write(log, f"{os.getpid()} {word} {' '.join(rest)}\\n".encode())

log = os.open(os.environ["TORTURE"] + "/log", os.O_WRONLY | os.O_APPEND)
"""

COMMAND = (
    PRESENT
    + """
import sys, time
with present(os.environ["GPUPOOL_DEVICES"].split(",")):
    time.sleep(float(sys.argv[1]))
"""
)

SUITE = """
    import time
    import pytest
    exec(open({present!r}).read())

    @pytest.mark.parametrize("case", range(1000))
    def test_case(case, gpu):
        with present(gpu.ids):
            time.sleep(0.02)
"""

# A program that knows the lock files alone; it sees to it that what it has locked is the file of that name.
STRANGER = (
    PRESENT
    + """
import random, sys, time
directory, gate, *ids = sys.argv[1:]
while True:
    time.sleep(random.random())
    entrance = os.open(gate, os.O_RDONLY)
    fcntl.flock(entrance, fcntl.LOCK_SH)
    name = random.choice(ids)
    try:
        lock = os.open(f"{directory}/{name}.lock", os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(f"{directory}/{name}.lock")):
            with present([name]):
                time.sleep(0.05)
        os.close(lock)
    except OSError:
        pass
    os.close(entrance)
"""
)


class Crowd:
    """Programs that come again and again, and what is done to them."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self.log = directory / "log"
        self.log.touch()
        self.dice = random.Random(20261130)
        self.environ = host.environ(TORTURE=str(directory))
        self.gate = host.directory / "gate"
        self.gate.touch()
        self._running: dict[subprocess.Popen[bytes], Callable[[], subprocess.Popen[bytes]]] = {}

    def keep(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        """Start a program, and again whenever it has ended."""
        process = start()
        self._running[process] = start

    def look_after(self) -> None:
        """Start those again that have ended."""
        for process in [process for process in self._running if process.poll() is not None]:
            self.keep(self._running.pop(process))

    def run(self, gpus: int) -> subprocess.Popen[bytes]:
        """``gpupool run``."""
        command = [sys.executable, "-m", "pytest_gpupool", "run", f"--gpus={gpus}", "--wait=600", "--"]
        program = [sys.executable, "-I", "-S", "-c", COMMAND, str(self.dice.random() / 5)]
        return self._start(*command, *program)

    def tests(self) -> subprocess.Popen[bytes]:
        """A pytest run with three workers."""
        name = f"records-{self.dice.randrange(10**9)}"
        off = ("-pno:randomly", "-pno:cacheprovider", "-pno:hypothesispytest", "-pno:rerunfailures")
        command = [sys.executable, "-m", "pytest", "-q", "-n3", f"--gpupool-dir={name}", "--gpupool-wait=600", *off]
        return self._start(*command)

    def stranger(self) -> subprocess.Popen[bytes]:
        """A program that locks by itself."""
        assert self.host.driver is not None
        places = (str(self.host.lock_dir), str(self.gate))
        return self._start(sys.executable, "-I", "-S", "-c", STRANGER, *places, *self.host.driver.uuids)

    def kill(self) -> None:
        """SIGKILL some process of it."""
        for pid in self._victim():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """SIGSTOP some process, and let it go on after a while."""
        for pid in self._victim():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self.dice.random())
                os.kill(pid, signal.SIGCONT)

    def clean(self) -> None:
        """Remove files, or the directory; strangers come again when those that hold devices have put theirs back."""
        with self.gate.open() as entrance:
            fcntl.flock(entrance, fcntl.LOCK_EX)
            if self.dice.random() < 0.5:
                shutil.rmtree(self.host.lock_dir, ignore_errors=True)
            else:
                for path in self.host.lock_dir.glob("*"):
                    path.unlink(missing_ok=True)
            deadline = time.monotonic() + HANGS
            while self._exposed():
                assert time.monotonic() < deadline, self._exposed()
                time.sleep(0.01)

    def end(self) -> None:
        """Kill all that is left of it."""
        for process in self._running:
            process.kill()
        for pid in self.host.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._running:
            process.wait()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        nothing = subprocess.DEVNULL
        return subprocess.Popen(
            command, cwd=self.host.project, env=self.environ, stdin=nothing, stdout=nothing, stderr=nothing
        )

    def _victim(self) -> list[int]:
        """One of its processes, if there is any."""
        pids = [*self.host.processes()]
        return [self.dice.choice(pids)] if pids else []

    def _exposed(self) -> set[str]:
        """The devices that somebody holds without having locked the lock file.

        Others may have locked that for the moment in which they find that it is held.
        """
        # First these: who gets one from now on has seen to it that its lock file is there.
        anchors = anchors_of_these_tests()
        locked = flocks()
        exposed = set()
        for name, inode in anchors.items():
            device = name.split("/")[2]
            if not processes_with([inode]).keys() & {*locked.get(self._lock_file(device), [])}:
                exposed.add(device)
        return exposed

    def _lock_file(self, device: str) -> FileKey:
        try:
            known = (self.host.lock_dir / f"{device}.lock").stat()
        except FileNotFoundError:
            return FileKey(0, 0, 0)
        return FileKey(os.major(known.st_dev), os.minor(known.st_dev), known.st_ino)


@pytest.fixture
def crowd(make_host: Callable[..., Host]) -> Iterator[Crowd]:
    """A host of eight GPUs, and nobody on it yet."""
    host = make_host(8)
    directory = host.directory / "torture"
    directory.mkdir()
    present = directory / "present.py"
    present.write_text(PRESENT)
    host.write("test_suite.py", SUITE.format(present=str(present)))
    with ExitStack() as stack:
        crowd = Crowd(host, directory)
        stack.callback(crowd.end)
        yield crowd


def test_no_two_on_one_gpu(crowd: Crowd, pytestconfig: pytest.Config) -> None:
    """Of 24 commands, 24 workers of 8 runs and 16 programs that lock by themselves; in the end every device is free."""
    for number in range(24):
        crowd.keep(lambda gpus=1 + number % 2: crowd.run(gpus))  # type: ignore[misc]
    for _ in range(8):
        crowd.keep(crowd.tests)
    for _ in range(16):
        crowd.keep(crowd.stranger)
    wanted = MANY if pytestconfig.getoption("long") else FEW
    while crowd.log.read_text().count("begins") < wanted:
        crowd.look_after()
        crowd.dice.choice([crowd.kill, crowd.kill, crowd.stop, crowd.clean])()
        time.sleep(crowd.dice.random())
    crowd.end()
    crowd.host.wait_until_gone()
    lines = crowd.log.read_text().splitlines()
    pids = {pid for line in lines if "beside" in line for pid in line.split()[::2]}
    assert not pids, "\n".join(line for line in lines if line.split()[0] in pids)
