"""The guardian by itself: whose end it notices, and whom it ends then."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from made_workers import GRACE, Start, Started, starting

from pytest_gpupool.processes import table

MAIN = """
from pytest_gpupool.processes.guardian import main
from pytest_gpupool.values.process_id import ProcessId
main({controller!r})
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers; see :func:`made_workers.starting`."""
    with starting() as begin:
        yield begin


def guardian_of(controller: Started, *, before: str = "") -> subprocess.Popen[str]:
    """A guardian, whose pipe this process holds open as a child does that the controller has forked."""
    source = before + MAIN.format(controller=controller.known.process)
    return subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, text=True)


def say(guardian: subprocess.Popen[str], line: str) -> None:
    assert guardian.stdin is not None
    guardian.stdin.write(line + "\n")
    guardian.stdin.flush()


@pytest.mark.parametrize("before", ["", "import os; del os.pidfd_open\n"], ids=["told", "looks"])
@pytest.mark.parametrize("early", [False, True], ids=["in-time", "late"])
def test_the_controller_ends_while_its_pipe_is_open(start: Start, before: str, early: bool) -> None:
    """A child of it holds that: the worker is ended all the same, also where the guardian came too late to see it."""
    controller, worker = start("say()\nrest()", "controller"), start("say(daemon())\nrest()")
    if early:
        controller.popen.kill()
        controller.wait()
    guardian = guardian_of(controller, before=before)
    say(guardian, json.dumps(worker.known[:2]))
    controller.popen.kill()  # not waited for: a zombie has ended
    assert guardian.wait(GRACE) == 0
    assert worker.wait() != 0
    assert table.process(worker.said[0]) is None or not table.process(worker.said[0]).lives  # type: ignore[union-attr]
    guardian.communicate()


def test_a_controller_that_says_goodbye(start: Start) -> None:
    """Nobody is ended, though the pipe stays open."""
    controller, worker = start("say()\nrest()", "controller"), start("say()\nrest()")
    guardian = guardian_of(controller)
    say(guardian, json.dumps(worker.known[:2]))
    say(guardian, "bye")
    assert guardian.wait(GRACE) == 0
    assert worker.popen.poll() is None
    guardian.communicate()
