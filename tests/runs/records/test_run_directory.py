"""The directory of a run: what is in it, what becomes of it on a bad disk, and which old ones go."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from suites import prepare
from support import Host, Run, wait_for

with_workers = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])


def records(run_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """Every record of a run by its writer; fails where a line is not whole."""
    return {
        path.stem: [json.loads(line) for line in path.read_bytes().splitlines()] for path in run_dir.glob("*.jsonl")
    }


def directory_of(run: Run) -> Path:
    """The directory of a run in the default place."""
    found: Path = run.directory / ".gpupool" / "runs" / run.report["run"]["id"]
    return found


@pytest.fixture(params=["full", "read-only"])
def bad_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A real file system on which nothing more can be written."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk, and not in every container")
    try:
        if request.param == "full":
            with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
                while file.write(b"x" * 512):
                    pass
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@with_workers
def test_every_record_has_its_place(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """A plan, and a journal for each writer that begins with its version."""
    cpu_host.write("test_suite.py", "def test_a(record_metric): record_metric('m', 1)\ndef test_b(): assert 0\n")
    run = cpu_host.pytest(*workers)
    written = records(directory_of(run))
    assert set(written) == {"controller", *(["main"] if not workers else ["gw0", "gw1"])}
    assert {tuple(lines[0].items()) for lines in written.values()} == {(("record", "journal"), ("version", 1))}
    kinds = [record["record"] for lines in written.values() for record in lines]
    assert {kind: kinds.count(kind) for kind in ("start", "metric", "end", "run-end")} == {
        "start": 2,
        "metric": 1,
        "end": 2,
        "run-end": 1,
    }
    plan = json.loads((directory_of(run) / "plan.json").read_text())
    assert (plan["format"], plan["version"]) == ("gpupool-plan", 1)
    assert plan["run"]["software"]["pytest"] == pytest.__version__
    assert plan["run"].items() <= run.report["run"].items()


@with_workers
def test_the_plan_is_kept_without_a_report(cpu_host: Host, tmp_path: Path, workers: tuple[str, ...]) -> None:
    """Though the run is over before all facts are gathered."""
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text("#!/bin/sh\nsleep 2\nexit 1\n")
    git.chmod(0o755)
    cpu_host.write("test_suite.py", "def test_a(): pass\n")
    reports = ("--gpupool-json", "--junitxml")
    command = [arg for arg in cpu_host.command(*workers) if not arg.startswith(reports)]
    environ = cpu_host.environ()
    environ["PATH"] = f"{git.parent}:{environ['PATH']}"
    subprocess.run(command, cwd=cpu_host.project, env=environ, capture_output=True, check=True)
    (run,) = (cpu_host.project / ".gpupool" / "runs").iterdir()
    assert json.loads((run / "plan.json").read_text())["run"]["software"]["pytest"] == pytest.__version__


def test_attempts_are_kept_apart(host: Host) -> None:
    """Each has its number and its metrics in the journal, whichever worker made it; the report has the last one's."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import os
        from patience import lines, say

        def test_flaky(record_metric):
            say("attempts")
            attempt = len(lines("attempts"))
            record_metric("attempt", attempt)
            record_metric(f"only in {attempt}", 1)
            if attempt == 2:
                os._exit(3)
            assert attempt > 3
        """,
    )
    run = host.pytest("-n1", "--reruns=5", companions=["rerunfailures"])
    assert run.status == 0, run.output
    assert run.tests["test_flaky"]["attempt"] == 4
    assert run.metrics("test_flaky") == {"attempt": 4, "only in 4": 1}
    written = [record for _, lines in sorted(records(directory_of(run)).items()) for record in lines]
    assert [record["attempt"] for record in written if record["record"] == "start"] == [1, 2, 3, 4]
    names = [record["metric"]["name"] for record in written if record["record"] == "metric"]
    assert [name for name in names if name != "attempt"] == [f"only in {number}" for number in (1, 2, 3, 4)]


@with_workers
def test_a_bad_disk_costs_the_record_alone(host: Host, bad_disk: Path, workers: tuple[str, ...]) -> None:
    """The run goes on and says so once; the reports have everything, the metrics of a killed test too."""
    host.write(
        "test_suite.py",
        """
        import os, signal
        import pytest

        @pytest.mark.parametrize("case", range(30))
        def test_case(case, record_metric): record_metric("case", case)

        @pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="it would end the run")
        @pytest.mark.gpupool(stage=1)
        def test_dies(record_metric):
            record_metric("before", 1)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    run = host.pytest(*workers, f"--gpupool-dir={bad_disk}/records")
    assert run.status == (1 if workers else 0), run.output
    assert [run.metrics(f"test_case[{case}]") for case in range(30)] == [{"case": case} for case in range(30)]
    if workers:
        assert run.outcomes["test_dies"] == "crashed"
        assert run.metrics("test_dies") == {"before": 1}
        assert run.junit["test_dies"]["gpupool.metric.before"] == "1"
    said = [line for line in (run.stdout + run.stderr).splitlines() if str(bad_disk) in line]
    assert len(said) == 1, run.output
    assert said[0].startswith("gpupool: ")
    assert "records" in said[0]
    assert "--gpupool-resume" not in run.stdout


