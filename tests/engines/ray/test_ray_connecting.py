"""An address where something listens that never answers: Ray alone waits for it without end, and hears no signal."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from ray_cluster import LIMIT

ASKS = """
import sys
import ray
from pytest_gpupool.engines.ray.client import Client
from pytest_gpupool.engines.ray.site import Site
from pytest_gpupool.values.errors import UsageProblem
print("asks", flush=True)
try:
    Client(Site(address=sys.argv[1]), patience=float(sys.argv[2]))
except UsageProblem as problem:
    sys.exit(str(problem))
"""


@pytest.fixture
def silent() -> Iterator[str]:
    """Such an address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def start(address: str, patience: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ASKS, address, patience]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_is_given_up(silent: str) -> None:
    """With what to look at."""
    _, errors = (process := start(silent, "1")).communicate(timeout=LIMIT)
    assert process.returncode == 1, errors
    assert f"the cluster at {silent} has not let this process in within 1 s. Look at 'ray status' there" in errors


def test_it_can_be_interrupted(silent: str) -> None:
    """By Ctrl-C."""
    process = start(silent, "1000")
    assert process.stdout is not None
    assert process.stdout.readline() == "asks\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)  # far below what Ray takes to give up
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
