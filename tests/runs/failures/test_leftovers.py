"""What tests leave running when their process has ended: it is ended, and named where it holds a GPU."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys

import psutil
import pytest
from made_workers import SLEEP, lives
from suites import prepare
from support import Host, wait_for

pytestmark = pytest.mark.usefixtures("leaves_nothing")

GIB = 2**30

SERVER = """
import os, pathlib, signal, sys, time
if sys.argv[1:]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(pathlib.Path(__file__).with_name("servers"), "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(600)
"""
# The server is on its GPU, which the test outside says, before the next test ends.
SUITE = """
import os, subprocess, sys
import pytest
from patience import lines, until

COMMAND = [sys.executable, "server.py"]

def daemon():
    parent = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
    subprocess.run([sys.executable, "-c", parent, *COMMAND], check=True)

def test_before(): pass

def test_starts_it():
    {how}
    until(lambda: lines("servers"), "it does not start")

def test_after():
    until(lambda: lines("go"), "nobody says go")
"""
WAYS = {
    "child": "subprocess.Popen(COMMAND)",
    "session": "subprocess.Popen(COMMAND, start_new_session=True)",
    "deaf": "subprocess.Popen([*COMMAND, 'deaf'])",
    "grandchild": "subprocess.Popen(['sh', '-c', f'{sys.executable} server.py; true'])",
    "daemon": "daemon()",
}
WORKERS = pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "n1"])


def run_with_server(host: Host, workers: tuple[str, ...], suite: str, *, on_gpu: bool) -> tuple[list[str], int]:
    """Run it; give what is said of the server, and its pid."""
    prepare(host)
    host.write("server.py", SERVER)
    host.write("test_suite.py", suite)
    running = host.start(*workers, "--gpupool-devices=1")
    assert host.driver is not None
    try:
        pid = int(wait_for(host.project / "servers")[0])
        if on_gpu:
            host.driver.processes(1, (pid, 3 * GIB + GIB // 5))
        host.write("go", "now\n")
        run = running.finish()
    finally:
        running.kill()
    assert run.status == 0, run.output
    return [line for line in run.stdout.splitlines() if "left a process behind" in line], pid


@WORKERS
@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS.keys())
def test_a_forgotten_server(host: Host, workers: tuple[str, ...], how: str) -> None:
    """It is ended, and named with the test that started it."""
    said, pid = run_with_server(host, workers, SUITE.format(how=how), on_gpu=True)
    assert len(said) == 1
    assert f"test_suite.py::test_starts_it left a process behind on GPU 1: pid {pid} (" in said[0]
    assert re.search(r"server\.py( deaf)?\), 3\.2 GiB; it was ended$", said[0])
    host.wait_until_gone()
    assert not lives(pid)


@WORKERS
def test_one_that_is_on_no_gpu_is_ended_without_a_word(host: Host, workers: tuple[str, ...]) -> None:
    """As helpers of libraries are."""
    said, pid = run_with_server(host, workers, SUITE.format(how=WAYS["child"]), on_gpu=False)
    assert not said
    host.wait_until_gone()
    assert not lives(pid)


@WORKERS
def test_a_fixture_that_tears_its_server_down(host: Host, workers: tuple[str, ...]) -> None:
    """Nothing is said, though it was on the GPU from test to test."""
    fixture = """
    @pytest.fixture(scope="session", autouse=True)
    def server():
        process = subprocess.Popen(COMMAND)
        yield
        process.terminate()
        process.wait()
        assert process.returncode == -15
    """
    said, pid = run_with_server(host, workers, SUITE.format(how="pass") + dedented(fixture), on_gpu=True)
    assert not said
    assert not lives(pid)


def dedented(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines())


def test_a_program_that_calls_pytest_keeps_what_it_had(host: Host) -> None:
    """Its own children, and what is in its group, live on; so does multiprocessing's helper, which ends with it."""
    host.write(
        "program.py",
        """
        import os, subprocess, sys
        import pytest
        own = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2)]
        assert pytest.main(["-p", "no:cacheprovider", "test_it.py"]) == 0
        from multiprocessing import resource_tracker
        helper = resource_tracker._resource_tracker
        print([one.poll() for one in own], os.waitpid(helper._pid, os.WNOHANG))
        for one in own:
            one.communicate()
        """,
    )
    host.write(
        "test_it.py",
        """
        import subprocess, sys
        from multiprocessing import shared_memory

        def test_it():
            memory = shared_memory.SharedMemory(create=True, size=10)
            memory.close()
            memory.unlink()
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        """,
    )

    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=host.project,
        env=host.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[None, None] (0, 0)"
    assert "died" not in done.stderr
    host.wait_until_gone()


NAMELESS = """
    import os, signal, subprocess, sys, threading, time
    import pytest
    from patience import lines, until

    COMMAND = [sys.executable, "-ISc", open("server.py").read()]
    OPTIONS = {"env": {}, "start_new_session": True}

    def daemon():
        parent = "import subprocess, sys; subprocess.Popen(sys.argv[1:], env={}, start_new_session=True)"
        subprocess.run([sys.executable, "-ISc", parent, *COMMAND], check=True, **OPTIONS)

    def in_thread(what):
        thread = threading.Thread(target=what)
        thread.start()
        thread.join()

    @pytest.mark.gpupool(timeout=FOREVER)
    def test_starts_them():
        for start in (lambda: subprocess.Popen(COMMAND, **OPTIONS), daemon):
            start()
            in_thread(start)
        until(lambda: len(lines("servers")) == 4, "they do not start")
        END
"""
"""Four processes that have neither the worker's environment nor its session, two of which have lost their parent."""


NAMELESS_SERVER = """
import os, time
with open("servers", "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(600)
"""


@pytest.mark.parametrize("end", ["passes", "crashes", "timeout", "controller", "plain"])
def test_processes_of_which_nothing_tells_whose_they_are(host: Host, end: str) -> None:
    """They end with their worker, however that ends; who was started elsewhere in the same way lives on."""
    prepare(host)
    code = {"crashes": "os.kill(os.getpid(), signal.SIGKILL)", "passes": "pass", "plain": "pass"}
    suite = NAMELESS.replace("END", code.get(end, "time.sleep(600)"))
    host.write("server.py", NAMELESS_SERVER)
    host.write("test_suite.py", suite.replace("FOREVER", "15" if end == "timeout" else "None"))
    stranger = subprocess.Popen([sys.executable, "-ISc", SLEEP], env={}, start_new_session=True)
    servers: list[psutil.Process] = []
    running = host.start(*(() if end == "plain" else ("-n1", "--max-worker-restart=0")))
    try:
        servers = [psutil.Process(int(line)) for line in wait_for(host.project / "servers", 4)]
        if end == "controller":
            running.process.kill()
            running.process.wait()
        else:
            running.finish()
        gone, left = psutil.wait_procs(servers, timeout=20)
        assert not left
        assert len(gone) == 4
        assert stranger.poll() is None
    finally:
        running.kill()
        for process in servers:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        stranger.kill()
        stranger.wait()
    host.wait_until_gone()
