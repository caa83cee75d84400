"""Workers that an engine refuses, or never places: what the others do then, and that the run ends."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from made_clusters import Cluster
from support import LIMIT, wait_for

LAUNCH = """
import standin.engine
from standin.engine import StandInEngine, StandInLink
from pytest_gpupool.values.errors import UsageProblem

place, asked = StandInEngine.launch, []

def launch(self, worker, gpus, command):
    asked.append((worker, gpus))
    open("asked", "a").write(f"{worker}\\n")
    if CONDITION:
        raise UsageProblem("not with this account")
    return place(self, worker, gpus, command)

StandInEngine.launch = launch
"""
"""A conftest.py whose engine refuses what CONDITION says of a worker."""

NEVER = """
from standin.engine import StandInEngine, StandInLink

place = StandInEngine.launch

def launch(self, worker, gpus, command):
    if worker != "gw1":
        return place(self, worker, gpus, command)
    with self.lock:
        self.links.append(StandInLink(self, worker, 99, list(command)))
        return self.links[-1]

StandInEngine.launch = launch
"""
"""One whose engine has no place for the second worker, as long as the run lasts."""

FIVE = "import pytest\n@pytest.mark.parametrize('i', range(5))\ndef test_a(i): assert not {bad}\n"


@pytest.mark.parametrize(("bad", "args", "status"), [(0, (), 0), (1, ("-x",), 2), (1, ("--maxfail=2",), 2)])
def test_a_run_does_not_wait_for_who_is_never_placed(
    cluster: Cluster, bad: int, args: tuple[str, ...], status: int
) -> None:
    """It ends when its tests have, or when enough have failed, without a word of that worker."""
    cluster.host.write("conftest.py", NEVER)
    cluster.host.write("test_suite.py", FIVE.format(bad=bad))
    run = cluster.pytest("-n2", *args)
    assert run.status == status, run.output
    assert "did not begin to end" not in run.output
    assert "has never begun" not in run.output
    assert "node down" not in run.output


def test_who_is_refused_is_not_asked_for_again_and_again(cluster: Cluster) -> None:
    """A lost node's worker has no successor where the engine refuses one; the others do its tests."""
    cluster.has(n1=1, n2=1)
    cluster.host.write("conftest.py", LAUNCH.replace("CONDITION", "worker not in ('gw0', 'gw1')"))
    cluster.host.write(
        "test_suite.py",
        """
        import os, time, pytest

        @pytest.mark.parametrize("i", range(6))
        def test_a(i):
            open("hosts", "a").write(os.environ["GPUPOOL_HOST"] + "\\n")
            deadline = time.monotonic() + 60
            while not os.path.exists("go") and time.monotonic() < deadline:
                time.sleep(0.05)
        """,
    )
    running = cluster.watched("-n2")
    wait_for(cluster.host.project / "hosts", 2)
    cluster.has(n1=1)
    running.until("has never begun: not with this account")
    cluster.host.write("go", "")
    run = running.finish()
    assert run.status == 1, run.output
    assert sorted(run.outcomes.values()) == ["crashed", *["passed"] * 5]
    assert len((cluster.host.project / "asked").read_text().split()) <= 4


PAIRS = """
    import time, pytest

    @pytest.mark.gpupool(gpus=2)
    @pytest.mark.parametrize("i", range({pairs}))
    def test_two(i, gpu): time.sleep(0.3)

    @pytest.mark.gpupool(stage=1)
    @pytest.mark.parametrize("i", range(4))
    def test_one(i, gpu): pass
"""


def test_one_refused_pair_leaves_the_others(cluster: Cluster) -> None:
    """Tests of two GPUs run where another worker holds two."""
    condition = "gpus == 2 and [gpus for _, gpus in asked].count(2) == 2"
    cluster.host.write("conftest.py", LAUNCH.replace("CONDITION", condition))
    cluster.host.write("test_suite.py", PAIRS.format(pairs=6))
    run = cluster.pytest("-n4")
    assert run.status == 0, run.output
    assert set(run.outcomes.values()) == {"passed"}


def test_where_all_pairs_are_refused_the_tests_of_one_gpu_run(cluster: Cluster) -> None:
    """Those of two fail, and say why."""
    cluster.has(n1=2)
    cluster.host.write("conftest.py", LAUNCH.replace("CONDITION", "gpus == 2"))
    cluster.host.write("test_suite.py", PAIRS.format(pairs=1))
    run = cluster.pytest("-n2")
    assert run.status == 1
    assert run.outcomes == {"test_two[0]": "error", **{f"test_one[{i}]": "passed" for i in range(4)}}, run.output
    assert "has never begun: not with this account; the run goes on without it" in run.output


