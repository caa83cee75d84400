"""Runs that are killed and stopped again and again, and resumed until they end: nothing is lost, nothing counts twice.

Some of their tests leave children behind that they have forked, and with ``--long``, which has fifty times as many
rounds, some of their workers do not end by themselves. Seeded; what a round does is in its messages.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from typing import Any

import pytest
from support import Host, Running

pytestmark = pytest.mark.usefixtures("leaves_nothing")

TESTS = 60
ROUNDS = 2
"""In each of the parts, so that workers share them out."""
PARTS = 5
MOST_RUNS = 12
"""From then on a round's runs are left in peace."""

LIMIT_SECONDS = 5
"""What a test may take: longer only where its worker is stopped."""

CONFTEST = """
    import atexit, os, random, time
    if "HANGS" in os.environ and "PYTEST_XDIST_WORKER" in os.environ and random.Random(os.getpid()).random() < 0.05:
        atexit.register(time.sleep, 1000)
"""

SUITE = f"""
    import os, pathlib, random, time
    import pytest

    @pytest.mark.parametrize("case", range({TESTS}))
    def test_case(case, record_metric):
        record_metric("first", case / 7)
        time.sleep(random.Random(case).uniform(0, 0.04))
        record_metric("second", case * 10**20)
        pathlib.Path("begun").touch()
        if case % 20 == 7 and os.fork() == 0:
            time.sleep(1000)
        assert case % 10 != 3, "this one fails"
"""


def expected() -> dict[str, tuple[str, dict[str, Any]]]:
    """Outcome and metrics of each test in an undisturbed run."""
    return {
        f"test_case[{case}]": (
            "failed" if case % 10 == 3 else "passed",
            {"first": case / 7, "second": case * 10**20},
        )
        for case in range(TESTS)
    }


def disturb(running: Running, chance: random.Random) -> str:
    """Kill a process of the run at some moment, or stop a worker, unless it ends before; say what happened."""
    begun = running.host.project / "begun"
    while not begun.exists() and running.process.poll() is None:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.5))
    victims = workers(running)
    victim = running.process.pid if chance.random() < 0.5 or not victims else chance.choice(victims)
    stops = victim != running.process.pid and chance.random() < 0.15
    try:
        os.kill(victim, signal.SIGSTOP if stops else signal.SIGKILL)
    except ProcessLookupError:
        return "nobody"
    return "the controller" if victim == running.process.pid else f"a worker{' stopped' if stops else ''}"


def workers(running: Running) -> list[int]:
    """The processes that lead a group of their own below the controller's: those that xdist has started."""
    found = []
    for pid in running.host.processes():
        try:
            if os.getpgid(pid) == pid and os.getsid(pid) == running.process.pid and pid != running.process.pid:
                found.append(pid)
        except ProcessLookupError:
            pass
    return sorted(found)


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_runs_end_with_every_result(host: Host, pytestconfig: pytest.Config, part: int) -> None:
    """However often a worker or the controller is killed, in the end each test has its one result, and its metrics."""
    host.write("conftest.py", CONFTEST)
    host.write("test_suite.py", SUITE)
    for number in range(ROUNDS * 50 if pytestconfig.getoption("long") else 1):
        seed = f"{part}-{number}"
        told, report = one_round(host, seed, hangs=pytestconfig.getoption("long"))
        results = {
            test["nodeid"].split("::")[1]: (test["outcome"], {one["name"]: one["value"] for one in test["metrics"]})
            for test in report["tests"]
        }
        assert len(report["tests"]) == TESTS, (seed, told)
        assert results == expected(), (seed, told)
        assert (report["run"]["complete"], report["run"]["finished"]) == (True, TESTS), (seed, told)
        assert report["run"]["exit_status"] == 1, (seed, told)


def one_round(host: Host, seed: str, *, hangs: bool) -> tuple[list[str], dict[str, Any]]:
    """Start a run, kill something of it, resume it, until one has everything; say what happened, and its report."""
    chance = random.Random(seed)
    told: list[str] = []
    resume: list[str] = []
    count = chance.choice([2, 2, 2, 4])  # their start is what takes the time of these tests
    while True:
        for name in ("begun", "report.json"):
            (host.project / name).unlink(missing_ok=True)
        spared = len(told) >= MOST_RUNS or chance.random() < 0.4
        args = (f"-n{count}", "-q", f"--gpupool-dir=records/{seed}", f"--gpupool-timeout={LIMIT_SECONDS}", *resume)
        running = host.start(*args, environ=host.environ(**({"HANGS": "1"} if hangs else {})))
        try:
            told.append("left alone" if spared else disturb(running, chance))
            run = running.finish()
        finally:
            running.kill()
        host.wait_until_gone()
        assert "INTERNALERROR" not in run.output, (told, run.output)
        report = report_of(host)
        if report is not None and {test["outcome"] for test in report["tests"]} == {"passed", "failed"}:
            return told, report
        assert not spared or run.status == 4, (told, run.output)
        # A run that was killed before it had collected anything leaves nothing to go on with.
        resume = [] if run.status == 4 else ["--gpupool-resume"]
        assert run.status != 4 or "there is no run on record" in run.stderr, (told, run.output)


def report_of(host: Host) -> dict[str, Any] | None:
    """The report of the last run, None where it was killed before it could write one."""
    path = host.project / "report.json"
    if not path.exists():
        return None
    report: dict[str, Any] = json.loads(path.read_text())
    return report
