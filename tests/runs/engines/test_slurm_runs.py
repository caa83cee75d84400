"""Whole runs whose workers a real SLURM places: what comes of each test, and what is left of jobs, steps, processes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_clusters import gpus_of_nodes
from made_hosts import make_host
from slurm_cluster import SlurmCluster, limited_srun
from support import Host, Run, Running, Watched, wait_for

SUITE = """
    import os, signal
    import pytest

    @pytest.mark.parametrize("number", range(10))
    def test_passes(gpu, number):
        assert (gpu.count, gpu.is_gpu) == (1, True)

    @pytest.mark.parametrize("number", range(3))
    def test_fails(number):
        assert number < 0

    @pytest.fixture
    def broken():
        raise ValueError("broken")

    def test_breaks(broken): pass

    def test_skips(): pytest.skip("not here")

    @pytest.mark.xfail
    def test_xfails(): assert 0

    def test_crashes(): os.kill(os.getpid(), signal.SIGKILL)

    @pytest.mark.gpupool(gpus=2)
    def test_takes_two(gpu): assert gpu.count == 2

    @pytest.mark.gpupool(gpus=0)
    def test_takes_none(): pass

    def test_sees_no_slurm():
        assert not [name for name in os.environ if name.startswith(("SLURM_", "PMI"))]
"""

OUTCOMES = {
    **{f"test_passes[{number}]": "passed" for number in range(10)},
    **{f"test_fails[{number}]": "failed" for number in range(3)},
    "test_breaks": "error",
    "test_skips": "skipped",
    "test_xfails": "xfailed",
    "test_crashes": "crashed",
    "test_takes_two": "passed",
    "test_takes_none": "passed",
    "test_sees_no_slurm": "passed",
}

# Each test says that it has begun, and goes on when there is a file "go".
WAITING = """
    import json, os, pathlib, time
    import pytest

    @pytest.mark.parametrize("number", range({count}))
    def test_waits(number, gpu):
        said = {{"number": number, "pid": os.getpid(), "worker": os.environ["PYTEST_XDIST_WORKER"], "ids": gpu.ids}}
        with open("begun.jsonl", "a") as begun:
            begun.write(json.dumps(said) + chr(10))
        while not pathlib.Path("go").exists():
            time.sleep(0.02)
"""


@pytest.fixture
def login(slurm: SlurmCluster, libraries: Path, tmp_path: Path) -> Iterator[Host]:
    """A login node, from which the nodes' two stand-in GPUs each are not to be seen."""
    with gpus_of_nodes(slurm, libraries, tmp_path) as ids:
        for node, its in ids.items():
            (tmp_path / f"{node}.ids").write_text(json.dumps(its))
        yield make_host(libraries, tmp_path, 0)


@pytest.fixture(params=["outside", "inside"])
def environ(request: pytest.FixtureRequest, slurm: SlurmCluster, login: Host) -> Iterator[dict[str, str]]:
    """The environment of a user without an allocation, or with one of the whole cluster."""
    if request.param == "outside":
        yield slurm.environ(login.environ())
        return
    with slurm.allocation("--nodes=2", "--gpus-per-node=2", "--cpus-per-task=16", "--no-kill") as within:
        yield login.environ() | {name: value for name, value in within.items() if name.startswith(("SLURM", "PATH"))}


Start = Callable[..., Running]


@pytest.fixture
def start(login: Host) -> Iterator[Start]:
    """Starts runs on the cluster, and ends those that a failed test has left."""
    started = []

    def begin(environ: dict[str, str], workers: int = 4) -> Running:
        started.append(login.start("--gpupool-engine=slurm", f"-n{workers}", environ=environ))
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.kill()


def hosts(run: Run) -> set[str]:
    """Where the workers were."""
    return {worker["host"] for worker in run.report["workers"] if worker["host"]}


def begun(host: Host, count: int) -> list[dict[str, Any]]:
    """What the first of the waiting tests have said."""
    return [json.loads(line) for line in wait_for(host.project / "begun.jsonl", count)][:count]


def on(host: Host, tests: list[dict[str, Any]], node: str) -> set[str]:
    """The tests that run on a node, by their GPU."""
    there = json.loads((host.directory / f"{node}.ids").read_text())
    return {f"test_waits[{test['number']}]" for test in tests if test["ids"][0] in there}


def go(host: Host) -> None:
    """Let the waiting tests go on."""
    (host.project / "go").touch()


def nothing_left(slurm: SlurmCluster, environ: dict[str, str]) -> None:
    """No job, no step, no process of the run is there any more."""
    allocation = environ.get("SLURM_JOB_ID")
    if allocation is None:
        slurm.until_empty()
        return
    slurm.until(lambda: not slurm.steps(allocation), "steps are left")
    slurm.until(lambda: not [1 for line in slurm.processes().values() if "pytest" in line], "processes are left")


def test_a_suite(login: Host, start: Start, slurm: SlurmCluster, environ: dict[str, str]) -> None:
    """Every test comes to what it comes to on one host, and the report tells where."""
    login.write("test_suite.py", SUITE)
    run = start(environ).finish()
    assert run.outcomes == OUTCOMES, run.output
    assert run.status == 1
    assert run.report["run"]["engine"] == "slurm"
    assert hosts(run) == {"n1", "n2"}
    assert "GPUs" in run.stdout
    nothing_left(slurm, environ)


