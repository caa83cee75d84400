"""Runs whose workers an engine places on other hosts: here on stand-ins for them, which are this one."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from made_clusters import Cluster
from made_hosts import Program, wait_until
from program import gpupool
from standin import Driver
from support import Watched, wait_for

SUITE = """
    import os, time, pytest

    @pytest.mark.parametrize("i", range(8))
    def test_a(i, record_metric, gpu):
        record_metric("accuracy", 0.5, samples={"one": 0, "two": 1}, higher_is_better=True)
        assert i != 5

    @pytest.mark.gpupool(gpus=2)
    def test_two(gpu):
        assert gpu.count == 2
        assert "SLURM_JOB_ID" not in os.environ, "what the launcher says is not the tests'"

    def test_crash(gpu):
        print("last words")
        os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("verbose", [[], ["-v"]], ids=["", "v"])
def test_a_suite_runs_as_it_does_here(cluster: Cluster, verbose: list[str]) -> None:
    """Failures, a crash, several GPUs: told with the hosts, and again by what was recorded."""
    cluster.host.write("test_suite.py", SUITE)
    run = cluster.pytest("-n4", *verbose)
    assert run.status == 1
    expected = {f"test_a[{i}]": "failed" if i == 5 else "passed" for i in range(8)}
    assert run.outcomes == {**expected, "test_two": "passed", "test_crash": "crashed"}
    assert "last words" in run.stdout
    report = run.report
    assert report["run"]["engine"] == "slurm"
    assert {worker["host"] for worker in report["workers"] if worker["devices"]} == {"n1", "n2"}
    of_host = {"n1": (0, 1), "n2": (2, 3)}
    assert all(device["index"] in of_host[device["host"]] for device in report["devices"])
    held = [tuple(worker["devices"]) for worker in report["workers"] if worker["devices"]]
    assert {len(devices) for devices in held} == {1, 2}
    _report_again(cluster, report)


def _report_again(cluster: Cluster, report: Mapping[str, Any]) -> None:
    """Nothing that a report says is lost with the process that has made it."""
    status, _, said = gpupool(cluster.host, "report", str(report["run"]["id"]), "--json", "again.json")
    assert status == 0, said
    made = json.loads((cluster.host.project / "again.json").read_text())
    for part in ("tests", "devices", "workers"):
        by_id = [sorted(one[part], key=lambda row: str(row.get("id"))) for one in (made, report)]
        assert by_id[0] == by_id[1]


def test_more_workers_than_gpus_start_when_there_are_more(cluster: Cluster) -> None:
    """As many as there are, which is said; the others when the cluster grows."""
    cluster.has(n1=1)
    cluster.host.write(
        "test_suite.py",
        """
        import pathlib, time, pytest

        @pytest.mark.parametrize("i", range(60))
        def test_a(i, gpu):
            with open("begun", "a") as file:
                file.write(f"{gpu.ids}\\n")
            deadline = time.monotonic() + 60
            while i > 2 and len(set(open("begun"))) < 3 and time.monotonic() < deadline:
                time.sleep(0.05)
        """,
    )
    with_three = cluster.watched("-n3")
    said = with_three.until("3 workers asked for, but there is 1 GPU now")
    wait_for(cluster.host.project / "begun", 4)
    cluster.has(n1=1, n2=2)
    with_three.until("there are 3 GPUs now")
    run = with_three.finish()
    assert run.status == 0, said + run.stdout
    assert len(set((cluster.host.project / "begun").read_text().splitlines())) == 3


