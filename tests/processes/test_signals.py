"""A signal reaches the process that is meant, or nobody."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from made_workers import Start, lives, starting

from pytest_gpupool.processes import signals
from pytest_gpupool.processes.table import start_of


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers; see :func:`made_workers.starting`."""
    with starting() as begin:
        yield begin


@pytest.fixture(params=["by its descriptor", "by its number"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old kernels have no descriptors of processes, nor have some containers."""
    if request.param == "by its number":
        monkeypatch.delattr(os, "pidfd_open")


def test_the_one_that_is_meant(start: Start) -> None:
    """It gets all signals, in order."""
    worker = start("signal.signal(signal.SIGTERM, lambda *_: os._exit(7))\nsay()\nrest()")
    os.kill(worker.pid, signal.SIGSTOP)
    started = start_of(worker.pid)
    assert started is not None
    assert signals.send(worker.pid, started, signal.SIGTERM, signal.SIGCONT)
    assert worker.wait() == 7
    assert not signals.send(worker.pid, started, signal.SIGTERM)


def test_another_one_that_has_its_number(start: Start) -> None:
    """It was started at another time."""
    stranger = start("say()\ntime.sleep(600)")
    started = start_of(stranger.pid)
    assert started is not None
    assert not signals.send(stranger.pid, started - 1, signal.SIGKILL)
    assert lives(stranger.pid)


def test_one_that_is_another_user_s(start: Start) -> None:
    """Nothing is raised."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    code = (
        "from pytest_gpupool.processes import signals\n"
        "parent = os.getppid()\n"
        "os.setuid(65534)\n"
        "say(int(signals.send(parent, table.start_of(parent), 0)))"
    )
    assert start(code).said == [0]
