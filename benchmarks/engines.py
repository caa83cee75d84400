"""What it takes to start workers by an engine, and what a test costs there, side by side with processes of this host.

    python benchmarks/engines.py [--workers 1,8,16,64] [--tests 2000] [--beside 8] [--rounds 5] [--engines slurm,ray]

The clusters are real ones on this host (Debian's slurm-wlm and munge; the extra ray), so that their own processes count
as well. "start" is from the command until that many tests run beside each other, each on its own worker; "a test" is
the time of so many empty tests on so many workers, without the start, by their number. Workers need 80 MB each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import slurm_cluster
from ray_cluster import RayCluster
from slurm_cluster import SlurmCluster

TOGETHER = """
    import os, time, pytest

    @pytest.mark.parametrize("number", range({count}))
    def test_starts(number):
        with open("begun", "a") as file:
            file.write("x\\n")
        while len(open("begun").read().split()) < {count}:
            time.sleep(0.01)
        with open("up", "a") as file:
            file.write(f"{{time.time()}}\\n")
"""
EMPTY = "import pytest\n@pytest.mark.parametrize('number', range({count}))\ndef test_is_empty(number): pass\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,8,16,64")
    parser.add_argument("--tests", type=int, default=2000)
    parser.add_argument("--beside", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default="local,slurm,ray")
    args = parser.parse_args()
    counts, engines = [int(count) for count in args.workers.split(",")], args.engines.split(",")
    starts: dict[tuple[str, int], list[float]] = {}
    costs: dict[str, list[float]] = {}
    with ExitStack() as stack:
        environs = {engine: stack.enter_context(_cluster(engine)) for engine in engines}
        for _ in range(args.rounds):
            for engine in engines:
                for count in counts:
                    starts.setdefault((engine, count), []).append(_start(engine, count, environs[engine]))
                costs.setdefault(engine, []).append(_cost(engine, args.tests, args.beside, environs[engine]))
    print(f"| median of {args.rounds} | {' | '.join(f'start {count}, s' for count in counts)} | a test, ms |")
    print(f"| --- | {'---: | ' * (len(counts) + 1)}")
    for engine in engines:
        cells = [f"{statistics.median(starts[engine, count]):.2f}" for count in counts]
        print(f"| {engine} | {' | '.join(cells)} | {1000 * statistics.median(costs[engine]):.2f} |")


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


def _start(engine: str, count: int, environ: Mapping[str, str]) -> float:
    """Return the seconds until so many tests run at once."""
    with tempfile.TemporaryDirectory() as directory:
        began = time.time()
        _pytest(engine, count, TOGETHER.format(count=count), Path(directory), environ)
        return max(map(float, (Path(directory) / "up").read_text().split())) - began


def _cost(engine: str, tests: int, beside: int, environ: Mapping[str, str]) -> float:
    """Return the seconds that a test takes of the run, without the start."""
    with tempfile.TemporaryDirectory() as directory:
        start = _pytest(engine, beside, EMPTY.format(count=beside), Path(directory), environ)
    with tempfile.TemporaryDirectory() as directory:
        return (_pytest(engine, beside, EMPTY.format(count=tests), Path(directory), environ) - start) / tests


def _pytest(engine: str, workers: int, suite: str, directory: Path, environ: Mapping[str, str]) -> float:
    lines = suite.splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    (directory / "test_suite.py").write_text("\n".join(line[indent:] for line in lines) + "\n")
    options = [f"-n{workers}", f"--gpupool-engine={engine}", "--gpupool-devices=cpu", "--gpupool-order=file"]
    if engine == "ray":
        options.append("--gpupool-engine-args=num_cpus=0")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *options]
    began = time.monotonic()
    subprocess.run(command, cwd=directory, env=dict(environ), check=True, stdout=subprocess.DEVNULL, timeout=600)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