def test_a_lost_node_costs_its_test(cluster: Cluster) -> None:
    """And no more: it is named, and the others go on."""
    cluster.host.write(
        "test_suite.py",
        """
        import os, time, pytest

        @pytest.mark.parametrize("i", range(12))
        def test_a(i):
            with open("hosts", "a") as file:
                file.write(f"{os.environ['GPUPOOL_HOST']} {i}\\n")
            deadline = time.monotonic() + 60
            while "n2" not in open("hosts").read() and time.monotonic() < deadline:
                time.sleep(0.05)
            while os.environ["GPUPOOL_HOST"] == "n2" and time.monotonic() < deadline:
                time.sleep(0.05)
        """,
    )
    cluster.has(n1=2, n2=1)
    running = cluster.watched("-n3")
    wait_until(lambda: any(line.startswith("n2") for line in wait_for(cluster.host.project / "hosts")))
    cluster.has(n1=2)
    run = running.finish()
    assert run.status == 1
    crashed = [test for test in run.report["tests"] if test["outcome"] == "crashed"]
    assert len(crashed) == 1
    assert "node n2 failed on n2" in crashed[0]["message"]
    assert sum(test["outcome"] == "passed" for test in run.report["tests"]) == 11


def test_who_is_never_placed_has_waited_long_enough(cluster: Cluster) -> None:
    """Why is said, and the exit status is that of a run without a lease."""
    cluster.has(busy=2)
    cluster.host.write("test_suite.py", "def test_a(): pass\n")
    run = cluster.pytest("-n2", "--gpupool-wait=1")
    assert run.status == 75, run.stdout + run.stderr
    assert re.search(r"no worker got a device in 1 s\.\n  job of gw\d is pending \(Resources\)", run.output)


def test_who_is_refused_a_place_is_not_missed(cluster: Cluster) -> None:
    """The engine may give up one that waits, or refuse it at once; where it refuses all, that ends the run."""
    cluster.has(n1=1, refused=1)
    cluster.host.write("test_suite.py", "import pytest\n@pytest.mark.parametrize('i', range(9))\ndef test_a(i): pass\n")
    run = cluster.pytest("-n2")
    assert run.status == 0, run.output
    assert "gw1 has never begun: not with this account; the run goes on without it" in run.output
    cluster.has(refused=2)
    run = cluster.pytest("-n2")
    assert run.status == 75, run.output
    assert "has never begun: not with this account" in run.output
    assert "INTERNALERROR" not in run.output


def test_a_cluster_may_shrink_below_what_a_test_needs(cluster: Cluster) -> None:
    """That test fails, with the reason told; the others pass, and the run ends."""
    cluster.has(n1=2, n2=1)
    cluster.host.write(
        "test_suite.py",
        """
        import os, time, pytest

        @pytest.mark.parametrize("i", range(3))
        def test_a(i):
            open("hosts", "a").write(os.environ["GPUPOOL_HOST"] + "\\n")
            deadline = time.monotonic() + 60
            while not os.path.exists("go") and time.monotonic() < deadline:
                time.sleep(0.05)

        @pytest.mark.gpupool(stage=1, gpus=2)
        def test_two(): pass
        """,
    )
    running = cluster.watched("-n3")
    wait_for(cluster.host.project / "hosts", 3)
    cluster.has(n2=1)
    running.until("there is 1 GPU now")
    cluster.host.write("go", "")
    run = running.finish()
    outcomes = run.outcomes
    assert outcomes.pop("test_two") == "error", run.output
    assert sorted(outcomes.values()) == ["crashed", "crashed", "passed"]
    assert "INTERNALERROR" not in run.output


def test_a_host_that_names_no_gpu_is_refused(cluster: Cluster) -> None:
    """Nobody knows which are the worker's."""
    cluster.has(blind=1)
    cluster.host.write("test_suite.py", "def test_a(): pass\n")
    run = cluster.pytest("-n1")
    assert run.status == 4, run.output
    assert "does not say on blind which are this worker's: CUDA_VISIBLE_DEVICES is not set" in run.output


def test_a_test_that_hangs_is_ended_where_it_is(cluster: Cluster) -> None:
    """Its stacks are told; what it has started is gone; a process that another test leaves is, too."""
    cluster.host.write(
        "test_suite.py",
        """
        import subprocess, sys, time

        def test_hangs():
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            where_it_hangs()

        def where_it_hangs():
            time.sleep(600)

        def test_leaves():
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        """,
    )
    run = cluster.pytest("-n2", "--gpupool-timeout=4")
    assert run.outcomes == {"test_hangs": "timeout", "test_leaves": "passed"}, run.output
    assert "where_it_hangs" in run.tests["test_hangs"]["message"]
    assert "running on n" in run.output
    cluster.host.wait_until_gone()


