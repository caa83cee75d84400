"""What a forked child has of its parent's does not act there."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from pytest_gpupool.processes.own import forks
from pytest_gpupool.processes.own.forks import Owner


def exit_code_of_child(work: Callable[[], int]) -> int:
    """Fork, have the child do this, and return with what it ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_an_owner_is_the_process_that_made_it() -> None:
    owner = Owner()
    assert owner.is_here
    assert exit_code_of_child(lambda: int(owner.is_here)) == 0
    assert exit_code_of_child(lambda: int(Owner().is_here)) == 1


class Counter:
    """Counts where it is called."""

    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        """Count."""
        self.count += 1


def test_before_in_the_parent_and_in_the_child() -> None:
    before, parent, child = Counter(), Counter(), Counter()
    forks.before(before.add)
    forks.in_parent(parent.add)
    forks.in_child(child.add)
    assert exit_code_of_child(lambda: child.count + 10 * parent.count + 100 * before.count) == 101
    assert (before.count, parent.count, child.count) == (1, 1, 0)


def test_what_is_gone_is_not_called_and_not_kept() -> None:
    """Nothing that was registered once can be taken back from Python; ours is forgotten with its object."""
    counter = Counter()
    forks.in_child(counter.add)
    known = len(forks._IN_CHILD)
    del counter
    gc.collect()
    other = Counter()
    forks.in_child(other.add)
    assert len(forks._IN_CHILD) <= known
    assert exit_code_of_child(lambda: other.count) == 1


RETURNS = """
import os, sys
from pytest_gpupool.processes.own import forks

pid = 0
try:
    with forks.Border("test_a.py::test_a"):
        pid = os.fork()
        if not pid:
            {end}
except BaseException:
    print("raised", flush=True)
    raise
print("went on", flush=True)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [("pass", 1), ("raise ValueError('its own')", 1), ("sys.exit(7)", 7), ("sys.exit()", 0), ("sys.exit('no')", 1)],
)
def test_a_child_that_comes_back_ends_with_a_word(end: str, code: int) -> None:
    """The parent alone goes on; an exit status that the child has chosen is its."""
    done = subprocess.run(
        [sys.executable, "-c", RETURNS.format(end=end)], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.split("\n")[:2] == ["went on", str(code)]
    assert "which was forked in test_a.py::test_a, came back into pytest" in done.stderr
    assert ("ValueError: its own" in done.stderr) == ("ValueError" in end)


def test_who_enters_leaves() -> None:
    """Also where it was a child before that."""
    with forks.Border("here"), pytest.raises(ValueError, match="mine"), forks.Border("here"):
        raise ValueError("mine")

    def enter() -> int:
        with forks.Border("here"):
            return 9

    assert exit_code_of_child(enter) == 9
