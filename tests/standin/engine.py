"""A stand-in engine: a cluster of hosts that are this one, placed at once where a GPU is free, else when one is.

A plugin of pytest: ``-p standin.engine`` puts it in the place of SLURM's. ``STANDIN_CLUSTER`` is a file of JSON that
says how many GPUs each host has by now: ``{"n1": 2, "n2": 2}``; the first host's are the first that the driver knows.
A host that is not in it any more takes along what runs there; on one that is called ``busy`` nothing is placed, and one
that is called ``blind`` does not say which GPUs it gives; one that is called ``refused`` takes nobody; one that is
called ``closed`` numbers what it gives from 0, as by a cgroup: a process there has the driver's state in the file of
that name beside the cluster's. Beside that file
``.running`` has what runs: pids by worker. ``STANDIN_SILENCE`` is after how many beats without an answer a host is
given up.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_gpupool.engines import engines, process
from pytest_gpupool.engines.engine import Room
from pytest_gpupool.values.errors import UsageProblem

from .driver import STATE_VARIABLE

VARIABLE = "STANDIN_CLUSTER"


class StandInEngine:
    """Gives each program its GPUs of one host."""

    name = "slurm"
    sends_code = False

    def __init__(self, arguments: Mapping[str, str | None]) -> None:
        self.file = Path(os.environ[VARIABLE])
        self.lock = threading.Condition()
        self.taken: dict[int, StandInLink] = {}
        self.links: list[StandInLink] = []
        self.gpus: dict[str, list[int]] = {}
        self.is_over = False
        self.look()
        threading.Thread(target=self.keep_looking, daemon=True).start()

    def look(self) -> None:
        """See which hosts there are; those that are gone take along what runs there."""
        try:
            hosts: dict[str, int] = json.loads(self.file.read_text())
        except ValueError:  # it is being written
            return
        known = sum(len(numbers) for numbers in self.gpus.values())
        for host, count in hosts.items():
            if host not in self.gpus:
                self.gpus[host] = list(range(known, known + count))
                known += count
        for link in self.links:
            if link.host and link.host not in hosts:
                link.fail(f"node {link.host} failed")
        self.hosts = hosts

    def keep_looking(self) -> None:
        """Look now and then."""
        while not self.is_over:
            with self.lock:
                self.look()
                self.place()
                self.lock.wait(0.1)

    def room(self) -> Room:
        """What there is now."""
        return Room(sum(self.hosts.values()), max(self.hosts.values(), default=0), len(self.hosts))

    def describe(self) -> str:
        """What it is."""
        return f"a stand-in cluster ({len(self.hosts)} hosts)"

    def launch(self, worker: str, gpus: int, command: Sequence[str]) -> StandInLink:
        """Run it, some time."""
        if gpus > self.room().largest:
            raise UsageProblem(f"no host has {gpus} GPUs")
        with self.lock:
            self.links.append(StandInLink(self, worker, gpus, list(command)))
            self.place()
            return self.links[-1]

    def place(self) -> None:
        """Start what there is room for, in turn."""
        for link in self.links:
            if link.process is None and not link.is_over:
                for host in sorted(self.hosts.keys() - {"busy"}):
                    free = [gpu for gpu in self.gpus[host] if gpu not in self.taken]
                    if len(free) >= link.gpus:
                        chosen = free[: link.gpus]
                        self.taken |= dict.fromkeys(chosen, link)
                        if host == "refused":
                            link.fail("not with this account")
                        else:
                            link.start(host, chosen)
                        break
        if self.is_over:
            return
        running = {link.worker: link.process.pid for link in self.links if link.process and not link.is_over}
        self.file.with_suffix(".running").write_text(json.dumps(running))

    def ended(self, link: StandInLink) -> None:
        """It has ended: others have its GPUs."""
        with self.lock:
            link.is_over = True
            self.taken = {gpu: other for gpu, other in self.taken.items() if other is not link}
            self.lock.notify()

    def close(self) -> None:
        """End all."""
        self.is_over = True
        for link in self.links:
            link.end()


class StandInLink:
    """A program on one host."""

    def __init__(self, engine: StandInEngine, worker: str, gpus: int, command: list[str]) -> None:
        self.engine, self.worker, self.gpus, self.command = engine, worker, gpus, command
        self.process: subprocess.Popen[bytes] | None = None
        self.host, self.why = "", ""
        self.is_over = self.was_told = False
        self.placed = threading.Event()

    def start(self, host: str, chosen: list[int]) -> None:
        """There is room for it."""
        self.host = host
        environ = {**os.environ, "GPUPOOL_HOST": host, "SLURM_JOB_ID": "12"}
        environ.pop("CUDA_VISIBLE_DEVICES", None)
        if self.gpus and host != "blind":
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(self.gpus) if host == "closed" else chosen))
        if host == "closed":
            environ[STATE_VARIABLE] = str(self.engine.file.with_name("closed"))
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, bufsize=0, start_new_session=True
        )
        self.placed.set()

    def write(self, data: bytes) -> None:
        """Send it."""
        self.placed.wait()
        if self.process is None or self.process.stdin is None:
            raise OSError("ended")
        while data:
            data = data[self.process.stdin.write(data) or 0 :]

    def read(self) -> bytes:
        """Wait for something."""
        self.placed.wait()
        if self.process is None or self.process.stdout is None:
            return b""
        data = self.process.stdout.read(1 << 16) or b""
        if not data:
            self.process.wait()
            self.engine.ended(self)
        return data

    def waits_for(self) -> str:
        """Why it is not placed yet."""
        return f"job of {self.worker} is pending (Resources)"

    def fail(self, why: str) -> None:
        """Its host is gone."""
        self.why = self.why or why
        self._stop()

    def end(self) -> None:
        """End it, with the worker: the host is no more for it."""
        self.was_told = True
        self._stop()

    def _stop(self) -> None:
        self.is_over = self.is_over or self.process is None
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.placed.set()

    def end_words(self) -> str:
        """How it ended, unless that was wanted."""
        return "" if self.was_told else self.why


process.SILENT_BEATS = int(os.environ.get("STANDIN_SILENCE", process.SILENT_BEATS))
engines.engine = lambda name, arguments: StandInEngine(arguments)