def test_more_workers_than_gpus(login: Host, start: Start, slurm: SlurmCluster) -> None:
    """Those that SLURM does not place are not missed."""
    login.write("test_waiting.py", WAITING.format(count=8))
    environ = slurm.environ(login.environ())
    running = start(environ, 6)
    begun(login, 4)
    go(login)
    run = running.finish()
    assert set(run.outcomes.values()) == {"passed"}, run.output
    assert run.status == 0
    nothing_left(slurm, environ)


def test_a_limit_of_jobs(login: Host, slurm: SlurmCluster) -> None:
    """A worker that is refused while another one runs is asked for again when that one ends; it is said once."""
    login.write("test_waiting.py", WAITING.format(count=3))
    why = "Unable to allocate resources: Job violates accounting/QOS policy"
    environ = limited_srun(login.directory, slurm.environ(login.environ()), "AssocMaxSubmitJobLimit", why)
    running = Watched(login, "--gpupool-engine=slurm", "-n2", environ=environ)
    (first,) = begun(login, 1)
    running.until("AssocMaxSubmitJobLimit")
    os.kill(first["pid"], signal.SIGKILL)
    second = begun(login, 2)[1]
    assert second["worker"] != first["worker"]
    go(login)
    run = running.finish()
    assert sorted(run.outcomes.values()) == ["crashed", "passed", "passed"], run.output
    assert run.output.count("AssocMaxSubmitJobLimit") == 1
    nothing_left(slurm, environ)


def test_a_gpu_that_fails(login: Host, slurm: SlurmCluster, environ: dict[str, str]) -> None:
    """Its test is run by another worker, with another GPU, and the report tells it."""
    login.write(
        "test_gpu.py",
        """
        def test_fails(gpu):
            with open("ran", "a") as ran:
                ran.write(gpu.ids[0] + chr(10))
            if len(open("ran").readlines()) == 1:
                raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
        """,
    )
    run = login.start("--gpupool-engine=slurm", "-n1", environ=environ).finish()
    assert run.outcomes == {"test_fails": "passed"}, run.output
    first, second = (login.project / "ran").read_text().split()
    assert first != second
    assert "1 passed, 1 rerun" in run.stdout
    assert "test_fails lost its device in gw0; tried again in gw1: passed" in run.stdout
    assert {device["id"] for device in run.report["devices"]} == {first, second}
    nothing_left(slurm, environ)


def test_killed_workers(login: Host, start: Start, slurm: SlurmCluster, environ: dict[str, str]) -> None:
    """A worker and another one's srun: each costs its test, and others take their place."""
    login.write("test_waiting.py", WAITING.format(count=8))
    running = start(environ)
    first, second = begun(login, 4)[:2]
    os.kill(first["pid"], signal.SIGKILL)
    os.kill(slurm.srun_of(running.process.pid, f"gpupool-{second['worker']}-"), signal.SIGKILL)
    begun(login, 6)
    go(login)
    run = running.finish()
    crashed = {f"test_waits[{test['number']}]" for test in (first, second)}
    assert {name for name, outcome in run.outcomes.items() if outcome == "crashed"} == crashed, run.output
    assert set(run.outcomes.values()) == {"crashed", "passed"}, run.output
    nothing_left(slurm, environ)


@pytest.mark.parametrize("environ", ["outside", pytest.param("inside", marks=pytest.mark.long)], indirect=True)
def test_a_node_that_is_powered_down(login: Host, start: Start, slurm: SlurmCluster, environ: dict[str, str]) -> None:
    """Costs the tests that ran there, with its name; the others go on."""
    login.write("test_waiting.py", WAITING.format(count=8))
    running = start(environ)
    lost = on(login, begun(login, 4), "n2")
    assert len(lost) == 2
    slurm.power_down("n2")
    slurm.until(lambda: slurm.states()["n2"].startswith("down"), "n2 is up")
    go(login)
    run = running.finish()
    assert {name for name, outcome in run.outcomes.items() if outcome == "crashed"} == lost, run.output
    assert set(run.outcomes.values()) == {"crashed", "passed"}, run.output
    assert all("n2" in run.tests[name]["message"] for name in lost)
    nothing_left(slurm, environ)


def test_a_drained_node(login: Host, start: Start, slurm: SlurmCluster) -> None:
    """Its tests end well; who takes a killed worker's place goes elsewhere."""
    login.write("test_waiting.py", WAITING.format(count=6))
    environ = slurm.environ(login.environ())
    running = start(environ)
    first = begun(login, 4)
    slurm.run("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test")
    victim = next(test for test in first if f"test_waits[{test['number']}]" in on(login, first, "n2"))
    os.kill(victim["pid"], signal.SIGKILL)
    go(login)
    run = running.finish()
    crashed = {name for name, outcome in run.outcomes.items() if outcome == "crashed"}
    assert crashed == {f"test_waits[{victim['number']}]"}, run.output
    assert set(run.outcomes.values()) == {"crashed", "passed"}, run.output
    nothing_left(slurm, environ)


def test_interrupted(login: Host, start: Start, slurm: SlurmCluster, environ: dict[str, str]) -> None:
    """Ctrl-C: pytest's own exit status, and nothing is left, of workers that wait neither."""
    login.write("test_waiting.py", WAITING.format(count=8))
    running = start(environ, 5)
    begun(login, 4)
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.finish().status == 2
    nothing_left(slurm, environ)


def test_killed(login: Host, start: Start, slurm: SlurmCluster, environ: dict[str, str]) -> None:
    """With all of its process group: nothing is left, of workers that wait neither."""
    login.write("test_waiting.py", WAITING.format(count=8))
    running = start(environ, 5)
    begun(login, 4)
    running.kill()
    nothing_left(slurm, environ)