def test_a_killed_workers_metrics_are_in_every_report(host: Host) -> None:
    """With device and worker, in JSON and in JUnit."""
    host.write(
        "test_suite.py",
        """
        import os, signal, time

        def test_killed(record_metric):
            record_metric("loss", 0.25, unit="nats")
            os.kill(os.getpid(), signal.SIGKILL)

        def test_too_long(record_metric):
            record_metric("steps", 7)
            time.sleep(600)
        """,
    )
    run = host.pytest("-n2", "--gpupool-timeout=2", "--gpupool-html=r.html", "--gpupool-markdown=r.md")
    assert run.status == 1
    assert run.outcomes == {"test_killed": "crashed", "test_too_long": "timeout"}
    assert (run.metrics("test_killed"), run.metrics("test_too_long")) == ({"loss": 0.25}, {"steps": 7})
    assert run.junit_outcomes == {"test_killed": "error", "test_too_long": "error"}
    for name, metric, value in (("test_killed", "loss", "0.25"), ("test_too_long", "steps", "7")):
        test, properties = run.tests[name], run.junit[name]
        assert properties[f"gpupool.metric.{metric}"] == value
        assert properties["gpupool.worker"] == test["worker"]
        assert [properties["gpupool.device"]] == test["devices"]
        assert value in (host.project / "r.html").read_text()
        assert value in (host.project / "r.md").read_text()


def test_old_runs_are_removed_but_none_that_goes_on(cpu_host: Host) -> None:
    """The latest stay, as many as the ini file says; nothing else in the folder is touched."""
    host = cpu_host
    prepare(host)
    host.write("pytest.ini", "[pytest]\ngpupool_keep_runs = 3\npythonpath = .\n")
    waits = "from patience import say, lines, until\ndef test_waits():\n    say('waits')\n"
    host.write("slow/test_slow.py", waits + "    until(lambda: lines('go'), 'nobody says go')\n")
    host.write("test_quick.py", "def test_quick(): pass\n")
    runs = host.project / ".gpupool" / "runs"
    host.write(".gpupool/runs/notes/keep.txt", "mine\n")
    slow = host.start("-n2", "slow", "--gpupool-json=slow.json", "--junitxml=slow.xml")
    try:
        wait_for(host.project / "waits")
        (going_on,) = (path.name for path in runs.iterdir() if path.name != "notes")
        made = [host.pytest("test_quick.py").report["run"]["id"] for _ in range(5)]
        assert {path.name for path in runs.iterdir()} == {"notes", going_on, *made[-3:]}
        host.write("go", "now\n")
        assert slow.process.wait() == 0
    finally:
        slow.kill()
    assert (runs / going_on / "controller.jsonl").read_text().endswith('"exit_status":0}\n')
    assert (runs / "notes" / "keep.txt").read_text() == "mine\n"


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])
@pytest.mark.parametrize(
    "args",
    [("--gpupool-nosuch",), ("nosuch/",), ("-k", "nothing"), ("--collect-only",)],
    ids=["option", "path", "k", "collect-only"],
)
def test_what_has_run_no_test_is_not_on_record(cpu_host: Host, workers: tuple[str, ...], args: tuple[str, ...]) -> None:
    """Nor does it push a real run off."""
    host = cpu_host
    host.write("pytest.ini", "[pytest]\ngpupool_keep_runs = 1\n")
    host.write("test_suite.py", "def test_one(): pass\n")
    made = host.pytest().report["run"]["id"]
    for _ in range(2):
        host.pytest(*workers, *args)
    assert [path.name for path in (host.project / ".gpupool" / "runs").iterdir()] == [made]


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_wrong_number_of_runs_to_keep(cpu_host: Host, value: str) -> None:
    """It is refused by name."""
    cpu_host.write("pytest.ini", f"[pytest]\ngpupool_keep_runs = {value}\n")
    cpu_host.write("test_suite.py", "def test_a(): pass\n")
    run = cpu_host.pytest()
    assert run.status == 4
    assert f"gpupool: gpupool_keep_runs = {value}: give a whole number from 1" in run.stderr


