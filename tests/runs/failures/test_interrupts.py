"""Ctrl-C and SIGTERM: the run ends, whatever its tests do; what is known is reported, and what is left can be run."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from suites import BUSY, DONE, LEFT, prepare
from support import Host, Run, Running, Watched, wait_for

pytestmark = pytest.mark.usefixtures("leaves_nothing")

Send = Callable[[Running], None]


def to_the_controller(number: int) -> Send:
    """What sends a signal to the process that the user started."""
    return lambda running: os.kill(running.process.pid, number)


def to_the_group(number: int) -> Send:
    """What sends a signal to that process's group, as a terminal does."""
    return lambda running: os.killpg(running.process.pid, number)


@contextmanager
def another_run(host: Host, *devices: int) -> Iterator[Running]:
    """A run of somebody else's that holds these GPUs meanwhile; it must end well."""
    host.write(
        "other/test_other.py",
        f"""
        import pathlib, time
        import pytest

        @pytest.mark.parametrize("case", range({len(devices)}))
        def test_other(case):
            with open("held", "a") as file:
                file.write("held\\n")
            while not pathlib.Path("release").exists():
                time.sleep(0.01)
        """,
    )
    reports = ("--gpupool-dir=other/records", "--gpupool-json=other/report.json", "--junitxml=other/junit.xml")
    only = f"--gpupool-devices={','.join(map(str, devices))}"
    running = host.start("other", f"-n{len(devices)}", only, *reports)
    try:
        wait_for(host.project / "held", len(devices))
        yield running
        (host.project / "release").touch()
        assert (run := running.finish()).status == 0, run.output
    finally:
        running.kill()


def resume_option(run: Run) -> str:
    """The option that the terminal names for going on with what is left."""
    match = re.search(r"give the same command with (--gpupool-resume=\S+)", run.stdout)
    assert match, run.output
    return match[1]


@pytest.mark.parametrize(
    ("send", "status"),
    [
        pytest.param(to_the_controller(signal.SIGINT), 2, id="sigint"),
        pytest.param(to_the_controller(signal.SIGTERM), 143, id="sigterm"),
    ],
)
def test_a_busy_run_ends(make_host: Callable[..., Host], send: Send, status: int) -> None:
    """Its reports have what is known, fixtures are torn down, nothing is left, and another run goes on unharmed.

    The option that the terminal names has pytest run exactly the tests that have no result.
    """
    host = make_host(5)
    prepare(host)
    host.write("suite/test_suite.py", BUSY)
    host.write("pytest.ini", "[pytest]\npythonpath = .\n")
    with another_run(host, 4):
        others = host.processes()
        running = Watched(host, "suite", "-n4", "--gpupool-devices=0,1,2,3")
        try:
            wait_for(host.project / "busy", 4)
            send(running)
            run = running.finish()
        finally:
            running.kill()
        assert host.held() == {4}
        assert host.processes() == others
    assert run.status == status, run.output
    assert run.report["run"]["exit_status"] == status
    assert run.outcomes == {**dict.fromkeys(DONE, "passed"), **dict.fromkeys(LEFT, "not-run")}
    assert [run.metrics(name) for name in DONE] == [{"case": case} for case in range(4)]
    assert (run.report["run"]["complete"], run.report["run"]["finished"]) == (False, 4)
    assert run.exits == dict.fromkeys(["gw0", "gw1", "gw2", "gw3"], "killed")
    assert run.junit_outcomes == {**dict.fromkeys(DONE, "passed"), **dict.fromkeys(LEFT, "error")}
    assert wait_for(host.project / "torn down") == ["here"]
    assert "INTERNALERROR" not in run.output
    assert "6 of 10 collected tests have no result (not-run)" in run.stdout

    (host.project / "busy").unlink()
    host.write("again", "now\n")
    rest = host.pytest("suite", resume_option(run), "-n4", "--gpupool-devices=0,1,2,3", "--gpupool-wait=0")
    assert rest.status == 0, rest.output
    assert rest.outcomes == dict.fromkeys([*DONE, *LEFT], "passed")
    assert {
        test["nodeid"].split("::")[1] for test in rest.report["tests"] if test["run"] != rest.report["run"]["id"]
    } == {*DONE}
    assert rest.metrics("test_sleeps") == {"before": 1}


