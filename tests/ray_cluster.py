"""A real Ray cluster of several nodes on this host, with stand-in GPUs, which no other host can reach.

Run as a program it is the cluster: it adds and counts nodes as told on stdin, and ends them all when that ends.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_gpupool.values.orders import HOST

LIMIT = 120.0
"""Seconds after which something does not happen any more."""
_NOT_FOR_RAY = ("RAY_", "PYTEST_", "GPUPOOL_", "CUDA_")
_LOOPBACK = {
    # Named for other systems, where Ray's nodes are on the loopback interface alone; here it has the same effect.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Return what the condition is when it is true."""
    deadline = time.monotonic() + LIMIT
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in {LIMIT:.0f} s: {what}"
        time.sleep(0.05)
    return value


class RayCluster:
    """A head without GPUs, and hosts with some, until :meth:`stop`."""

    def __init__(self, *gpus: int, token: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        if importlib.util.find_spec("ray") is None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("Ray is not installed")
        # A socket's path has room for about 40 characters of it.
        self.directory = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        (self.directory / "ray").mkdir()
        self._token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}
        others = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_RAY)}
        log = (self.directory / "cluster.log").open("wb")
        self._program = subprocess.Popen(
            [sys.executable, __file__],
            env={**others, **(environ or {}), **self.environ, **self._token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # Ctrl-C is for the tests: they stop it.
            start_new_session=True,
        )
        log.close()
        self.nodes: list[str] = []
        self._gpus = 0
        self._known: set[psutil.Process] = set()
        try:
            self.address = self._add("head", 0)
            for count in gpus:
                self.add_node(count)
        except BaseException:
            self.stop()
            raise

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs that is to find it, as the cluster that runs on this host."""
        return {**_LOOPBACK, "RAY_TMPDIR": str(self.directory)}

    def add_node(self, gpus: int) -> str:
        """Add a host; return its name."""
        name = f"node{len(self.nodes) + 1}"
        # The hosts are one machine: each has devices of its own there.
        visible = ",".join(str(number) for number in range(self._gpus, self._gpus + gpus))
        self._gpus += gpus
        self._add(name, gpus, visible)
        self.nodes.append(name)
        return name

    def knows_its_hosts(self) -> bool:
        """Whether those that have ended are given up: it takes Ray seconds to miss one."""
        lives = sum("raylet/raylet " in _command(one) for one in self.processes())
        return int(self._ask(None)) == lives

    def _add(self, name: str, gpus: int, visible: str = "") -> str:
        return self._ask([name, gpus, visible])

    def _ask(self, request: list[str | int] | None) -> str:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(request) + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline().strip()
        assert answer, (self.directory / "cluster.log").read_text()
        return answer

    def has(self, name: str) -> bool:
        """Whether a host is there."""
        return any(f"--node-name={name}" in _command(one) for one in self.processes())

    def raylet(self, name: str) -> psutil.Process:
        """The process that is a host to Ray."""
        return next(one for one in self.processes() if f"--node-name={name}" in _command(one))

    def drain(self, name: str) -> None:
        """Have Ray place nothing more there, and end the host when it has nothing to do."""
        (node,) = (arg for arg in self.raylet(name).cmdline() if arg.startswith("--node_id="))
        to_drain = [f"--address={self.address}", node.replace("_", "-"), "--reason=DRAIN_NODE_REASON_PREEMPTION"]
        subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "drain-node", *to_drain, "--reason-message=test"],
            env={**os.environ, **self.environ, **self._token},
            check=True,
            capture_output=True,
            timeout=LIMIT,
        )

    def stop_node(self, name: str) -> None:
        """End it as 'ray stop' does."""
        self.raylet(name).terminate()

    def kill_raylet(self, name: str) -> None:
        """Kill only that; what it runs may live on for a while."""
        self.raylet(name).kill()

    def kill_node(self, name: str) -> None:
        """Kill it with all that it runs, as where a machine is lost."""
        raylet = self.raylet(name)
        _kill([raylet, *raylet.children(recursive=True)])

    def processes(self) -> list[psutil.Process]:
        """Those of all hosts, and what they run."""
        # Those whose parent was killed are nobody's children: they are known from before.
        with contextlib.suppress(psutil.NoSuchProcess):
            self._known.update(psutil.Process(self._program.pid).children(recursive=True))
        return [one for one in self._known if _lives(one)]

    def host_of(self, actor: int) -> str:
        """The name of the host that has started an actor's process."""
        command = _command(psutil.Process(psutil.Process(actor).ppid()))
        return command.split("--node-name=")[1].split()[0]

    def actors(self) -> list[psutil.Process]:
        """The processes of actors."""
        return [one for one in self.processes() if "ray::GpupoolWorker" in _command(one)]

    def stop(self) -> None:
        """End it; nothing is left, however it is."""
        assert self._program.stdin is not None
        known = self.processes()
        self._program.stdin.close()
        try:
            self._program.wait(LIMIT)
            while any(map(_lives, known)):
                _kill(known)
                time.sleep(0.05)
        except subprocess.TimeoutExpired:
            _kill([*self.processes(), psutil.Process(self._program.pid)])
            self._program.wait()
            raise
        assert self._program.stdout is not None
        self._program.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def _kill(processes: Iterable[psutil.Process]) -> None:
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def main() -> None:
    """Be the cluster."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(shutdown_at_exit=False)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever Ray prints
    common: dict[str, Any] = {
        "num_cpus": 16,
        "node_ip_address": "127.0.0.1",
        "include_dashboard": False,
        "include_log_monitor": False,
        "object_store_memory": 80_000_000,
    }
    # A host that does not answer is given up after 5 s, not after 30.
    only_head: dict[str, Any] = {
        "_system_config": {
            "health_check_initial_delay_ms": 0,
            "health_check_period_ms": 1000,
            "health_check_timeout_ms": 5000,
            "health_check_failure_threshold": 5,
        }
    }
    state: Any = cluster.global_state
    for line in sys.stdin:
        if (host := json.loads(line)) is None:
            alive = sum(node["Alive"] for node in state.node_table())
            print(alive, file=answers, flush=True)
            continue
        name, gpus, visible = host
        os.environ |= {"CUDA_VISIBLE_DEVICES": visible, HOST: name}
        cluster.add_node(node_name=name, num_gpus=gpus, **common, **only_head)
        only_head = {}
        print(cluster.address, file=answers, flush=True)
    left = psutil.Process().children(recursive=True)
    while left:
        _kill(left)
        _, left = psutil.wait_procs(left, timeout=1)
    # Where the tests were killed nobody else does.
    shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