def test_what_was_written_before_a_cut_is_read(host: Host) -> None:
    """A worker that is killed between two records leaves whole lines."""
    prepare(host)
    host.write(
        "test_suite.py",
        """
        import os, time
        from patience import say

        def test_long(record_metric):
            for step in range(10_000):
                record_metric(f"loss {step}", step / 3)
                if step == 50:
                    say("pid", os.getpid())
        """,
    )
    running = host.start("-n1", "--max-worker-restart=0")
    try:
        (pid,) = wait_for(host.project / "pid")
        os.kill(int(pid), signal.SIGKILL)
        run = running.finish()
    finally:
        running.kill()
    metrics = run.metrics("test_long")
    assert len(metrics) > 50
    assert metrics == {f"loss {step}": step / 3 for step in range(len(metrics))}


@with_workers
def test_every_record_is_written_before_the_outcome_is_shown(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Whoever hears of a test's end, as the terminal does, finds it on record."""
    cpu_host.write(
        "conftest.py",
        """
        import json, os, pathlib, pytest

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(report):
            if report.when != "teardown" or "PYTEST_XDIST_WORKER" in os.environ:
                return
            lines = [line for path in pathlib.Path(".gpupool/runs").glob("*/*.jsonl") for line in open(path)]
            whole = [line for line in lines if line.endswith("\\n")]  # the other worker may be writing its own
            ended = {record["test"] for record in map(json.loads, whole) if record["record"] == "end"}
            with open("seen", "a") as file:
                file.write(f"{report.nodeid in ended}\\n")
        """,
    )
    cpu_host.write("test_suite.py", "import pytest\n@pytest.mark.parametrize('i', range(50))\ndef test_a(i): pass\n")
    assert cpu_host.pytest(*workers).status == 0
    assert (cpu_host.project / "seen").read_text().split() == ["True"] * 50


@with_workers
def test_a_junit_file_that_ci_systems_would_refuse_is_made_smaller(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """No test is missing, and the run says what was done; the JSON report has everything."""
    cpu_host.write(
        "test_suite.py",
        """
        import pytest

        @pytest.mark.parametrize("case", range(3))
        def test_talks(case, record_metric):
            record_metric("case", case)
            print("x" * 11_000_000)
            assert case != 1, "\\x1b[31mred\\x1b[0m"
        """,
    )
    run = cpu_host.pytest(*workers, "-o", "junit_logging=all")
    assert run.status == 1
    assert (run.directory / "junit.xml").stat().st_size < 30_000_000
    assert run.junit_outcomes == {"test_talks[0]": "passed", "test_talks[1]": "failure", "test_talks[2]": "passed"}
    assert run.junit["test_talks[2]"]["gpupool.metric.case"] == "2"
    warning = next(line for line in run.stdout.splitlines() if "junit.xml" in line and "warning" in line)
    assert "report.json" in warning


@with_workers
def test_a_run_that_could_not_collect_everything_is_incomplete(cpu_host: Host, workers: tuple[str, ...]) -> None:
    """Though each test that is known has a result: who knows what the rest is."""
    cpu_host.write("test_bad.py", "import nothing_of_that_name\n")
    cpu_host.write("test_good.py", "def test_a(): pass\n")
    args = (*workers, "--continue-on-collection-errors", "--gpupool-markdown=r.md")
    run = cpu_host.pytest(*args)
    assert run.status == 1, run.output
    assert run.outcomes == {"test_a": "passed"}
    assert run.report["run"]["complete"] is False
    assert "INCOMPLETE: something could not be collected." in (cpu_host.project / "r.md").read_text()
    cpu_host.write("test_bad.py", "def test_b(): pass\n")
    run = cpu_host.pytest(*args, "--gpupool-resume")
    assert run.status == 0, run.output
    assert run.outcomes == {"test_a": "passed", "test_b": "passed"}
    assert run.report["run"]["complete"] is True