def test_a_second_ctrl_c_kills_what_still_runs(host: Host) -> None:
    """Who will not wait for fixtures to be torn down still gets the reports, and nothing is left behind."""
    prepare(host)
    host.write("test_suite.py", BUSY.replace('say("torn down")', 'say("tearing down"); time.sleep(600)'))
    running = host.start("-n4")
    try:
        wait_for(host.project / "busy", 4)
        to_the_group(signal.SIGINT)(running)
        wait_for(host.project / "tearing down")
        to_the_group(signal.SIGINT)(running)
        run = running.finish()
    finally:
        running.kill()
    assert run.status == 2, run.output
    assert run.outcomes == {**dict.fromkeys(DONE, "passed"), **dict.fromkeys(LEFT, "not-run")}
    assert {name: run.junit_outcomes.get(name) for name in DONE} == dict.fromkeys(DONE, "passed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["sigint", "sigterm"])
def test_a_run_without_workers_ends(host: Host, number: int) -> None:
    """Plain pytest as well tears down and reports; what ran has its result."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import time
        import pytest
        from patience import say

        @pytest.fixture
        def resource():
            yield
            say("torn down")

        def test_done(record_metric): record_metric("m", 1)
        def test_sleeps(resource, record_metric):
            record_metric("m", 2)
            say("busy")
            while True:  # a signal that comes just before a sleep is only heard after it
                time.sleep(0.05)
        def test_later(): pass
        """,
    )
    running = host.start()
    try:
        wait_for(host.project / "busy")
        to_the_controller(number)(running)
        run = running.finish()
    finally:
        running.kill()
    assert run.status == run.report["run"]["exit_status"] == (2 if number == signal.SIGINT else 143), run.output
    assert run.outcomes == {"test_done": "passed", "test_sleeps": "not-run", "test_later": "not-run"}
    assert run.metrics("test_done") == {"m": 1}
    assert run.junit_outcomes["test_done"] == "passed"
    assert run.exits == {"main": "finished"}
    assert wait_for(host.project / "torn down") == ["here"]
    assert resume_option(run)


def test_a_worker_that_waits_for_a_gpu_ends(host: Host) -> None:
    """It never ran a test, and is cancelled; whoever holds the GPU keeps it."""
    prepare(host)
    host.write(
        "suite/test_suite.py",
        """
        import time
        import pytest
        from patience import say

        @pytest.mark.parametrize("case", range(8))
        def test_case(case):
            say("busy")
            time.sleep(600)
        """,
    )
    host.write("pytest.ini", "[pytest]\npythonpath = .\n")
    with another_run(host, 0, 1):
        others = host.processes()
        running = Watched(host, "suite", "-n4")
        try:
            wait_for(host.project / "busy", 2)
            said = running.until(" waits for a device")
            to_the_group(signal.SIGINT)(running)
            run = running.finish()
        finally:
            running.kill()
        assert host.held() == {0, 1}
        assert host.processes() == others
    assert "GPU 0  Stand-in GPU  held by pid" in said
    assert run.status == 2, run.output
    assert run.outcomes == dict.fromkeys([f"test_case[{case}]" for case in range(8)], "not-run")
    assert sorted(run.exits.values()) == ["killed", "killed"]  # those that had a lease
    assert "INTERNALERROR" not in run.output


def test_workers_that_collect_end(host: Host) -> None:
    """Where no test has begun, the report says that nothing was collected."""
    prepare(host)
    host.write(
        "conftest.py",
        """
        import time
        from patience import WORKER, say

        if WORKER:
            say("busy")
            time.sleep(600)
        """,
    )
    host.write("test_suite.py", "def test_one(): pass\n")
    running = host.start("-n4")
    try:
        wait_for(host.project / "busy", 4)
        to_the_controller(signal.SIGTERM)(running)
        run = running.finish()
    finally:
        running.kill()
    assert run.status == 143, run.output
    assert run.outcomes == {}
    assert (run.report["run"]["collected"], run.report["run"]["complete"]) == (0, False)
    assert "INTERNALERROR" not in run.output
