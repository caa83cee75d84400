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
from support import Host, locked_files

from pytest_gpupool.leases.locking.anchors import anchored

FEW, MANY = 150, 5000
"""How often somebody has had a device when it ends."""

SAYS = """
import os, sys, time
log = os.open(os.environ["TORTURE_LOG"], os.O_WRONLY | os.O_APPEND)
def say(word, ids):
    os.write(log, f"{os.getpid()} {word} {' '.join(ids)}\\n".encode())
"""

COMMAND = (
    SAYS
    + """
ids = os.environ["GPUPOOL_DEVICES"].split(",")
say("begins", ids)
time.sleep(float(sys.argv[1]))
say("ends", ids)
"""
)

SUITE = """
    import pytest
    exec(open({says!r}).read())

    @pytest.mark.parametrize("case", range(1000))
    def test_case(case, gpu):
        say("begins", gpu.ids)
        time.sleep(0.02)
        say("ends", gpu.ids)
"""

# A program that knows the lock files alone; it sees to it that what it has locked is the file of that name.
STRANGER = (
    SAYS
    + """
import fcntl, random
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
            say("begins", [name])
            time.sleep(0.05)
            say("ends", [name])
        os.close(lock)
    except OSError:
        pass
    os.close(entrance)
"""
)


class Crowd:
    """Programs that come again and again, and what is done to them."""

    def __init__(self, host: Host, log: Path, stack: ExitStack) -> None:
        self.host = host
        self.log = log
        self.dice = random.Random(20261130)
        self.environ = host.environ(TORTURE_LOG=str(log))
        self.gate = host.directory / "gate"
        self.gate.touch()
        self._stack = stack
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
        """SIGKILL some process of it, and say so where nobody writes after its last line."""
        pid = self._victim()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            if self._is_stopped(pid):
                self._say(pid, "dies")
            os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """SIGSTOP some process, and let it go on after a while."""
        pid = self._victim()
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

    def _victim(self) -> int:
        return self.dice.choice([*self.host.processes()] or [0])

    def _exposed(self) -> set[str]:
        """The devices that somebody holds without a lock file."""
        assert self.host.driver is not None
        ours = {name.partition("/")[0] for name in anchored()} & set(self.host.driver.uuids)
        return ours - {name.removesuffix(".lock") for name in locked_files(self.host.lock_dir)}

    def _say(self, pid: int, word: str) -> None:
        with self.log.open("a") as file:
            file.write(f"{pid} {word}\n")

    @staticmethod
    def _is_stopped(pid: int) -> bool:
        for _ in range(1000):
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                return False
            if state in "TZX":
                return state == "T"
            time.sleep(0.001)
        return False


@pytest.fixture
def crowd(make_host: Callable[..., Host]) -> Iterator[Crowd]:
    """A host of eight GPUs, and nobody on it yet."""
    host = make_host(8)
    log = host.directory / "torture.log"
    log.touch()
    says = host.directory / "says.py"
    says.write_text(SAYS)
    host.write("test_suite.py", SUITE.format(says=str(says)))
    with ExitStack() as stack:
        crowd = Crowd(host, log, stack)
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
    lines = [line.split() for line in crowd.log.read_text().splitlines()]
    alone(lines)


def alone(lines: list[list[str]]) -> None:
    """Nobody begins with a device that another one has, unless that one died in between."""
    present: dict[str, set[str]] = {}
    for pid, word, *ids in lines:
        if word != "begins":
            present.pop(pid, None)
            continue
        for other, held in present.items():
            assert other == pid or not held & set(ids), (pid, ids, other)
        present[pid] = set(ids)
