"""SIGKILL of the controller: whatever the workers do, they end, with all that they started, and their GPUs are free."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from suites import BUSY, DONE, LEFT, prepare
from support import LIMIT, Host, Running, wait_for

from pytest_gpupool.processes import table

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def kill(running: Running) -> None:
    """Kill the controller alone, as the kernel does where memory runs out."""
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()


def program(host: Host, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the program gpupool in the project."""
    command = [sys.executable, "-m", "pytest_gpupool", *args]
    return subprocess.run(command, cwd=host.project, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("whole_group", [False, True], ids=["controller", "group"])
def test_workers_end_whatever_they_do(host: Host, whole_group: bool) -> None:
    """One sleeps, one is in a C call with the GIL, one ignores signals, one has children that left its session.

    Afterwards the record tells what was known, and a resumed run does the rest.
    """
    prepare(host)
    host.write("test_suite.py", BUSY)
    running = host.start("-n4")
    try:
        wait_for(host.project / "busy", 4)
        assert host.held() == {0, 1, 2, 3}
        if whole_group:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()
        else:
            kill(running)
        host.wait_until_gone()
    finally:
        running.kill()
    assert host.held() == set()

    told = program(
        host, "report", "latest", "--json=report.json", "--junit=junit.xml", "--html=r.html", "--markdown=r.md"
    )
    assert told.returncode == 0, told.stderr
    assert "was killed, incomplete: 6 not-run, 4 passed" in told.stdout
    report = json.loads((host.project / "report.json").read_text())
    assert (report["run"]["exit_status"], report["run"]["complete"], report["run"]["collected"]) == (None, False, 10)
    outcomes = {test["nodeid"].split("::")[1]: test["outcome"] for test in report["tests"]}
    assert outcomes == {**dict.fromkeys(DONE, "passed"), **dict.fromkeys(LEFT, "not-run")}
    metrics = {test["nodeid"].split("::")[1]: [one["value"] for one in test["metrics"]] for test in report["tests"]}
    assert [metrics[name] for name in DONE] == [[case] for case in range(4)]
    assert {worker["exit"] for worker in report["workers"]} == {"killed"}
    assert len(report["devices"]) == 4
    for name in ("r.html", "r.md"):
        assert "test_holds_the_gil" in (host.project / name).read_text().replace("&#95;", "_")

    (host.project / "busy").unlink()
    host.write("again", "now\n")
    rest = host.pytest("-n4", "--gpupool-resume", "--gpupool-wait=0")
    assert rest.status == 0, rest.output
    assert rest.outcomes == dict.fromkeys([*DONE, *LEFT], "passed")


def test_workers_that_wait_for_a_gpu_end(host: Host) -> None:
    """They have no lease, and hold nobody up who comes later."""
    prepare(host)
    hold = "from patience import say\nimport time\ndef test_hold():\n    say('held')\n    time.sleep(600)\n"
    host.write("test_hold.py", hold)
    host.write("other/test_other.py", "def test_other(): pass\n")
    holder = host.start("-n4", "test_hold.py", "--gpupool-devices=0", "--gpupool-json=a.json", "--junitxml=a.xml")
    try:
        wait_for(host.project / "held")
        waiting = host.start("-n2", "other", "--gpupool-devices=0")
        try:
            assert waiting.process.stdout is not None
            while "waits for a device" not in (line := waiting.process.stdout.readline()):
                assert line, "it ended"
            kill(waiting)
        finally:
            waiting.kill()
        kill(holder)
        host.wait_until_gone()
    finally:
        holder.kill()
    run = host.pytest("-n1", "other", "--gpupool-devices=0", "--gpupool-wait=0")
    assert run.status == 0, run.output


def test_a_forked_child_of_the_controller_hides_nothing(host: Host) -> None:
    """It has all that the controller has open, and lives on; the workers end."""
    prepare(host)
    fork = "child = os.fork()\n    if not child:\n        while True: signal.pause()\n"
    hook = f"def pytest_xdist_node_collection_finished():\n    {fork}    open('forked', 'a').write(f'{{child}}\\n')\n"
    host.write("conftest.py", f"import os, signal\n{hook}")
    hold = "from patience import say\nimport time\ndef test_hold():\n    say('held')\n    time.sleep(600)\n"
    host.write("test_hold.py", hold)
    running = host.start("-n1", "test_hold.py")
    children = []
    try:
        wait_for(host.project / "held")
        children = [int(line) for line in (host.project / "forked").read_text().split()]
        kill(running)
        deadline = time.monotonic() + LIMIT
        while host.held():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert children
        assert all(map(psutil.pid_exists, children))
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        running.kill()
    host.wait_until_gone()


def test_nobody_else_is_ended(tmp_path: Path) -> None:
    """A process whose number a worker had before lives on; so does one without the marks of the run."""
    source = "import sys; from pytest_gpupool.processes.guardian import main\nmain(None)\n"
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        known = table.identity(sleeper.pid)
        assert known is not None
        before = known._replace(started=known.started - 1)
        lines = json.dumps([before, {"GPUPOOL_RUN": "no such run"}]) + "\n" + '[17, "cut off'
        subprocess.run([sys.executable, "-c", source], input=lines, text=True, check=True, cwd=tmp_path)
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()
