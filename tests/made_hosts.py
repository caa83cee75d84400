"""Hosts whose GPUs are like no other test's, the program gpupool on them, and a person's shell on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from standin import Driver, Gpu
from support import Host
from terminals import Picture

GIB = 2**30

LIMIT = 60.0
"""Seconds after which a short command hangs for sure."""
GPUPOOL = [sys.executable, "-m", "pytest_gpupool"]

# Lines are written at once: with PYTHONUNBUFFERED print() writes word by word, and a shell's prompt comes between.
SAY = """
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
"""

# A command that says what it hears: signals as they come, and what is typed with how many there were.
LISTENER = f"""
import os, signal, sys
{SAY}
heard = []
def hear(number, frame):
    heard.append(signal.Signals(number).name)
    say("heard", *heard)
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), hear)
say("ready", f"{{os.getpid()}}.")
while line := sys.stdin.readline():
    say("read", line.strip(), "after", len(heard))
"""

# It does not read; the signals that it is told to ignore do nothing.
SLEEPER = f"""
import os, signal, sys, time
{SAY}
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), lambda number, frame: say("heard", signal.Signals(number).name))
say("ready", f"{{os.getpid()}}.")
while True:
    time.sleep(1000)
"""


def make_host(libraries: Path, directory: Path, count: int, **fields: Any) -> Host:
    """A host with so many GPUs. Where they had ids that others' have as well, those could hold them."""
    usual: dict[str, Any] = {"name": "NVIDIA H200", "memory": 141 * GIB}
    gpus = [Gpu(f"GPU-{uuid.uuid4()}", **(usual | fields)) for _ in range(count)]
    return Host(directory, Driver(libraries, directory / "nvml-state", gpus))


def label(host: Host, number: int) -> str:
    """How lines about a GPU begin."""
    return f"GPU {number}  NVIDIA H200"


def ids(host: Host) -> tuple[str, ...]:
    """The UUIDs of the GPUs."""
    assert host.driver is not None
    return host.driver.uuids


class Program:
    """The program gpupool, or another one, that goes on; its output can be read meanwhile."""

    def __init__(self, host: Host, *args: object, stdin: int = subprocess.DEVNULL, **changes: str | None) -> None:
        place = host.directory / f"program{len(list(host.directory.glob('program*')))}"
        self._logs = (place.with_suffix(".out"), place.with_suffix(".err"))
        with self._logs[0].open("w") as out, self._logs[1].open("w") as err:
            self.process = subprocess.Popen(
                [*GPUPOOL, *map(str, args)],
                cwd=host.project,
                env=host.environ(**changes),
                stdin=stdin,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._logs[0].read_text()

    @property
    def err(self) -> str:
        return self._logs[1].read_text()

    def until(self, text: str) -> str:
        """Wait until either stream has it; return both."""
        deadline = time.monotonic() + LIMIT
        while text not in (said := self.out + self.err):
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.01)
        return said

    def finish(self) -> tuple[int, str, str]:
        """Wait for its end; return the exit status and what it said."""
        status = self.process.wait(LIMIT)
        assert "Traceback" not in self.err, self.err
        return status, self.out, self.err

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it and what it started."""
        # The command is in a group of its own.
        for pid in sessions_processes(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


class Shell:
    """A person's interactive shell on a terminal."""

    def __init__(self, host: Host, *command: str, columns: int = 100, lines: int = 30, **changes: str | None) -> None:
        usual = {
            "TERM": "xterm-256color",
            "COLUMNS": None,
            "LINES": None,
            "LANG": "C.UTF-8",
            "PS1": "$ ",
            "HISTFILE": None,
        }
        environ = host.environ(**(usual | changes))
        run = host.write("gpupool", f'#!/bin/sh\nexec {" ".join(GPUPOOL)} "$@"\n')
        run.chmod(0o755)
        environ["PATH"] = f"{run.parent}:{Path(sys.executable).parent}:{environ['PATH']}"
        words = command or ("bash", "--norc", "--noprofile", "-i")
        self.pid, descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(host.project)
            os.execvpe(words[0], words, environ)
        self.picture = Picture(descriptor, columns=columns, lines=lines)
        self._status: int | None = None
        self._asked = 0

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.picture.descriptor, keys.encode())

    def until(self, *texts: str) -> str:
        """Wait until all of these have been shown, and return everything that has."""
        deadline = time.monotonic() + LIMIT
        seen = ""
        while time.monotonic() < deadline:
            try:
                self.picture.look(0.02)
            except OSError:  # it has ended
                break
            seen = self.picture.everything
            if all(text in seen for text in texts):
                return seen
        raise AssertionError(f"never shown: {texts}\n{self.picture.everything}")

    def shown(self) -> str:
        """What is to be seen at this moment, without what has gone at the top."""
        with contextlib.suppress(OSError):
            return self.picture.look(0.02)
        return ""

    def status(self) -> str:
        """The exit status of the last command, as the shell says it."""
        self._asked += 1
        mark = f"status{self._asked}"
        self.type(f"echo {mark}'='$?'.'\n")  # what is typed is shown as well
        return self.until(f"{mark}=").partition(f"{mark}=")[2].partition(".")[0]

    def finish(self) -> int:
        """Wait for the shell's end; return its exit status."""
        with contextlib.suppress(OSError):
            while True:
                self.picture.look(0.1)
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self.picture.descriptor)
        return self._status

    def kill(self) -> None:
        """Hang up, and end it and what it started."""
        if self._status is None:
            for pid in sessions_processes(self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.finish()


def sessions_processes(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for directory in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(directory.name)) == session:
                found.append(int(directory.name))
    return found


def state(pid: int) -> str:
    """A process's state as the kernel has it, such as T for a stopped one; "" where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def wait_until(condition: Callable[[], bool], what: object = None) -> None:
    """Wait until it is so; fails where it never is."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