@pytest.mark.long
def test_a_worker_whose_process_does_not_end(cluster: Cluster) -> None:
    """It has more time than one on this host, and what it hung in is said all the same."""
    cluster.host.write(
        "test_suite.py",
        "import threading, time\ndef test_a():\n    threading.Thread(target=time.sleep, args=(1000,)).start()\n",
    )
    run = cluster.pytest("-n1")
    assert run.status == 0, run.output
    assert run.exits == {"gw0": "finished"}
    assert "gw0 did not end in 30 s after it was let go and was ended; its stacks then" in run.output
    cluster.host.wait_until_gone()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_run_that_is_ended_leaves_nothing(cluster: Cluster, number: signal.Signals) -> None:
    """No program of a host, no worker, no lock; what can be torn down is."""
    cluster.host.write(
        "test_suite.py",
        """
        import time, pytest

        @pytest.fixture
        def held():
            yield
            open("torn down", "a").write("x\\n")

        @pytest.mark.parametrize("i", range(2))
        def test_a(i, held):
            open("begun", "a").write("x\\n")
            while True:  # a signal that comes just before a sleep is only heard after it
                time.sleep(0.05)
        """,
    )
    running = cluster.watched("-n2")
    wait_for(cluster.host.project / "begun", 2)
    if number == signal.SIGKILL:
        os.killpg(running.process.pid, number)
    else:
        os.kill(running.process.pid, number)
    run = running.finish()
    assert run.status == {signal.SIGINT: 2, signal.SIGTERM: 143, signal.SIGKILL: -9}[number], run.output
    cluster.host.wait_until_gone()
    if number != signal.SIGKILL:  # after which as much is torn down as there is time for
        assert wait_for(cluster.host.project / "torn down", 2) == ["x", "x"]


def test_a_killed_run_is_resumed(cluster: Cluster) -> None:
    """What had ended is on record here, and is not run again there; nothing is left on the hosts."""
    cluster.host.write(
        "test_suite.py",
        """
        import os, time, pytest

        @pytest.mark.parametrize("i", range(6))
        def test_a(i):
            open("begun", "a").write(f"{i}\\n")
            if i > 3 and not os.path.exists("again"):
                time.sleep(600)
        """,
    )
    running = cluster.watched("-n2", "--gpupool-order=file")
    begun = cluster.host.project / "begun"
    wait_for(begun, 6)
    os.killpg(running.process.pid, signal.SIGKILL)
    running.kill()
    cluster.host.wait_until_gone()
    (cluster.host.project / "again").touch()
    begun.unlink()
    run = cluster.pytest("-n2", "--gpupool-resume")
    assert run.status == 0, run.output
    assert sorted(begun.read_text().split()) == ["4", "5"]
    assert run.report["run"]["complete"] is True
    assert not list(cluster.temporary.glob("gpupool*"))


def test_a_host_that_shows_a_worker_its_own_gpus_alone(cluster: Cluster, libraries: Path) -> None:
    """As SLURM does by a cgroup: 0 is the first of those that it gives. Each test runs on its own all the same."""
    assert cluster.host.driver is not None
    cluster.has(n1=1, closed=1)
    closed = Driver(libraries, cluster.file.with_name("closed"), cluster.host.driver.gpus)
    for number in (0, 2, 3):
        closed.lose(number, 4, handle=False)  # NVML_ERROR_NO_PERMISSION
    cluster.host.write(
        "test_suite.py",
        """
        import os, pathlib, time, pytest

        @pytest.mark.parametrize("i", range(2))
        def test_a(i, gpu):
            pathlib.Path(f"begun-{i}").touch()
            while len(list(pathlib.Path().glob("begun-*"))) < 2: time.sleep(0.01)
            pathlib.Path(f"seen-{gpu.ids[0]}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        """,
    )
    run = cluster.pytest("-n2")
    assert run.status == 0, run.output
    assert {device["host"]: device["id"] for device in run.report["devices"]} == {
        "n1": closed.uuids[0],
        "closed": closed.uuids[1],
    }
    seen = {path.name: path.read_text() for path in cluster.host.project.glob("seen-*")}
    assert seen == {f"seen-{uuid}": "0" for uuid in closed.uuids[:2]}


