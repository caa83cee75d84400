"""Runs on a real Ray cluster: what its workers run, what is lost with one, and what is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from made_hosts import make_host
from ray_cluster import RayCluster, wait_until
from support import Host, Watched, wait_for

SUITE = """
    import os, pytest

    @pytest.mark.parametrize("i", range(16))
    def test_a(i, record_metric, gpu):
        record_metric("accuracy", i / 16)
        assert gpu.count == 1
        assert i % 5 != 3

    @pytest.mark.gpupool(gpus=2)
    @pytest.mark.parametrize("i", range(2))
    def test_two(i, gpu):
        assert gpu.count == 2

    def test_crash():
        os.kill(os.getpid(), 9)

    def test_skipped():
        pytest.skip("not here")
"""

WAITS = """
    import os, pathlib, time, pytest

    @pytest.mark.parametrize("i", range(8))
    def test_a(i):
        with open("begun", "a") as file:
            file.write(f"{os.getpid()} {os.environ['GPUPOOL_HOST']}\\n")
        deadline = time.monotonic() + 200
        while not os.path.exists("over") and time.monotonic() < deadline:
            time.sleep(0.05)
"""


class RayHost:
    """A project that runs on a cluster whose hosts are this one."""

    def __init__(self, host: Host, cluster: RayCluster) -> None:
        self.host = host
        self.cluster = cluster
        self.begun = host.project / "begun"

    def watched(self, suite: str, *args: str) -> Watched:
        """Start a run of the suite, on the hosts that there are."""
        wait_until(self.cluster.knows_its_hosts, "Ray has given up the hosts that have ended")
        for name in ("begun", "over", "ran", "report.json"):
            (self.host.project / name).unlink(missing_ok=True)
        self.host.write("test_suite.py", suite)
        environ = {**self.host.environ(RAY_ADDRESS=None), **self.cluster.environ}
        locks = f"--gpupool-lock-dir={self.host.lock_dir}"
        return Watched(self.host, "-n4", "--gpupool-engine=ray", locks, *args, environ=environ)

    def running(self, count: int) -> list[tuple[int, str]]:
        """Wait until so many tests have begun; their workers' pids and hosts."""
        lines = [line.split() for line in wait_for(self.begun, count)]
        return [(int(pid), host) for pid, host in lines]

    def let_go(self) -> None:
        """Those that wait are to end."""
        (self.host.project / "over").touch()

    def has_nothing_left(self) -> None:
        """No actor, and no worker that has begun a test."""
        wait_until(lambda: not self.cluster.actors(), "all actors have ended")
        pids = {int(line.split()[0]) for line in self.begun.read_text().splitlines()} if self.begun.exists() else set()
        wait_until(lambda: not any(_lives(pid) for pid in pids), "all workers have ended")


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def ray_host(libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHost]:
    """A head, and two hosts with two GPUs each."""
    host = make_host(libraries, tmp_path_factory.mktemp("ray"), 10)
    cluster = RayCluster(2, 2, environ=host.environ(GPUPOOL_LOCK_DIR=None))
    try:
        yield RayHost(host, cluster)
    finally:
        cluster.stop()


def test_a_suite_runs_as_it_does_here(ray_host: RayHost) -> None:
    """Failures, a crash, several GPUs: told with the hosts."""
    run = ray_host.watched(SUITE).finish()
    assert run.status == 1, run.output
    expected = {f"test_a[{i}]": "failed" if i % 5 == 3 else "passed" for i in range(16)}
    expected |= {"test_two[0]": "passed", "test_two[1]": "passed", "test_crash": "crashed", "test_skipped": "skipped"}
    assert run.outcomes == expected, run.output
    assert run.report["run"]["engine"] == "ray"
    assert {worker["host"] for worker in run.report["workers"] if worker["host"]} <= set(ray_host.cluster.nodes)
    assert "Ray cluster at" in run.output
    ray_host.has_nothing_left()


