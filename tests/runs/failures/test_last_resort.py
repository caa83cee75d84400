"""What must not happen to a run however odd its tests and its machine are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from support import Host

with_workers = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "n2"])


def test_a_gpu_lost_with_its_worker_is_not_waited_for(make_host: Any) -> None:
    """Where the only GPU is lost in the middle of a run, the run ends and says so; the rest is not-run."""
    host = make_host(1)
    host.write(
        "test_suite.py",
        """
        import os, pathlib, signal, time

        def test_before(record_metric): record_metric("m", 1)

        def test_dies():
            pathlib.Path("now").touch()
            while not pathlib.Path("lost").exists(): time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

        def test_after(): pass
        """,
    )
    running = host.start("-n1")
    try:
        while not (host.project / "now").exists():
            assert running.process.poll() is None
        host.driver.lose(0)
        (host.project / "lost").touch()
        run = running.finish()
    finally:
        running.kill()
    assert run.status == 1
    assert "is lost (it fell off the bus" in run.stdout
    assert run.outcomes == {"test_before": "passed", "test_dies": "crashed", "test_after": "not-run"}


def test_each_gives_up_where_a_worker_gets_no_device(host: Host) -> None:
    """--dist each needs every worker: one held GPU ends it at --gpupool-wait, naming the holder."""
    host.write(
        "hold.py", "import time, pathlib\ndef test_hold():\n    pathlib.Path('held').touch()\n    time.sleep(600)\n"
    )
    host.write("test_suite.py", "def test_it(): pass\n")
    holder = host.start("--gpupool-devices=0", "--gpupool-json=other.json", "hold.py")
    try:
        while not (host.project / "held").exists():
            assert holder.process.poll() is None
        run = host.pytest("-n4", "--dist=each", "--gpupool-wait=2", "test_suite.py")
    finally:
        holder.kill()
    assert run.status == 75
    assert f"held by pid {holder.process.pid}" in run.output


def test_each_goes_on_after_a_crash(host: Host) -> None:
    """A replacement's results count as the dead worker's; nothing is counted twice."""
    host.write(
        "test_suite.py",
        """
        import os

        def test_1(): pass
        def test_2():
            if os.environ["PYTEST_XDIST_WORKER"] == "gw0": os._exit(3)
        def test_3(): pass
        """,
    )
    run = host.pytest("-n2", "--dist=each")
    report = run.report
    assert (report["run"]["collected"], report["run"]["finished"]) == (6, 6)
    assert report["summary"] | {"passed": 5, "crashed": 1} == report["summary"]


@with_workers
def test_a_failing_unittest_subtest_fails_its_test(host: Host, workers: tuple[str, ...]) -> None:
    """The worst report of a phase is the phase's."""
    host.write(
        "test_suite.py",
        """
        import unittest

        class TestIt(unittest.TestCase):
            def test_u(self):
                for number in range(3):
                    with self.subTest(number=number):
                        self.assertNotEqual(number, 1)
        """,
    )
    run = host.pytest(*workers)
    assert run.status == 1
    assert run.outcomes == {"TestIt::test_u": "failed"}


@with_workers
def test_a_parameter_whose_repr_fails_is_no_obstacle(host: Host, workers: tuple[str, ...]) -> None:
    """Nor is a number that is too long to be written."""
    host.write(
        "test_suite.py",
        """
        import pytest

        class Lazy:
            def __repr__(self): raise RuntimeError("closed")

        @pytest.mark.parametrize("value", [Lazy(), 10**5000, float("nan"), b"x", Lazy], ids=list("abcde"))
        def test_it(value): pass
        """,
    )
    run = host.pytest(*workers)
    assert run.status == 0, run.output
    params = {name: test["params"]["value"] for name, test in run.tests.items()}
    assert params["test_it[a]"] == "<Lazy whose repr failed: RuntimeError>"
    assert params["test_it[b]"] == "<int whose repr failed: ValueError>"
    assert (params["test_it[c]"], params["test_it[d]"]) == ("nan", "b'x'")


@with_workers
def test_an_invalid_metric_of_a_tear_down_fails_the_test(host: Host, workers: tuple[str, ...]) -> None:
    """No NaN passes because it came late."""
    host.write(
        "test_suite.py",
        """
        import math, pytest

        @pytest.fixture
        def measured(record_metric):
            yield
            record_metric("loss", math.nan)

        def test_it(measured): pass
        """,
    )
    run = host.pytest(*workers)
    assert run.status == 1
    assert run.outcomes == {"test_it": "error"}


def test_pytest_exit_in_a_worker_runs_no_test_twice(host: Host) -> None:
    """The run ends with that status, and the test is not handed to the next worker."""
    host.write(
        "test_suite.py",
        """
        import pytest

        def test_1(): pass
        def test_2():
            open("ran", "a").write("once\\n")
            pytest.exit("enough", returncode=3)
        def test_3(): pass
        """,
    )
    run = host.pytest("-n1")
    assert run.status == 3
    assert "INTERNALERROR" not in run.output
    assert (host.project / "ran").read_text() == "once\n"


def test_ctrl_c_ends_the_run_and_writes_the_report(host: Host) -> None:
    """Exit status 2, what is known in the report, and how each worker ended."""
    host.write(
        "test_suite.py",
        """
        import pathlib, time

        def test_quick(record_metric): record_metric("m", 1)
        def test_slow():
            pathlib.Path("now").touch()
            time.sleep(600)
        """,
    )
    running = host.start("-n1")
    try:
        while not (host.project / "now").exists():
            assert running.process.poll() is None
        os.killpg(running.process.pid, signal.SIGINT)
        run = running.finish()
    finally:
        running.kill()
    assert run.status == 2
    assert run.outcomes == {"test_quick": "passed", "test_slow": "not-run"}
    assert None not in [worker["exit"] for worker in run.report["workers"]]


@with_workers
def test_values_of_a_conftests_options_do_not_switch_the_pool_off(host: Host, workers: tuple[str, ...]) -> None:
    """gpupool_paths looks at paths only, whatever stands between them."""
    host.write("pytest.ini", "[pytest]\ngpupool_paths = evals\n")
    host.write("conftest.py", "def pytest_addoption(parser): parser.addoption('--model')\n")
    host.write("evals/test_suite.py", "def test_it(gpu): assert len(gpu.ids) == 1\n")
    run = host.pytest("--model", "llama", "evals", *workers)
    assert run.status == 0, run.output
    assert run.report["tests"][0]["devices"]


def test_a_program_keeps_its_gpu_while_cuda_is_in_use(host: Host) -> None:
    """pytest.main has returned, but the process has its context: nobody else may have the GPU."""
    host.write("test_suite.py", "import torch\ndef test_it(): torch.cuda.init()\n")
    script = host.write(
        "program.py",
        """
        import json, pathlib, pytest, sys
        status = pytest.main(["-q", "-p", "no:cacheprovider", "--gpupool-devices=0", "test_suite.py"])
        import filelock
        (path,) = pathlib.Path(sys.argv[1]).glob("*.lock")
        try:
            filelock.FileLock(path, timeout=0).acquire()
            held = False
        except filelock.Timeout:
            held = True
        print(json.dumps([int(status), held]))
        """,
    )
    command = [sys.executable, str(script), str(host.lock_dir)]
    done = subprocess.run(
        command, cwd=host.project, env=host.torch_environ(), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, True]
