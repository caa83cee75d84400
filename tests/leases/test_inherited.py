"""A lease in the environment is believed where a process above holds it, as the kernel says, and only there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from made_leases import NOBODY

from pytest_gpupool.leases.inherited import inherited, is_claimed, warning
from pytest_gpupool.leases.locking.lock_directory import LockDirectory, lock_directory

A, B = f"GPU-aaaaaaaa-{os.getpid()}", f"GPU-bbbbbbbb-{os.getpid()}"

CHILD = """
import json, os, sys
from pytest_gpupool.leases.inherited import inherited
from pytest_gpupool.leases.locking.lock_directory import lock_directory

opened = []

def directory():
    opened.append(1)
    return lock_directory(sys.argv[1], {})

def answer():
    found = inherited(json.loads(sys.argv[2]), directory)
    print(json.dumps([found, bool(opened)]), flush=True)
"""
ASK = CHILD + "answer()\n"
AS_NOBODY = CHILD + f"os.setgid({NOBODY}); os.setuid({NOBODY}); answer()\n"
TWICE = """
import subprocess, sys
subprocess.run([sys.executable, "-c", *sys.argv[1:]], check=True)
"""


@pytest.fixture
def directory(tmp_path: Path) -> LockDirectory:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


def claims(*devices: str) -> dict[str, str]:
    """What the environment of a process within a lease says."""
    return {"GPUPOOL_RUN": "run-1", "GPUPOOL_DEVICES": ",".join(devices)}


@contextmanager
def holding(directory: LockDirectory, *devices: str, shared: bool = False) -> Iterator[None]:
    """This process holds these devices."""
    from pytest_gpupool.leases.locking import names
    from pytest_gpupool.leases.locking.locks import LockFile

    locks = [LockFile(directory, names.lock(device), shared=shared) for device in devices]
    try:
        assert all(lock.lock() for lock in locks)
        yield
    finally:
        for lock in locks:
            lock.unlock()


def asked(directory: LockDirectory, environ: dict[str, str], code: str = ASK, *, depth: int = 1) -> Any:
    """What a child finds, or its child; and whether it has looked into the lock directory for that."""
    command = [sys.executable, "-c", *([TWICE] * (depth - 1)), code, str(directory.path), json.dumps(environ)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def unneeded() -> LockDirectory:
    """Nobody is to look there."""
    raise AssertionError("the lock directory is not needed")


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_an_ancestor_holds_is_inherited(directory: LockDirectory, depth: int, shared: bool) -> None:
    """In the environment's order, with who holds it; no directory is asked, which only the one above knows."""
    with holding(directory, A, B, shared=shared):
        found, looked = asked(directory, claims(B, A), depth=depth)
        assert found == ["run-1", [B, A], [os.getpid()]]
        assert not looked
        assert asked(directory, claims(A), depth=depth)[0] == ["run-1", [A], [os.getpid()]]


def test_what_this_process_holds_is_its_own_too(directory: LockDirectory) -> None:
    """A test in a worker calls pytest."""
    with holding(directory, A):
        assert inherited(claims(A), unneeded) == ("run-1", (A,), (os.getpid(),))
    assert inherited(claims(A), lambda: directory) is None
    assert inherited(claims(A), lambda: None) is None


def test_what_nobody_holds_is_not(directory: LockDirectory) -> None:
    """Be it one of several."""
    assert asked(directory, claims(A))[0] is None
    with holding(directory, A):
        assert asked(directory, claims(A, B))[0] is None
        assert asked(directory, claims(B))[0] is None


def test_what_somebody_else_holds_is_not(directory: LockDirectory) -> None:
    """A process beside this one is none above it."""
    code = (
        "import sys\nfrom pytest_gpupool.leases.locking.lock_directory import lock_directory\n"
        "from pytest_gpupool.leases.locking.locks import LockFile\n"
        "lock = LockFile(lock_directory(sys.argv[1], {}), sys.argv[2])\nprint(lock.lock(), flush=True)\ninput()"
    )
    command = [sys.executable, "-c", code, str(directory.path), f"{A}.lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert asked(directory, claims(A))[0] is None
        other.kill()


def test_a_lock_whose_file_was_removed_counts(directory: LockDirectory) -> None:
    """The one above holds it, and puts its file back."""
    with holding(directory, A):
        directory.remove(f"{A}.lock")
        assert asked(directory, claims(A))[0] == ["run-1", [A], [os.getpid()]]


HOLDER = """
import os, subprocess, sys
from pytest_gpupool.leases.locking.lock_directory import lock_directory
from pytest_gpupool.leases.locking.locks import LockFile

lock = LockFile(lock_directory(sys.argv[1], {}), sys.argv[2])
assert lock.lock()
child = subprocess.Popen([sys.executable, "-c", *sys.argv[3:]], pass_fds=lock.descriptors)
print(child.pid, flush=True)
input()
"""
HEIR = """
import subprocess, sys
sys.stdin.readline()
subprocess.run([sys.executable, "-c", *sys.argv[1:]], check=True)
"""


def test_a_command_that_has_inherited_the_descriptors_holds_the_lease(directory: LockDirectory) -> None:
    """Where the one that took it was killed."""
    holder = [sys.executable, "-c", HOLDER, str(directory.path), f"{A}.lock"]
    command = [*holder, HEIR, ASK, str(directory.path), json.dumps(claims(A))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        heir = int(process.stdout.readline())
        process.kill()
        process.wait()
        process.stdin.write("\n")
        process.stdin.flush()
        found, _ = json.loads(process.stdout.readline())
    assert found == ["run-1", [A], [heir]]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_where_descriptors_are_hidden_the_kernels_list_tells() -> None:
    """As those of another user's process above; the lock directory says which lock is meant."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        _ask_as_nobody(lock_directory(f"{name}/locks", {}))


def _ask_as_nobody(directory: LockDirectory) -> None:
    with holding(directory, A):
        assert asked(directory, claims(A), AS_NOBODY) == [["run-1", [A], [os.getpid()]], True]
        assert asked(directory, claims(A, B), AS_NOBODY) == [None, True]


@pytest.mark.parametrize(
    ("environ", "claimed"),
    [
        ({}, False),
        ({"GPUPOOL_DEVICES": A}, False),
        ({"GPUPOOL_RUN": "run-1", "GPUPOOL_DEVICES": ""}, False),
        ({"GPUPOOL_RUN": "run-1", "GPUPOOL_DEVICES": "cpu:0"}, False),
        ({"GPUPOOL_RUN": "run-1", "GPUPOOL_DEVICES": A}, True),
        ({"GPUPOOL_RUN": "run-1"}, True),
    ],
)
def test_what_claims_a_lease(environ: dict[str, str], claimed: bool) -> None:
    """A run and its devices; CPU slots and a worker without a device need none."""
    assert is_claimed(environ) is claimed
    assert inherited(environ, lambda: None) is None


def test_the_warning_says_what_is_ignored_and_why() -> None:
    """The variable, and the devices that nobody holds."""
    assert warning(claims(A, B)) == f"GPUPOOL_RUN=run-1 is set, but no process above this one holds {A}, {B}: ignored"
    said = "GPUPOOL_RUN=run-1 is set, but GPUPOOL_DEVICES is not, and tells no device: ignored"
    assert warning({"GPUPOOL_RUN": "run-1"}) == said
