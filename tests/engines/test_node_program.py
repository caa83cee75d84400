"""The program on a worker's host, and the process that the controller has of it: over pipes, as an engine's bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_hosts import wait_until

from pytest_gpupool.engines import node
from pytest_gpupool.engines.frames import DATA, GONE_STATUS, Frames, frame, says
from pytest_gpupool.engines.process import FOR_PYTEST, UNKNOWN_STATUS, EngineProcess, start_of
from pytest_gpupool.processes import table

LIMIT = 60.0

ECHO = "import sys; sys.stdout.write('1'); sys.stdout.flush(); [print(line, end='', flush=True) for line in sys.stdin]"
IMPATIENT = "from pytest_gpupool.engines import frames; frames.SILENCE_SECONDS = 1.0; frames.BEAT_SECONDS = 0.1; "


class Pipe:
    """A link to a node's program on this host."""

    def __init__(self, command: list[str], **environ: str) -> None:
        environ = {**os.environ, **environ}
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environ)

    def write(self, data: bytes) -> None:
        assert self.popen.stdin is not None
        while data:
            data = data[self.popen.stdin.write(data) or 0 :]

    def read(self) -> bytes:
        assert self.popen.stdout is not None
        return self.popen.stdout.read(1 << 16) or b""

    def waits_for(self) -> str:
        return ""

    def end(self) -> None:
        self.popen.kill()

    def end_words(self) -> str:
        return "the pipe broke"


def unique_run() -> str:
    """A run's id: what has the same marks is ended together, of other tests too."""
    return f"test-{uuid.uuid4()}"


Start = Callable[..., tuple[EngineProcess, Pipe]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a worker that runs some code, and ends it after the test."""
    with ExitStack() as stack:

        def begin(code: str, directory: Path = tmp_path, **environ: str) -> tuple[EngineProcess, Pipe]:
            pipe = Pipe(node.command(), **environ)
            stack.callback(pipe.popen.wait)
            process = EngineProcess(pipe, start_of(unique_run(), "gw0", ["-u", "-c", code], str(directory)))
            stack.callback(process.kill)
            assert process.stdin is not None
            for text in (b"first\n", b"second\n", b"third\n"):  # what execnet and xdist write at first
                process.stdin.write(text)
            return process, pipe

        yield begin


def read(process: EngineProcess, size: int) -> bytes:
    """So many bytes of its output."""
    assert process.stdout is not None
    data = b""
    while len(data) < size and (more := process.stdout.read(size - len(data))):
        data += more
    return data


def child_of(pipe: Pipe) -> psutil.Process:
    """The worker's process."""
    program = psutil.Process(pipe.popen.pid)
    wait_until(lambda: bool(program.children()))
    return program.children()[0]


@given(st.lists(st.tuples(st.sampled_from(b"DJEB"), st.binary(max_size=200))), st.lists(st.integers(1, 50)))
def test_frames_are_the_same_wherever_they_are_cut(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """Each comes whole, in order."""
    data, parts = b"".join(frame(bytes([kind]), payload) for kind, payload in sent), Frames()
    heard: list[tuple[bytes, bytes]] = []
    place = 0
    for cut in [*cuts, len(data)]:
        heard += parts.of(data[place : place + cut])
        place += cut
    assert heard == [(bytes([kind]), payload) for kind, payload in sent]


def test_bytes_there_and_back(start: Start) -> None:
    """The byte that execnet waits for is there at once, and once; what follows the first line waits for the worker."""
    process, _ = start(ECHO)
    assert read(process, 1) == b"1"
    assert read(process, 19) == b"first\nsecond\nthird\n"
    assert process.stdin is not None
    process.stdin.close()
    assert read(process, 1) == b""
    assert process.wait(LIMIT) == 0
    assert process.host


def test_what_the_environment_says_of_pytest_is_the_controllers(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its host has set of that is not the worker's; all else is."""
    for name in FOR_PYTEST:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:mine")
    names = [*FOR_PYTEST, "THERE"]
    process, _ = start(
        f"import os; print('1', [os.environ.get(name) for name in {names}])",
        PYTEST_ADDOPTS="-p no:theirs",
        PYTEST_PLUGINS="theirs",
        THERE="there",
    )
    assert read(process, 100) == b"1 ['-p no:mine', None, None, 'there']\n"


@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)])
def test_how_it_ended(start: Start, code: str, status: int) -> None:
    """Its host has seen it."""
    process, _ = start(code)
    assert process.wait(LIMIT) == status
    assert process.end_told is not None
    assert process.end_told["for_memory"] is False


