"""An anchor is a name that one process has, and that nobody can remove."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys

from pytest_gpupool.leases.locking.anchors import Anchor, anchored

NAME = f"GPU-{os.getpid()}/alone"

HOLDS = """
import os, sys
from pytest_gpupool.leases.locking.anchors import Anchor
anchor = Anchor(sys.argv[1])
print(anchor.bind(), flush=True)
"""


def process(source: str, *command: str) -> subprocess.Popen[str]:
    """A process that has the name, and has said so."""
    args = [*command, sys.executable, "-c", HOLDS + source, NAME]
    started = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "True\n"
    return started


def test_one_has_it() -> None:
    """Until it gives it back, which may be done twice."""
    first, second = Anchor(NAME), Anchor(NAME)
    assert first.bind()
    assert not second.bind()
    assert NAME in anchored()
    first.release()
    first.release()
    assert NAME not in anchored()
    assert second.bind()
    second.release()


def test_it_ends_with_the_process() -> None:
    """By a kill, too."""
    holder = process("input()")
    assert not Anchor(NAME).bind()
    holder.kill()
    holder.communicate()
    again = Anchor(NAME)
    assert again.bind()
    again.release()


def test_whoever_inherits_it_has_it() -> None:
    """A fork of the holder's, which may use its GPU."""
    holder = process(
        "child = os.fork()\nif not child:\n    input()\n    os._exit(0)\n"
        "print(child, flush=True)\nos.kill(os.getpid(), 9)"
    )
    assert holder.stdout is not None
    assert holder.stdout.readline()
    holder.wait()
    assert not Anchor(NAME).bind()
    holder.communicate("\n")
    again = Anchor(NAME)
    assert again.bind()
    again.release()


def test_scopes_are_apart() -> None:
    """What is inside a lease is not the host's."""
    inner = Anchor(NAME, scope="run-1")
    outer = Anchor(NAME)
    assert inner.bind()
    assert outer.bind()
    assert anchored(scope="run-1") == {NAME}
    inner.release()
    outer.release()


def test_without_a_descriptor_it_is_not_taken() -> None:
    """That is no sandbox without sockets, where there would be nothing to take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    anchor = Anchor(NAME)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert not anchor.bind()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert anchor.bind()
    anchor.release()


def test_a_program_that_is_started_does_not_inherit_it() -> None:
    """It is not the holder's GPU that it uses."""
    holder = process(
        "import subprocess\nchild = subprocess.Popen(['sleep', '300'], stdin=-3, stdout=-3)\n"
        "print(child.pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    holder.communicate()
    again = Anchor(NAME)
    assert again.bind()
    again.release()
    os.kill(child, signal.SIGKILL)
