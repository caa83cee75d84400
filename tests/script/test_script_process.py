"""One program with all that it starts: what it writes is heard as it comes, and nothing of it lives on."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest
from support import LIMIT

from pytest_gpupool.script import process
from pytest_gpupool.script.process import Ended
from pytest_gpupool.script.result import ScriptError

DAEMON = """
import os, subprocess, sys, time
program = "import signal, sys, time; {deaf}print('up', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); "


class Heard:
    """What was heard of a program."""

    def __init__(self) -> None:
        self.data = {"stdout": b"", "stderr": b""}

    def __call__(self, stream: str, data: bytes) -> None:
        self.data[stream] += data


def run(code: str, heard: Heard | None = None, *, timeout: float | None = LIMIT) -> Ended:
    return process.run([sys.executable, "-uc", code], os.environ, heard or Heard(), timeout=timeout)


def ends(pid: int) -> bool:
    """Whether a process ends; a zombie has, and nobody may be left to wait for it."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("code", "status"), [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(0, 9)", -9)]
)
def test_how_it_ends(code: str, status: int) -> None:
    """By its status, or by a signal, which it may send its whole group."""
    assert run(code)[::2] == (status, False)


def test_output_is_heard_while_it_runs(tmp_path: Path) -> None:
    """It goes on only when what it wrote was heard."""
    word = tmp_path / "heard"

    class Answers(Heard):
        def __call__(self, stream: str, data: bytes) -> None:
            super().__call__(stream, data)
            word.touch()

    heard = Answers()
    code = f"import os, sys, time\nprint('out')\nwhile not os.path.exists({str(word)!r}): time.sleep(0.01)\n"
    assert run(f"{code}print('err', file=sys.stderr)", heard).returncode == 0
    assert heard.data == {"stdout": b"out\n", "stderr": b"err\n"}


def test_all_of_much_output_is_heard() -> None:
    """More than pipes hold, on both streams at once."""
    heard = Heard()
    code = "import os\nfor _ in range(64): os.write(1, b'x' * 99999); os.write(2, b'y' * 77777)"
    assert run(code, heard).returncode == 0
    assert {name: len(data) for name, data in heard.data.items()} == {"stdout": 64 * 99999, "stderr": 64 * 77777}


@pytest.mark.parametrize("deaf", ["", DEAF], ids=["", "deaf"])
def test_what_it_leaves_running_is_ended(monkeypatch: pytest.MonkeyPatch, deaf: str) -> None:
    """In a session of its own and without a parent, whatever it does with signals."""
    monkeypatch.setattr(process, "_GRACE", 0.2)
    heard = Heard()
    assert run(DAEMON.format(deaf=deaf), heard).returncode == 0
    assert ends(int(heard.data["stdout"]))


def test_a_limit_ends_all_of_it() -> None:
    """What it writes as it ends is heard."""
    heard = Heard()
    code = DAEMON.format(deaf="") + (
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('end', file=sys.stderr), sys.exit(7)))\n"
        "print('ready')\n"
        "while True: time.sleep(0.01)"
    )
    ended = process.run(
        [sys.executable, "-uc", code],
        os.environ,
        heard,
        timeout=1.0,
        now=lambda: 2.0 if b"ready" in heard.data["stdout"] else 0.0,
    )
    assert ended[::2] == (7, True)
    assert heard.data["stderr"] == b"end\n"
    assert ends(int(heard.data["stdout"].split()[0]))


def test_whatever_interrupts_us_ends_it() -> None:
    """As Ctrl-C, or a time limit of the test that runs it."""
    pids = []

    def interrupt(_stream: str, data: bytes) -> None:
        pids.append(int(data))
        raise KeyboardInterrupt

    code = "import os, time\nprint(os.getpid())\ntime.sleep(600)"
    with pytest.raises(KeyboardInterrupt):
        process.run([sys.executable, "-uc", code], os.environ, interrupt, timeout=None)
    assert not psutil.pid_exists(pids[0])


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        (b"#!/no/such/program\n", 0o755, "cannot be started: No such file or directory: is its first line"),
        (b"\x7fELF\0\0\0", 0o755, "cannot be started: Exec format error: is its first line"),
        (b"", 0o644, "cannot be started: Permission denied"),
    ],
)
def test_what_cannot_be_started(tmp_path: Path, text: bytes, mode: int, told: str) -> None:
    """It is said why."""
    program = tmp_path / "program"
    program.write_bytes(text)
    program.chmod(mode)
    with pytest.raises(ScriptError, match=told):
        process.run([str(program)], os.environ, Heard(), timeout=None)
    with pytest.raises(ScriptError, match="cannot be started: embedded null byte"):
        process.run([str(program), "a\0b"], os.environ, Heard(), timeout=None)


def test_it_has_no_terminal_input() -> None:
    """Who reads gets the end of the file, and no test hangs for a question."""
    assert run("input()").returncode == 1