def test_it_is_ended_with_all_that_it_has_started(start: Start) -> None:
    """By a signal first; a child in a session of its own is found by its marks."""
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], "
    process, pipe = start(code + "start_new_session=True); time.sleep(600)")
    worker = child_of(pipe)
    wait_until(lambda: bool(worker.children()))
    family = [worker, *worker.children()]
    process.end(signal.SIGTERM, 30.0)
    assert process.poll() == -signal.SIGTERM
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_what_it_leaves_is_told_and_ended(start: Start) -> None:
    """Also where it ends well."""
    process, _ = start("import subprocess; print('1', end=''); subprocess.Popen(['sleep', '611'])")
    assert process.wait(LIMIT) == 0
    assert process.end_told is not None
    assert [line.split(" (pid")[0] for line in process.end_told["left"]] == ["sleep 611"]
    assert not [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "611"]]


def test_its_stacks_and_its_output_are_asked_for(start: Start, tmp_path: Path) -> None:
    """As of a process of this host."""
    code = """
import os, tempfile, time
from pytest_gpupool.processes import stacks, termination
termination.become_group_leader()
file = tempfile.TemporaryFile()
file.write(b"captured"); file.flush()
open("told.new", "w").write(f"{os.getpid()} {stacks.offer_stacks()} {file.fileno()}")
os.rename("told.new", "told")
def where_it_hangs(): time.sleep(600)
where_it_hangs()
"""
    process, _ = start(code)
    wait_until((tmp_path / "told").exists)
    pid, descriptor, file = map(int, (tmp_path / "told").read_text().split())
    process.say("captures", pid=pid, descriptors={"stdout": file})
    assert process.ask("captured") == {"stdout": "captured"}
    assert "where_it_hangs" in process.ask("stacks", pid=pid, descriptor=descriptor)
    os.kill(pid, signal.SIGKILL)
    assert process.wait(LIMIT) == -9
    assert process.end_told is not None
    assert process.end_told["captured"] == {"stdout": "captured"}


def test_without_the_code_it_says_what_is_missing(start: Start, tmp_path: Path) -> None:
    """And ends."""
    process, _ = start(ECHO, tmp_path / "nowhere")
    process.wait(LIMIT)
    assert "No such file or directory" in process.end_words()
    assert str(tmp_path / "nowhere") in process.end_words()
    assert "the code has to lie in the same place on every host" in process.end_words()


def test_a_link_that_breaks_is_its_end(start: Start) -> None:
    """Nobody can say how it ended."""
    process, pipe = start("import time; time.sleep(600)")
    worker = child_of(pipe)
    pipe.popen.kill()
    assert process.wait(LIMIT) == UNKNOWN_STATUS
    assert process.end_words() == "the pipe broke"
    wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


@contextmanager
def alone(code: str, *, source: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A node's program with a worker that runs some code, to which nobody speaks any more."""
    command = node.command()
    command[-1] = source + command[-1] if not source else command[-1].replace("from pytest", source + "from pytest", 1)
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert program.stdin is not None
        program.stdin.write(says("start", **start_of(unique_run(), "gw0", ["-c", code], "/")) + frame(DATA, b""))
        program.stdin.flush()
        yield program
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("its word ends", b"pytest is gone, or the way to it\n"),
        ("it says nothing", b"nothing was heard of pytest for 1 s\n"),
    ],
)
def test_a_worker_ends_where_its_controller_is_gone(how: str, why: bytes) -> None:
    """Whether that is seen at once, or after a while without a word; who has placed it can tell why."""
    with alone("import time; time.sleep(600)", source=IMPATIENT if how == "it says nothing" else "") as program:
        wait_until(lambda: bool(psutil.Process(program.pid).children()))
        worker = table.identity(psutil.Process(program.pid).children()[0].pid)
        assert worker is not None
        if how == "its word ends":
            program.stdin.close()  # type: ignore[union-attr]
            program.stdin = None
        deadline = time.monotonic() + LIMIT
        while table.lives(worker):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert program.wait(LIMIT) == GONE_STATUS
        assert program.stderr is not None
        assert why in program.stderr.read()