def test_records_that_cannot_be_written_are_told(cluster: Cluster) -> None:
    """The reports have them all the same, and a test that takes its worker along is found."""
    cluster.host.write(
        "conftest.py",
        """
        import pathlib
        from pytest_gpupool.run.records import RunRecords
        from pytest_gpupool.records.journal import Journal

        RunRecords._journal_of = lambda self, worker: self._of_workers.setdefault(
            worker, Journal(pathlib.Path("nowhere") / f"{worker}.jsonl")
        )
        """,
    )
    cluster.host.write("test_suite.py", "import os\ndef test_a(): pass\ndef test_dies(): os.kill(os.getpid(), 9)\n")
    run = cluster.pytest("-n2")
    assert run.outcomes == {"test_a": "passed", "test_dies": "crashed"}, run.output
    assert "records could not be kept: nowhere/gw" in run.output
    assert "--gpupool-resume" not in run.output


def test_a_test_whose_device_fails_is_tried_on_another(cluster: Cluster) -> None:
    """By the worker that has one."""
    cluster.has(n1=1, n2=1)
    cluster.host.write(
        "test_suite.py",
        f"""
        import os, pathlib, time

        def test_fails(gpu):
            open("ran", "a").write(gpu.ids[0] + "\\n")
            open("worker", "a").write(os.environ["PYTEST_XDIST_WORKER"])
            if len(open("ran").read().split()) == 1:
                raise RuntimeError("CUDA error: uncorrectable ECC error encountered")

        def test_other(gpu):
            deadline = time.monotonic() + 60
            running, worker = pathlib.Path({str(cluster.file.with_suffix(".running"))!r}), pathlib.Path("worker")
            while not (name := worker.exists() and worker.read_text()) or f'"{{name}}"' in running.read_text():
                assert time.monotonic() < deadline  # the worker whose device has failed leaves
                time.sleep(0.05)
        """,
    )
    run = cluster.pytest("-n2")
    assert run.status == 0, run.output
    assert len(set((cluster.host.project / "ran").read_text().split())) == 2


def test_who_is_given_the_same_device_again_is_exchanged(cluster: Cluster) -> None:
    """Nobody can use it; another worker is asked for before that one goes, and so it gets another one."""
    cluster.has(n1=1, busy=1)
    grows = LAUNCH.replace("CONDITION", "0").replace(
        "asked.append", 'worker == "gw2" and (os.replace("grown", self.file), self.look())\n    asked.append'
    )
    cluster.host.write("conftest.py", f"import os\n{grows}")
    cluster.host.write("grown", '{"n1": 1, "busy": 1, "n2": 1}')
    cluster.host.write(
        "test_suite.py",
        """
        import os, time

        def test_dies(gpu):
            open("ran", "a").write(f"{gpu.ids[0]}\\n")
            deadline = time.monotonic() + 60
            while not os.path.exists("lost") and time.monotonic() < deadline:
                time.sleep(0.05)
            if len(open("ran").readlines()) == 1:
                os.kill(os.getpid(), 9)
        """,
    )
    driver = cluster.host.driver
    assert driver is not None
    running = cluster.watched("-n1")
    (first,) = wait_for(cluster.host.project / "ran")
    driver.lose(driver.uuids.index(first))
    cluster.host.write("lost", "")
    run = running.finish()
    assert run.status == 0, run.output
    assert len(set((cluster.host.project / "ran").read_text().split())) == 2
    assert (cluster.host.project / "asked").read_text().split() == ["gw0", "gw1", "gw2"]


def test_where_there_is_no_other_device_the_test_fails(cluster: Cluster) -> None:
    """When some workers have come to the same one; others run there."""
    cluster.has(n1=1, busy=1)
    cluster.host.write(
        "test_suite.py",
        """
        import pytest

        def test_fails(gpu):
            open("ran", "a").write(f"{gpu.ids[0]}\\n")
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")

        @pytest.mark.gpupool(stage=1)
        def test_later(): pass
        """,
    )
    run = cluster.pytest("-n1")
    assert run.outcomes == {"test_fails": "failed", "test_later": "passed"}, run.output
    why = "slurm gave no other device, on which it could be tried again, though 2 more workers were asked for"
    assert why in run.tests["test_fails"]["message"]
    assert why in run.stdout
    assert "1 failed, 1 passed, 1 rerun" in run.stdout
    assert len((cluster.host.project / "ran").read_text().split()) == 1
    assert run.junit_outcomes == {"test_fails": "failure", "test_later": "passed"}
    assert run.junit["test_fails"]["gpupool.cause"] == "machine"


def test_what_is_written_to_a_stderr_that_is_gone_costs_nobody(cluster: Cluster) -> None:
    """Nobody may read the controller's own any more."""
    cluster.host.write("test_suite.py", "import os\ndef test_a(): os.write(2, b'x' * 100 + b'\\n')\n")
    command = shlex.join(cluster.host.command(*cluster.args("-n1", "-s")))
    # What follows the pipe ends at once.
    shell = ["bash", "-c", f"{{ {command} 2>&1 1>out | true; }}"]
    subprocess.run(shell, cwd=cluster.host.project, env=cluster.environ(), check=True, timeout=LIMIT)
    assert "1 passed" in (cluster.host.project / "out").read_text()
