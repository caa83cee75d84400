"""What it takes to start workers by an engine, and what a test costs there, side by side with bare processes.

    python benchmarks/engines.py [--workers 1,8,16,64] [--tests 2000] [--beside 8] [--rounds 5] [--engines slurm,ray]

The clusters are real ones on this host (Debian's slurm-wlm and munge; the extra ray), so that their own processes count
as well. "start" is from the command until that many tests run beside each other, each on its own worker; "bare" is the
same without pytest-gpupool: as many Python processes that import pytest and pytest-xdist and wait for each other,
started at once by Popen, ``srun`` or as Ray's actors. "÷" is the median of the rounds' own ratios. "a test" is the time
of so many empty tests on so many workers, without the start, by their number. Workers need 80 MB each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import slurm_cluster
from ray_cluster import RayCluster
from slurm_cluster import SlurmCluster

LIMIT = 300.0
"""Seconds after which a run hangs for sure."""
MEET = """
import time
with open("begun", "a") as file:
    file.write("x\\n")
while len(open("begun").read().split()) < {count}:
    time.sleep(0.01)
with open("up", "a") as file:
    file.write(f"{{time.time()}}\\n")
"""
"""Wait for the others, then write down when all were there."""
ACTORS = """
import os, ray

@ray.remote(num_cpus=0)
class Actor:
    def meet(self, directory):
        import pytest, xdist
        os.chdir(directory)
        exec(open("meet.py").read(), {{}})

ray.init(log_to_driver=False, logging_level="ERROR")
actors = [Actor.remote() for _ in range({count})]
ray.get([actor.meet.remote(os.getcwd()) for actor in actors])
"""
TESTS = """import pytest

@pytest.mark.parametrize("number", range({count}))
def test_starts(number):
    exec(open("meet.py").read(), {{}})
"""
EMPTY = """import pytest

@pytest.mark.parametrize("number", range({count}))
def test_is_empty(number):
    pass
"""


def main() -> None:
    """Print the table after each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,8,16,64")
    parser.add_argument("--tests", type=int, default=2000)
    parser.add_argument("--beside", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default="local,slurm,ray")
    args = parser.parse_args()
    counts, engines = [int(count) for count in args.workers.split(",")], args.engines.split(",")
    starts: dict[tuple[str, int], list[tuple[float, float]]] = {}
    costs: dict[str, list[float]] = {}
    with ExitStack() as stack:
        environs = {engine: stack.enter_context(_cluster(engine)) for engine in engines}
        for number in range(args.rounds):
            for engine in engines:
                for count in counts:
                    pair = _start(engine, count, environs[engine], bare_first=bool(number % 2))
                    starts.setdefault((engine, count), []).append(pair)
                costs.setdefault(engine, []).append(_cost(engine, args.tests, args.beside, environs[engine]))
            _print_table(number + 1, counts, starts, costs)


def _print_table(
    rounds: int,
    counts: list[int],
    starts: dict[tuple[str, int], list[tuple[float, float]]],
    costs: dict[str, list[float]],
) -> None:
    """Say what all rounds so far have given: a long run that is broken off has told something."""
    print(f"| median of {rounds} | workers | start, s | bare, s | ÷ | a test, ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for engine, cost in costs.items():
        for count in counts:
            pairs = starts[engine, count]
            start, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            test = f"{1000 * statistics.median(cost):.2f}" if count == counts[0] else ""
            print(f"| {engine} | {count} | {start:.2f} | {bare:.2f} | {ratio:.2f} | {test} |", flush=True)


@contextmanager
def _cluster(engine: str) -> Iterator[Mapping[str, str]]:
    """Give the environment of a run by an engine, whose cluster runs meanwhile."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GPUPOOL_"))}
    if engine == "slurm":
        slurm_cluster.CPUS = 64
        with tempfile.TemporaryDirectory() as directory:
            slurm = SlurmCluster(Path(directory))
            try:
                slurm.start()
                yield slurm.environ(environ)
            finally:
                slurm.stop()
    elif engine == "ray":
        ray = RayCluster(2, 2)
        try:
            yield environ | ray.environ
        finally:
            ray.stop()
    else:
        yield environ


def _start(engine: str, count: int, environ: Mapping[str, str], *, bare_first: bool) -> tuple[float, float]:
    """Return the seconds until so many tests run at once, and until so many bare processes do, taken in turns."""
    if bare_first:
        bare = _until_all_met(count, lambda directory: _bare(engine, count, directory, environ))
    ours = _until_all_met(count, lambda directory: _pytest(engine, count, TESTS, count, directory, environ))
    if not bare_first:
        bare = _until_all_met(count, lambda directory: _bare(engine, count, directory, environ))
    return ours, bare


def _until_all_met(count: int, run: Callable[[Path], object]) -> float:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "meet.py").write_text(MEET.format(count=count))
        began = time.time()
        run(directory)
        return max(map(float, (directory / "up").read_text().split())) - began


def _bare(engine: str, count: int, directory: Path, environ: Mapping[str, str]) -> None:
    """Start as many processes as the engine's own means do, and wait for their ends."""
    process = [sys.executable, "-c", "import pytest, xdist; exec(open('meet.py').read(), {})"]
    if engine == "ray":
        commands = [[sys.executable, "-c", ACTORS.format(count=count)]]
    elif engine == "slurm":
        commands = [["srun", "--quiet", "--ntasks=1", *process]] * count
    else:
        commands = [process] * count
    started = [subprocess.Popen(line, cwd=directory, env=dict(environ), stdout=subprocess.DEVNULL) for line in commands]
    try:
        statuses = [one.wait(LIMIT) for one in started]
    finally:
        for one in started:
            one.kill()
    assert not any(statuses), f"{engine}: bare processes ended with {statuses}"


def _cost(engine: str, tests: int, beside: int, environ: Mapping[str, str]) -> float:
    """Return the seconds that a test takes of the run, without the start."""
    with tempfile.TemporaryDirectory() as directory:
        start = _pytest(engine, beside, EMPTY, beside, Path(directory), environ)
    with tempfile.TemporaryDirectory() as directory:
        return (_pytest(engine, beside, EMPTY, tests, Path(directory), environ) - start) / tests


def _pytest(engine: str, workers: int, suite: str, tests: int, directory: Path, environ: Mapping[str, str]) -> float:
    (directory / "test_suite.py").write_text(suite.format(count=tests))
    options = [f"-n{workers}", f"--gpupool-engine={engine}", "--gpupool-devices=cpu", "--gpupool-order=file"]
    if engine == "ray":
        options.append("--gpupool-engine-args=num_cpus=0")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *options]
    began = time.monotonic()
    subprocess.run(command, cwd=directory, env=dict(environ), check=True, stdout=subprocess.DEVNULL, timeout=LIMIT)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