def test_hosts_that_can_hold_no_worker_are_not_counted(ray_host: RayHost) -> None:
    """Here all but the head, which alone has what a worker is to have."""
    only_head = "--gpupool-engine-args=resource.node:__internal_head__=0.1"
    run = ray_host.watched("def test_a(): pass\n", only_head).finish()
    assert run.outcomes == {"test_a": "passed"}, run.output
    assert "(1 host, 0 GPUs)" in run.output
    assert {worker["host"] for worker in run.report["workers"] if worker["host"]} == {"head"}
    ray_host.has_nothing_left()


@pytest.mark.parametrize("injury", ["worker", "actor", "raylet", pytest.param("stopped", marks=pytest.mark.long)])
def test_what_is_lost_costs_its_test(ray_host: RayHost, injury: str) -> None:
    """And no more: others take its place."""
    running = ray_host.watched(WAITS)
    begun = ray_host.running(4)
    pid, host = begun[0]
    if injury == "worker":
        os.kill(pid, signal.SIGKILL)
    elif injury == "actor":
        program = psutil.Process(pid).parent()
        actor = program and program.parent()
        assert actor
        actor.kill()
    else:
        (ray_host.cluster.kill_raylet if injury == "raylet" else ray_host.cluster.stop_node)(host)
        ray_host.cluster.add_node(2)
    wait_until(lambda: not _lives(pid), "the worker has ended")
    ray_host.let_go()
    run = running.finish()
    lost = sum(other == host for _, other in begun) if injury in ("raylet", "stopped") else 1
    outcomes = sorted(run.outcomes.values())
    assert outcomes == ["crashed"] * lost + ["passed"] * (8 - lost), run.output
    assert run.status == 1
    ray_host.has_nothing_left()


def test_a_cluster_that_grows_and_shrinks(ray_host: RayHost) -> None:
    """Who waits begins on the new host; when that is drained its tests end well, and it gets no others' workers."""
    cluster = ray_host.cluster
    # Whoever knows of these tests that they are short starts nobody else for them.
    running = ray_host.watched(WAITS, "-n6", "--gpupool-durations=unknown.json")
    running.until("6 workers asked for, but there are 4 GPUs now")
    ray_host.running(4)
    new = cluster.add_node(2)
    running.until("there are 6 GPUs now")
    first = ray_host.running(6)
    victim, stays = (pid for pid, host in first if host == new)
    cluster.drain(new)
    os.kill(victim, signal.SIGKILL)
    running.until("node down")
    ray_host.let_go()
    run = running.finish()
    assert sorted(run.outcomes.values()) == ["crashed"] + ["passed"] * 7, run.output
    assert {pid for pid, host in ray_host.running(8) if host == new} == {victim, stays}
    wait_until(lambda: not cluster.has(new), "the drained host has left")
    ray_host.has_nothing_left()


def test_a_gpu_that_fails(ray_host: RayHost) -> None:
    """Its test is run by another worker, with another GPU, and the report tells it."""
    suite = """
        def test_fails(gpu):
            with open("ran", "a") as ran:
                ran.write(gpu.ids[0] + chr(10))
            if len(open("ran").readlines()) == 1:
                raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
    """
    run = ray_host.watched(suite, "-n1").finish()
    assert run.outcomes == {"test_fails": "passed"}, run.output
    first, second = (ray_host.host.project / "ran").read_text().split()
    assert first != second
    assert "1 passed, 1 rerun" in run.stdout
    assert "test_fails lost its device in gw0; tried again in gw1: passed" in run.stdout
    assert {device["id"] for device in run.report["devices"]} == {first, second}
    ray_host.has_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_run_that_is_ended_leaves_nothing(ray_host: RayHost, number: signal.Signals) -> None:
    """No actor, no worker."""
    running = ray_host.watched(WAITS)
    ray_host.running(4)
    os.killpg(running.process.pid, number)
    run = running.finish()
    assert run.status == {signal.SIGINT: 2, signal.SIGKILL: -9}[number], run.output
    ray_host.has_nothing_left()
