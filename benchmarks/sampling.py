"""What sampling costs, over the stand-in driver: processor time of its thread, and what a test loses.

    python benchmarks/sampling.py [--seconds 1] [--rounds 15] [--devices 1] [--children 0] [--busy 25]

In one process a loop in pure Python, which has nothing but a core to gain, runs in turn without sampling, with a look
each half second, and with ``busy`` times as many looks, which shows beside the noise of a machine. The first table is
about the thread, the second about the loop: the least of all rounds, which other work on the machine disturbed least,
and the median of the ratios round by round. "processor" is the processor time of the whole process, the thread's with
it. ``begin`` and ``end`` are what each attempt at a test costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sidebyside import table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from standin import Driver, build, fake_uuid

CHILD = """
import json, os, subprocess, sys, threading, time
from pytest_gpupool.sampling import samples
from pytest_gpupool.devices.nvidia.nvml import survey
from pytest_gpupool.sampling.sampler import Sampler

asked = json.loads(sys.argv[1])
devices = survey().devices[:asked["devices"]]
idle = [sys.executable, "-c", "input()"]
children = [subprocess.Popen(idle, stdin=subprocess.PIPE) for _ in range(asked["children"])]
intervals = [0.0, 0.5, 0.5 / asked["busy"]]
spent, looks = [0.0], [0]

class Counted(samples.Samples):
    def look(self):
        began = time.thread_time()
        super().look()
        spent[0] += time.thread_time() - began
        looks[0] += 1

samples.Samples = Counted

def work(amount):
    total = 0
    for number in range(amount):
        total += number * number % 7
    return total

def timed(amount, interval):
    sampler = Sampler(devices, interval=interval)
    sampler.begin()
    time.sleep(0.2)  # NVML is to be started before the test is timed: that comes once in a process
    wall, cpu = time.perf_counter(), time.process_time()
    work(amount)
    figures = time.perf_counter() - wall, time.process_time() - cpu
    sampler.stop()
    return figures

began = time.process_time()
work(1_000_000)
amount = int(1_000_000 * asked["seconds"] / (time.process_time() - began))
rounds = []
for number in range(asked["rounds"]):
    turned = intervals[number % 3:] + intervals[:number % 3]
    results = {interval: timed(amount, interval) for interval in turned}
    rounds.append([results[interval] for interval in intervals])

sampler = Sampler(devices, interval=0.5)
sampler.begin()
began = time.perf_counter()
for _ in range(100_000):
    sampler.begin()
    sampler.end()
per_test = (time.perf_counter() - began) / 100_000
sampler.stop()
print(json.dumps({"rounds": rounds, "spent": spent[0], "looks": looks[0], "per_test": per_test}))
for child in children:
    child.kill()
"""


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """Run the loop in a process that uses the stand-in driver."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        driver = Driver.with_gpus(build(folder / "lib"), folder / "state", max(1, args.devices), used=2**30)
        driver.replace(0, processes=((1, 2**30),))
        assert driver.uuids[0] == fake_uuid("GPU", 0)
        command = [sys.executable, "-c", CHILD, json.dumps(vars(args))]
        done = subprocess.run(command, env=driver.environ(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--children", type=int, default=0)
    parser.add_argument("--busy", type=int, default=25)
    args = parser.parse_args()
    answer = measured(args)
    look = answer["spent"] / answer["looks"]
    cells = (f"{look * 1e3:.2f}", f"{100 * look / 0.5:.2f} %", f"{answer['per_test'] * 1e6:.1f}")
    title = f"the thread, {args.devices} devices, {args.children} children, {answer['looks']} looks"
    table(title, ("one look, ms", "of a core at 0.5 s", "begin + end, µs"), {"": cells})
    names = ("never", "each 0.5 s", f"each {0.5 / args.busy:g} s")
    rows = {name: cells_of(answer["rounds"], place) for place, name in enumerate(names)}
    columns = [f"{clock}{column}" for clock in ("wall", "processor") for column in (", s", " ÷ never", " ÷, median")]
    table(f"a loop in pure Python, {args.rounds} rounds", columns, rows)


def cells_of(rounds: list[list[list[float]]], place: int) -> list[str]:
    """The cells of one way to sample: by the wall clock and by the processor's, each beside none."""
    cells = []
    for figure in (0, 1):
        seconds, without = ([results[way][figure] for results in rounds] for way in (place, 0))
        ratios = [one / other for one, other in zip(seconds, without, strict=True)]
        cells += [f"{min(seconds):.3f}", f"{min(seconds) / min(without):.4f}", f"{statistics.median(ratios):.4f}"]
    return cells


if __name__ == "__main__":
    main()
