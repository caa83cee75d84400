"""No two tests are ever on one GPU, between workers and between runs, and a killed holder's GPU is used again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from support import Host, Running, records, wait_for

INTERVALS = """
    import json, os, time
    import pytest

    @pytest.mark.parametrize("case", range({cases}))
    def test_case(case):
        began = time.monotonic()
        time.sleep(0.004 * (case % 7))
        line = {{"gpu": os.environ["GPUPOOL_DEVICES"], "pid": os.getpid(), "from": began, "to": time.monotonic()}}
        with open({log!r}, "a") as log:
            log.write(json.dumps(line) + "\\n")
"""


def write_suite(host: Host, cases: int) -> Path:
    log = host.directory / "intervals.jsonl"
    host.write("test_suite.py", INTERVALS.format(cases=cases, log=str(log)))
    return log


def overlaps(log: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of intervals of different processes on one GPU that overlap."""
    lines = sorted(map(json.loads, log.read_text().splitlines()), key=lambda line: line["from"])
    last: dict[str, dict[str, Any]] = {}
    found = []
    for line in lines:
        before = last.get(line["gpu"])
        if before is not None and line["from"] < before["to"]:
            found.append((before, line))
        if before is None or line["to"] > before["to"]:
            last[line["gpu"]] = line
    return found


def start_two_runs(host: Host, *args: str) -> list[Running]:
    # Two records of one run directory would be two projects'; the report's path is one too.
    return [
        host.start("-n4", *args, f"--gpupool-dir=records{number}", f"--gpupool-json=report{number}.json")
        for number in (1, 2)
    ]


def test_two_runs_share_four_gpus_without_overlap(host: Host) -> None:
    """Two runs of four workers on four GPUs, 240 tests: no two intervals on one GPU overlap."""
    log = write_suite(host, 120)
    for running in start_two_runs(host):
        run = running.finish()
        assert run.status == 0, run.output
    lines = log.read_text().splitlines()
    assert len(lines) == 240
    assert {json.loads(line)["gpu"] for line in lines} == {gpu.uuid for gpu in host.driver.gpus}  # type: ignore[union-attr]
    assert overlaps(log) == []


def test_random_kills_of_workers_never_make_two_tests_share_a_gpu(host: Host) -> None:
    """While workers of two runs are killed at random, no GPU is shared, and every test has a result."""
    log = write_suite(host, 120)
    runs = start_two_runs(host, "--max-worker-restart=100")
    dice = random.Random(2)
    killed: set[int] = set()
    for number in range(6):
        lines = wait_for(log, 20 * (number + 1))
        pids = sorted({json.loads(line)["pid"] for line in lines[-16:]} - killed)
        if pids:
            killed.add(victim := dice.choice(pids))
            _kill(victim)
    finished = [running.finish() for running in runs]
    assert overlaps(log) == []
    crashed = 0
    for number, run in enumerate(finished, start=1):
        report = json.loads((host.project / f"report{number}.json").read_text())
        assert report["run"]["collected"] == report["run"]["finished"] == 120, run.output
        crashed += report["summary"]["crashed"]
        assert report["summary"]["passed"] + report["summary"]["crashed"] == 120
    assert crashed <= len(killed)
    assert killed


def test_a_killed_holders_gpu_is_used_again_in_the_same_run(make_host: Any) -> None:
    """On a host with one GPU, the worker that replaces a killed one gets the GPU back."""
    host = make_host(1)
    host.write(
        "test_suite.py",
        """
        import os, signal

        def test_before(): pass
        def test_killed(): os.kill(os.getpid(), signal.SIGKILL)
        def test_after(gpu): assert gpu.is_gpu
        """,
    )
    run = host.pytest("-n1")
    assert run.status == 1
    assert run.outcomes == {"test_before": "passed", "test_killed": "crashed", "test_after": "passed"}
    assert run.tests["test_before"]["devices"] == run.tests["test_after"]["devices"]
    assert run.tests["test_before"]["worker"] != run.tests["test_after"]["worker"]
    assert [worker["exit"] for worker in run.report["workers"]] == ["killed", "finished"]


@pytest.mark.parametrize("workers", [(), ("-n1",), ("-n8",)], ids=["plain", "n1", "n8"])
def test_the_lease_ends_with_the_run(host: Host, workers: tuple[str, ...]) -> None:
    """After a run nothing holds a lock, and no process of it is left."""
    host.write("test_suite.py", "import os\ndef test_pid():\n    open('pids', 'a').write(f'{os.getpid()}\\n')\n")
    assert host.pytest(*workers).status == 0
    again = host.pytest(*workers, "--gpupool-wait=0")
    assert again.status == 0, again.output
    for pid in (host.project / "pids").read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_a_lease_lives_as_long_as_the_workers_process(host: Host) -> None:
    """Locks are held while tests run, and name pid, user, worker, run and test."""
    host.write(
        "test_suite.py",
        """
        import json, os, pathlib

        def test_holder(gpu):
            directory = pathlib.Path(os.environ["GPUPOOL_LOCK_DIR"])
            holder = json.loads((directory / f"{gpu.ids[0]}.json").read_text())
            assert holder["pid"] == os.getpid()
            assert holder["worker"] == "gw0"
            assert holder["run"] == os.environ["GPUPOOL_RUN"]
            assert holder["test"] == "test_suite.py::test_holder"
            said = {"pid", "started", "pid_namespace", "uid", "user", "host", "worker", "run", "test", "since"}
            assert set(holder) == said
            assert (directory / f"{gpu.ids[0]}.lock").stat().st_mode & 0o777 == 0o666
            assert directory.stat().st_mode & 0o7777 == 0o1777
        """,
    )
    run = host.pytest("-n1")
    assert run.status == 0, run.output
    assert [record["record"] for record in records(host.project)][-1:] == ["end"]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # its run may have ended
        os.kill(pid, signal.SIGKILL)
