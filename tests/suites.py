"""Suites and plugins that several tests run."""

from __future__ import annotations

from support import Host

PATIENCE = """
    import os
    import pathlib
    import time

    WORKER = os.environ.get("PYTEST_XDIST_WORKER")

    def lines(name):
        path = pathlib.Path(__file__).with_name(name)
        return path.read_text().splitlines() if path.exists() else []

    def say(name, text="here"):
        with open(pathlib.Path(__file__).with_name(name), "a") as file:
            file.write(f"{text}\\n")

    def until(condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.005)
"""
"""What the suites below wait with: bounded, so that a wrong order fails instead of hanging."""


ALL_WORKERS = """
    import pytest
    from patience import WORKER, lines, say, until

    @pytest.fixture(scope="session", autouse=True)
    def all_workers():
        say("up", WORKER)
        until(lambda: len(lines("up")) >= {count}, "not every worker got a test")
"""
"""Holds every worker's first test until each worker has one."""


def prepare(host: Host, *, workers: int = 0) -> None:
    """Write what the suites wait with, and let that many workers wait for each other."""
    host.write("patience.py", PATIENCE)
    if workers:
        host.write("conftest.py", ALL_WORKERS.format(count=workers))


BUSY = """
    import ctypes, os, signal, subprocess, sys, time
    import pytest
    from patience import lines, say, until

    AGAIN = bool(lines("again"))

    @pytest.mark.parametrize("case", range(4))
    def test_done(case, record_metric): record_metric("case", case)

    def busy():
        say("busy")
        until(lambda: len(lines("busy")) >= 4, "not all four are busy at once")
        return not AGAIN

    @pytest.fixture
    def resource():
        yield
        say("torn down")

    @pytest.mark.gpupool(stage=1)
    def test_sleeps(resource, record_metric):
        record_metric("before", 1)
        if busy():
            while True:  # a signal that comes just before a sleep is only heard after it
                time.sleep(0.05)

    @pytest.mark.gpupool(stage=1)
    def test_holds_the_gil():
        if busy():
            ctypes.PyDLL(None).sleep(600)

    @pytest.mark.gpupool(stage=1)
    def test_ignores_signals():
        if not AGAIN:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        if busy():
            while True: time.sleep(0.05)

    @pytest.mark.gpupool(stage=1)
    def test_has_children():
        program = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); signal.pause()"
        command = [sys.executable, "-c", program]
        children = []
        for new_session in () if AGAIN else (False, True):
            children.append(subprocess.Popen(command, start_new_session=new_session, stdout=subprocess.PIPE))
            children[-1].stdout.readline()
        if busy():
            children[-1].wait()

    @pytest.mark.gpupool(stage=2)
    @pytest.mark.parametrize("case", ["plain", "with [brackets] and blanks"])
    def test_later(case): pass
"""


DONE = [f"test_done[{case}]" for case in range(4)]


LEFT = [
    "test_sleeps",
    "test_holds_the_gil",
    "test_ignores_signals",
    "test_has_children",
    "test_later[plain]",
    "test_later[with [brackets] and blanks]",
]
