"""Which files a process holds locked is read from its descriptors."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_gpupool.processes.kernel.locks import flocks, held_flocks


@pytest.mark.parametrize("kind", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_a_lock_of_our_own(tmp_path: Path, kind: int) -> None:
    """With its path, and by the key under which the kernel lists it; alone or shared."""
    path = tmp_path / "a b.lock"
    with path.open("w") as file:
        assert str(path) not in (held_flocks(os.getpid()) or {}).values()
        fcntl.flock(file, kind)
        found = {key for key, name in (held_flocks(os.getpid()) or {}).items() if name == str(path)}
        assert len(found) == 1
        assert os.getpid() in flocks()[found.pop()]
    assert str(path) not in (held_flocks(os.getpid()) or {}).values()


def test_a_lock_whose_file_was_removed(tmp_path: Path) -> None:
    """Its path is still told."""
    path = tmp_path / "a.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        path.unlink()
        assert str(path) in (held_flocks(os.getpid()) or {}).values()


def started(code: str, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """A process that runs some code and is told to end by a line."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, pass_fds=pass_fds)


def test_a_lock_that_a_child_has_inherited(tmp_path: Path) -> None:
    """The child holds it as well; one that has opened the file itself does not."""
    path = tmp_path / "a.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        heir = started("print(flush=True); input()", pass_fds=[file.fileno()])
        other = started(f"f = open({str(path)!r}); print(flush=True); input()")
        try:
            assert all(child.stdout is not None and child.stdout.readline() for child in (heir, other))
            assert str(path) in (held_flocks(heir.pid) or {}).values()
            assert str(path) not in (held_flocks(other.pid) or {}).values()
        finally:
            for child in (heir, other):
                child.kill()
                child.communicate()


def test_a_posix_lock_is_none(tmp_path: Path) -> None:
    """lockf's are of another kind, and no lock of a device."""
    path = tmp_path / "a.lock"
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert str(path) not in (held_flocks(os.getpid()) or {}).values()


def test_of_nobody_there_is_none() -> None:
    """No such process."""
    assert held_flocks(1 << 30) is None
