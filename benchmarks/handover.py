"""How soon a device that comes free is the first waiter's, and how many come in turn, side by side with other ways.

    python benchmarks/handover.py [--waiters 1 8] [--rounds 5] [--times 20]

A process holds the device, others wait for it, one after the other gets it. Measured is the time from just before the
device is given back, or its holder is killed, until the next one has it, in milliseconds; "in turn" is the share of
those that got it in the order in which they came. Beside gpupool's queue: flock(2) that blocks, where the kernel wakes
whom it likes, and trying again with pauses that grow from 0.05 to 0.5 s, as version 0.1 does.
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from sidebyside import table

COMMON = """
import fcntl, os, sys, time
directory, device = sys.argv[1], sys.argv[2]
def say(text):
    print(text, flush=True)
def held(release):
    say(f"has {time.monotonic()}")
    sys.stdin.readline()
    say(f"gives {time.monotonic()}")
    release()
    sys.stdin.readline()
"""

GPUPOOL = """
from pytest_gpupool.devices.probe import Usage
from pytest_gpupool.leases.acquisition import acquire
from pytest_gpupool.leases.lease import Request
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.values.device import Device
class Idle:
    def usage(self, device):
        return Usage(processes=(), memory_used=0)
gpu = Device(id=device, kind="gpu", index=0, name="GPU", memory_total=1 << 36)
request = Request(devices=(gpu,), lock_dir=lock_directory(directory, {}), run="r", worker="gw0", busy_memory=None)
told = []
def tell(blockers, waited):
    if not told:
        told.append(say("waits"))
lease, _ = acquire(request, Idle(), refused=tell, is_cancelled=lambda: False)
held(lease.release)
"""

FLOCK = """
descriptor = os.open(os.path.join(directory, device), os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    say("waits")
    fcntl.flock(descriptor, fcntl.LOCK_EX)
held(lambda: os.close(descriptor))
"""

POLLING = """
descriptor = os.open(os.path.join(directory, device), os.O_RDWR | os.O_CREAT)
pause = 0.05
while True:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
    except BlockingIOError:
        if pause == 0.05:
            say("waits")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
held(lambda: os.close(descriptor))
"""

CONTENDERS = {"gpupool": GPUPOOL, "flock that blocks": FLOCK, "trying again": POLLING}


class Line:
    """One that holds the device, and others that wait for it, in the order in which they came."""

    def __init__(self, source: str, directory: str, waiters: int) -> None:
        self._comers = []
        for _ in range(waiters + 1):
            command = [sys.executable, "-c", COMMON + source, directory, f"GPU-{os.getpid()}"]
            comer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._comers.append(comer)
            self._says(comer)

    def pass_on(self, *, kill: bool) -> tuple[list[float], int]:
        """Let each give the device to the next; return the milliseconds, and how many came in turn."""
        times, in_turn, left = [], 0, self._comers[1:]
        holder = self._comers[0]
        while left:
            began = self._end(holder, kill=kill)
            following = self._next(left)
            times.append((float(self._says(following).split()[1]) - began) * 1e3)
            in_turn += following is left[0]
            left.remove(following)
            holder = following
        for comer in self._comers:
            comer.kill()
            comer.communicate()
        return times, in_turn

    def _end(self, holder: subprocess.Popen[str], *, kill: bool) -> float:
        time.sleep(0.3)  # those that wait rest
        if kill:
            began = time.monotonic()
            holder.kill()
            return began
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()
        return float(self._says(holder).split()[1])

    @staticmethod
    def _says(comer: subprocess.Popen[str]) -> str:
        assert comer.stdout is not None
        return comer.stdout.readline()

    @staticmethod
    def _next(left: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
        streams = {comer.stdout: comer for comer in left}
        ready, _, _ = select.select([stream for stream in streams if stream is not None], [], [], 60)
        return streams[ready[0]]


def main() -> None:
    """Print a table for each number of waiters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiters", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=20, help="hand-overs in a round, about")
    args = parser.parse_args()
    for waiters in args.waiters:
        for kill in (False, True):
            found: dict[str, list[float]] = {name: [] for name in CONTENDERS}
            turns = dict.fromkeys(CONTENDERS, 0)
            for _ in range(args.rounds):
                for name, source in CONTENDERS.items():
                    for _ in range(max(1, args.times // waiters)):
                        with tempfile.TemporaryDirectory() as directory:
                            times, in_turn = Line(source, directory, waiters).pass_on(kill=kill)
                        found[name] += times
                        turns[name] += in_turn
            how = "killed" if kill else "given back"
            columns: dict[str, Callable[[list[float]], float]] = {
                "median, ms": statistics.median,
                "95 %, ms": lambda times: statistics.quantiles(times, n=20, method="inclusive")[-1],
                "longest, ms": max,
            }
            rows = {
                name: (*(f"{figure(times):.1f}" for figure in columns.values()), f"{turns[name] / len(times):.0%}")
                for name, times in found.items()
            }
            table(f"{waiters} waiting, {how}, {args.rounds} rounds", (*columns, "in turn"), rows)


if __name__ == "__main__":
    main()