def test_a_local_run_on_such_a_host_keeps_its_gpu(cluster: Cluster, start: Callable[..., Program]) -> None:
    """The engine knows nothing of it: the host's lock does."""
    cluster.has(n1=1)
    cluster.host.write("test_suite.py", "def test_a(gpu): assert gpu.is_gpu\n")
    start(cluster.host, "run", "--gpus", "1", "--", sys.executable, "-c", "import time; time.sleep(600)")
    wait_until(lambda: cluster.host.held() == {0})
    run = cluster.pytest("-n1", "--gpupool-wait=1")
    assert run.status == 75, run.output
    assert "GPU 0" in run.output
    assert "held by" in run.output


def test_isolated_tests_and_scripts_run_there(cluster: Cluster) -> None:
    """With what they need."""
    cluster.host.write("script.py", "import sys; print('accuracy=0.5')\n")
    cluster.host.write(
        "test_suite.py",
        """
        import os, pytest

        @pytest.mark.gpupool(isolate=True)
        def test_alone(gpu):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == str(gpu.ids and os.environ["CUDA_VISIBLE_DEVICES"])

        def test_script(run_script):
            assert run_script("script.py").returncode == 0
        """,
    )
    run = cluster.pytest("-n2")
    assert run.outcomes == {"test_alone": "passed", "test_script": "passed"}, run.output


def test_a_gpu_that_cannot_be_used_is_waited_for_in_vain(cluster: Cluster) -> None:
    """Its worker keeps it from others, who run the tests."""
    assert cluster.host.driver is not None
    cluster.host.driver.lose(0)
    cluster.host.write("test_suite.py", "import pytest\n@pytest.mark.parametrize('i', range(9))\ndef test_a(i): pass\n")
    run = cluster.pytest("-n4")
    assert run.status == 0, run.output
    cluster.host.driver.lose(1)
    cluster.has(n1=1, n2=1)
    run = cluster.pytest("-n2")
    assert run.status == 75
    assert "no worker can use what slurm has given it.\n" in run.output
    for number in (0, 1):
        given = f"  slurm has given CUDA_VISIBLE_DEVICES={number} on n{number + 1}, and of that 0 can be used of 1: "
        assert run.output.count(given) == 1, run.output
    assert "Put that right on the hosts ('gpupool status' there)" in run.output
    assert "3600" not in run.output, "nobody has waited"


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["-n2", "--gpupool-slots=2"], 4, "--gpupool-slots=2 and --gpupool-engine=slurm do not go together"),
        (["-n2", "--gpupool-devices=0"], 4, "--gpupool-devices=0 and --gpupool-engine=slurm do not go together"),
        (["-n2", "--gpupool-yield"], 4, "--gpupool-yield and --gpupool-engine=slurm do not go together"),
        (["-n2", "--gpupool-require=5"], 69, "--gpupool-require=5, but a stand-in cluster (2 hosts) has 4 GPUs"),
        ([], 4, "--gpupool-engine=slurm places workers: say how many with -n"),
        (["-n2", "--gpupool-engine=dask"], 4, "--gpupool-engine=dask: give 'local' or 'ray' or 'slurm'"),
        (["-n2", "--gpupool-engine-args=a=1,a=2"], 4, "--gpupool-engine-args=a=1,a=2: give K=V,K=V, each K once"),
    ],
)
def test_what_does_not_go_together_is_said(cluster: Cluster, args: list[str], status: int, words: str) -> None:
    """Before anything starts."""
    cluster.host.write("test_suite.py", "def test_a(): pass\n")
    run = cluster.pytest(*args)
    assert run.status == status
    assert words in run.output


