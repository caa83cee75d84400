"""``--gpupool-affinity``: a worker runs on the cores near its GPU, if anybody knows which these are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from standin import Driver, Gpu
from support import Host, Run, gpus, instances

CORES = sorted(os.sched_getaffinity(0))
FAR = max(CORES) + 1
"""A core that no process here may use."""

pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="there is one core to run on")

SUITE = """
    import json, os, subprocess, sys
    from pathlib import Path
    import pytest

    ASK = "import os; print(*sorted(os.sched_getaffinity(0)))"

    def see(name, gpu):
        started = subprocess.run([sys.executable, "-c", ASK], check=True, capture_output=True, text=True).stdout
        seen = [sorted(os.sched_getaffinity(0)), list(map(int, started.split())), os.environ["OMP_NUM_THREADS"]]
        Path(f"{name}.json").write_text(json.dumps([*seen, AT_IMPORT, gpu.ids]))

    AT_IMPORT = sorted(os.sched_getaffinity(0))

    def test_one(gpu):
        see("one", gpu)
"""
PAIR = """
    @pytest.mark.gpupool(gpus=2)
    def test_pair(gpu):
        see("pair", gpu)
"""

WAYS = pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "worker"])


@pytest.fixture
def host_of(libraries: Path, tmp_path: Path) -> Callable[..., Host]:
    """Makes a host with these GPUs."""

    def make(*cards: Gpu) -> Host:
        host = Host(tmp_path, Driver(libraries, tmp_path / "nvml-state", cards))
        host.write("test_suite.py", SUITE)
        return host

    return make


def card(number: int, *cores: int) -> Gpu:
    """A GPU near these cores, near none that anybody knows without any."""
    return Gpu(gpus(number + 1)[number].uuid, cores=cores or None)


def cores_of(host: Host, name: str = "one") -> tuple[list[int], int]:
    """On which cores a test ran, and how many threads it was to use."""
    cores, of_child, threads, at_import, _ = json.loads((host.project / f"{name}.json").read_text())
    assert cores == of_child
    assert name != "one" or cores == at_import
    return cores, int(threads)


def notes(run: Run) -> list[str]:
    """What pytest's header says of it."""
    return [line for line in run.stdout.splitlines() if "affinity" in line and line.startswith("gpupool: ")]


@WAYS
def test_a_worker_runs_near_its_gpu(host_of: Callable[..., Host], workers: tuple[str, ...]) -> None:
    """And what it starts; libraries are told to use no more threads. Before pytest starts in it."""
    host = host_of(card(0, CORES[-1], FAR))
    run = host.pytest("--gpupool-affinity", *workers)
    assert run.status == 0, run.output
    assert cores_of(host) == ([CORES[-1]], 1)
    assert notes(run) == []


@WAYS
def test_it_is_off_by_default(host_of: Callable[..., Host], workers: tuple[str, ...]) -> None:
    """A worker runs where it may."""
    host = host_of(card(0, CORES[0]))
    assert host.pytest(*workers).status == 0
    assert cores_of(host)[0] == CORES


def test_the_ini_file_may_ask_for_it(host_of: Callable[..., Host]) -> None:
    """For everybody."""
    host = host_of(card(0, CORES[0]))
    host.write("pytest.ini", "[pytest]\ngpupool_affinity = true\n")
    assert host.pytest("-n1").status == 0
    assert cores_of(host) == ([CORES[0]], 1)


@WAYS
def test_several_gpus_have_the_cores_of_all(host_of: Callable[..., Host], workers: tuple[str, ...]) -> None:
    """Also where the lease grows once the tests are known."""
    host = host_of(card(0, CORES[0]), card(1, CORES[1]))
    host.write("test_suite.py", SUITE + PAIR)
    run = host.pytest("--gpupool-affinity", *workers, "-k", "pair")
    assert run.status == 0, run.output
    assert cores_of(host, "pair")[0] == CORES[:2]


def test_an_instance_has_the_cores_of_its_gpu(host_of: Callable[..., Host]) -> None:
    """NVML tells of GPUs only."""
    host = host_of(Gpu(gpus(1)[0].uuid, cores=(CORES[0],), mig_enabled=True, mig=instances(1)))
    assert host.pytest("--gpupool-affinity", "-n1").status == 0
    assert cores_of(host)[0] == [CORES[0]]


@WAYS
def test_where_nothing_is_known_that_is_said(host_of: Callable[..., Host], workers: tuple[str, ...]) -> None:
    """The run goes on, and nobody is pinned."""
    host = host_of(card(0))
    run = host.pytest("--gpupool-affinity", *workers)
    assert run.status == 0, run.output
    assert cores_of(host)[0] == CORES
    why = "NVML does not say which cores are near GPU 0"
    assert notes(run) == [f"gpupool: --gpupool-affinity leaves workers unpinned: {why}"]


def test_where_none_of_them_may_be_used_that_is_said(host_of: Callable[..., Host]) -> None:
    """A container may have been given others."""
    host = host_of(card(0, FAR))
    run = host.pytest("--gpupool-affinity", "-n1")
    assert run.status == 0, run.output
    assert cores_of(host)[0] == CORES
    why = "this process may use none of the cores near GPU 0"
    assert notes(run) == [f"gpupool: --gpupool-affinity leaves workers unpinned: {why}"]


def test_without_a_gpu_that_is_said(cpu_host: Host) -> None:
    """CPU slots are near everything."""
    cpu_host.write("test_suite.py", "def test_it(): pass\n")
    run = cpu_host.pytest("--gpupool-affinity", "-n1")
    assert run.status == 0, run.output
    assert notes(run) == ["gpupool: --gpupool-affinity leaves workers unpinned: there is no GPU"]


def test_a_program_that_has_called_pytest_runs_on_all_its_cores_again(host_of: Callable[..., Host]) -> None:
    """As before."""
    host = host_of(card(0, CORES[0]))
    host.write(
        "program.py",
        """
        import os, pytest, sys
        status = pytest.main(["-p", "no:cacheprovider", "--gpupool-affinity"])
        print("after:", *sorted(os.sched_getaffinity(0)))
        sys.exit(status)
        """,
    )
    command, environ = [sys.executable, "program.py"], host.environ()
    done = subprocess.run(command, cwd=host.project, env=environ, capture_output=True, text=True, check=True)
    assert cores_of(host)[0] == [CORES[0]]
    assert f"after: {' '.join(map(str, CORES))}" in done.stdout
