"""The fork server: its processes are as Python would have started them, whatever becomes of it or of its client."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_gpupool.forkserver.client import ForkServer, Unavailable
from pytest_gpupool.forkserver.forked import UNKNOWN_STATUS, ForkedProcess
from pytest_gpupool.processes import table

PROGRAM = "import sys; exec(sys.stdin.readline())"
TELL = "import os, sys, json; told = lambda **facts: (sys.stdout.write(json.dumps(facts)), sys.stdout.flush()); "

Started = Callable[..., ForkServer]


@pytest.fixture
def server() -> Iterator[Started]:
    """Starts servers, which are closed afterwards."""
    with contextlib.ExitStack() as stack:

        def start(*modules: str) -> ForkServer:
            started = ForkServer(modules, sys.path, PROGRAM)
            stack.callback(started.close)
            return started

        yield start


def run(process: ForkedProcess, code: str) -> None:
    """Have a process run a line."""
    process.stdin.write(f"{TELL}{code}\n".encode())
    process.stdin.flush()


def facts(process: ForkedProcess, code: str) -> dict[str, Any]:
    """Run a line, and return what it has told until its end."""
    run(process, code)
    told: dict[str, Any] = json.loads(process.stdout.read())
    process.wait()
    return told


def parent_of(pid: int) -> int:
    """The number of the process that is its parent, which is the server's."""
    known = table.process(pid)
    assert known is not None
    return known.parent


def test_a_process_is_as_python_starts_one(server: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of its client at that moment it has environment, directory and error output; its ``__main__`` is its own."""
    started = server()
    monkeypatch.setenv("ONLY_NOW", "ä\n=")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    code = (
        "import signal; told(environ=dict(os.environ), cwd=os.getcwd(), names=sorted(globals()), argv=sys.argv, "
        "path=sys.path, given=sys.orig_argv[:3], usual=[signal.getsignal(number) is signal.getsignal(number) and "
        "str(signal.getsignal(number)) for number in (2, 15, 17)], open=sorted(map(int, os.listdir('/proc/self/fd'))))"
    )
    ours = facts(started.start(), code)
    command = [sys.executable, "-u", "-c", PROGRAM]
    # Given, since a library such as readline may have set variables of which Python does not know.
    environ = dict(os.environ)
    done = subprocess.run(command, input=f"{TELL}{code}\n", capture_output=True, text=True, check=True, env=environ)
    usual = json.loads(done.stdout)
    assert usual["environ"]["ONLY_NOW"] == "ä\n="
    assert {key: ours[key] for key in usual if key != "usual"} == {key: usual[key] for key in usual if key != "usual"}
    assert [word.split(" at ")[0] for word in ours["usual"]] == [word.split(" at ")[0] for word in usual["usual"]]


def test_modules_are_there_already(server: Started) -> None:
    """What is not there is the process's to miss; what it changes is its own."""
    started = server("fractions", "there.is.none")
    code = "told(has='fractions' in sys.modules); sys.modules.clear()"
    assert [facts(started.start(), code)["has"] for _ in range(3)] == [True] * 3


def test_how_a_process_ends(server: Started) -> None:
    """Its exit status, or the signal; known as often as it is asked for."""
    started = server()
    exits, killed, crashed = started.start(), started.start(), started.start()
    run(exits, "sys.exit(7)")
    assert (exits.wait(), exits.poll(), exits.returncode) == (7, 7, 7)
    assert killed.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    run(crashed, "os.abort()")
    assert crashed.wait() == -signal.SIGABRT
    for process in (exits, killed, crashed):
        process.terminate()  # of one that has ended: nothing


def test_a_process_that_has_ended_keeps_its_number(server: Started) -> None:
    """Until it is asked how, so that nobody else is taken for it."""
    process = server().start()
    run(process, "sys.exit(0)")
    assert process.stdout.read() == b""
    deadline = time.monotonic() + 60
    while table.process(process.pid).lives and time.monotonic() < deadline:  # type: ignore[union-attr]
        time.sleep(0.01)
    assert table.process(process.pid) is not None
    assert process.wait() == 0
    assert table.process(process.pid) is None


def test_the_server_is_killed(server: Started) -> None:
    """Processes live on, nobody knows how they end, and no more are started."""
    started = server()
    process = started.start()
    os.kill(parent_of(process.pid), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        try:
            started.start().kill()
        except Unavailable:
            break
        assert time.monotonic() < deadline
    assert facts(process, "told(lives=True)") == {"lives": True}
    assert process.poll() == UNKNOWN_STATUS
    with pytest.raises(Unavailable):
        started.start()


@pytest.mark.parametrize("name", ["PYTHONPATH", "LD_LIBRARY_PATH", "LC_ALL"])
def test_what_only_a_start_hears(server: Started, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whoever has changed it gets no process that has not heard of it, and one as soon as it is as before."""
    started = server()
    with monkeypatch.context() as changed:
        changed.setenv(name, "changed")
        with pytest.raises(Unavailable, match="environment has changed"):
            started.start()
    assert facts(started.start(), "told(fine=True)") == {"fine": True}


@pytest.mark.parametrize(
    ("site", "why"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()", "a thread"),
        ("import sys\nsys.setprofile(lambda *_: None)", "traced"),
    ],
    ids=["thread", "traced"],
)
def test_where_forking_is_not_safe(
    server: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, site: str, why: str
) -> None:
    """Something in every Python of this environment runs a thread, or traces: no process is forked from that."""
    (tmp_path / "sitecustomize.py").write_text(site)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Unavailable, match=why):
        server().start()


@pytest.mark.skipif(sys.version_info[:3] == (3, 13, 0), reason="this Python cannot import socket in such a place")
def test_a_directory_that_is_gone(server: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever is started there is there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    started = server()
    gone.rmdir()
    assert facts(started.start(), "told(where=os.readlink('/proc/self/cwd'))") == {"where": f"{gone} (deleted)"}
    monkeypatch.chdir(tmp_path)


def test_the_client_dies_while_a_child_of_its_holds_the_connection() -> None:
    """The server sees the end of the process, not that of the connection."""
    code = (
        "import os, sys, time\n"
        "from pytest_gpupool.forkserver.client import ForkServer\n"
        f"server = ForkServer([], sys.path, {PROGRAM!r})\n"
        "process = server.start()\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(600)\n"
        "print(os.getpid(), process.pid, child, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        _, pid, child = map(int, client.stdout.readline().split())
        server = parent_of(pid)
        client.kill()
        deadline = time.monotonic() + 60
        while table.exists(server) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not table.exists(server)
        assert table.exists(child)
        os.kill(child, signal.SIGKILL)