def test_a_test_that_no_host_can_hold_is_named(cluster: Cluster) -> None:
    """Four GPUs in all are not four on one host."""
    cluster.host.write("test_suite.py", "import pytest\n@pytest.mark.gpupool(gpus=4)\ndef test_a(): pass\n")
    run = cluster.pytest("-n4")
    assert run.outcomes == {"test_a": "error"}, run.output
    assert "this test asks for 4 devices, but no host of the cluster has more than 2" in run.tests["test_a"]["message"]


def test_auto_is_a_worker_for_each_gpu(cluster: Cluster) -> None:
    """And the plan says so without placing one."""
    cluster.host.write("test_suite.py", "import pytest\n@pytest.mark.parametrize('i', range(9))\ndef test_a(i): pass\n")
    run = cluster.pytest("-nauto")
    assert run.status == 0, run.output
    assert "4 workers, GPUs by the engine" in run.stdout
    plan = cluster.pytest("-nauto", "--gpupool-plan")
    assert plan.status == 0, plan.output
    assert not (cluster.file.with_suffix(".running")).read_text() or "4" in plan.stdout


def test_a_gpu_that_is_lost_is_used_no_more(cluster: Cluster) -> None:
    """Its test is tried on another one; the host keeps it in quarantine."""
    cluster.host.write(
        "test_suite.py",
        """
        import os, time, pytest

        @pytest.mark.parametrize("i", range(2))
        def test_a(i, gpu):
            open("begun", "a").write(f"{gpu.ids[0]}\\n")
            deadline = time.monotonic() + 60
            while not os.path.exists("lost") and time.monotonic() < deadline:
                time.sleep(0.05)
            if gpu.ids[0] == open("lost").read():
                os.kill(os.getpid(), 9)

        @pytest.mark.gpupool(stage=1)
        @pytest.mark.parametrize("i", range(6))
        def test_later(i): pass
        """,
    )
    driver = cluster.host.driver
    assert driver is not None
    running = cluster.watched("-n2")
    first, _ = wait_for(cluster.host.project / "begun", 2)
    driver.lose(driver.uuids.index(first))
    cluster.host.write("lost.new", first).rename(cluster.host.project / "lost")
    run = running.finish()
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}
    (retried,) = (test for test in run.report["tests"] if test["attempt"] > 1)
    assert retried["attempts"][0]["cause"] == "machine"
    assert first not in retried["devices"]
    (device,) = (device for device in run.report["devices"] if device["id"] == first)
    assert "is lost" in device["quarantined"]
    assert f"'gpupool quarantine {first} --lift' on {device['host']} takes it back" in run.output
    assert all(first not in test["devices"] for test in run.report["tests"])


def test_a_host_that_says_nothing_any_more_is_given_up(cluster: Cluster) -> None:
    """As one that has frozen: its worker is ended by the engine, and its test is the only one lost."""
    cluster.host.write(
        "test_suite.py",
        """
        import os, time, pytest

        @pytest.mark.parametrize("i", range(8))
        def test_a(i):
            open("begun", "a").write(f"{os.environ['PYTEST_XDIST_WORKER']} {i}\\n")
            deadline = time.monotonic() + 60
            while i < 2 and not os.path.exists("frozen") and time.monotonic() < deadline:
                time.sleep(0.05)
            while os.path.exists("frozen") and open("frozen").read() == os.environ['PYTEST_XDIST_WORKER']:
                time.sleep(0.05)
        """,
    )
    environ = {**cluster.environ(), "STANDIN_SILENCE": "3"}
    running = Watched(cluster.host, *cluster.args("-n2", "--gpupool-order=file"), environ=environ)
    worker = wait_for(cluster.host.project / "begun", 2)[0].split()[0]
    os.kill(cluster.running()[worker], signal.SIGSTOP)
    cluster.host.write("frozen.new", worker).rename(cluster.host.project / "frozen")
    run = running.finish()
    assert run.status == 1, run.output
    (lost,) = (test for test in run.report["tests"] if test["outcome"] != "passed")
    assert lost["outcome"] == "crashed"
    assert "nothing was heard of host n" in lost["message"]
