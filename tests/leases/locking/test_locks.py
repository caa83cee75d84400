"""A lock file excludes, or is shared by those who share it; the kernel keeps the two apart."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gpupool.leases.locking.lock_directory import BadFile, LockDirectory, lock_directory
from pytest_gpupool.leases.locking.locks import LockFile, is_locked
from pytest_gpupool.leases.queueing.wakeups import Wakeups

NAME = "a.lock"
LONG = 60.0


@pytest.fixture
def directory(tmp_path: Path) -> LockDirectory:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


class TestAlone:
    """Who locks a file alone excludes everybody else."""

    def test_it_excludes(self, directory: LockDirectory) -> None:
        """Until it is given back, which may be done twice; other objects of the same process as well."""
        first, second = LockFile(directory, NAME), LockFile(directory, NAME)
        assert first.lock()
        assert not second.lock()
        assert not LockFile(directory, NAME, shared=True).lock()
        assert is_locked(directory, NAME)
        first.unlock()
        first.unlock()
        assert not is_locked(directory, NAME)
        assert second.lock()
        second.unlock()

    def test_the_file_stays_for_every_user(self, directory: LockDirectory) -> None:
        """Past the umask."""
        before = os.umask(0o077)
        try:
            LockFile(directory, NAME).lock()
        finally:
            os.umask(before)
        assert stat.S_IMODE((directory.path / NAME).stat().st_mode) == 0o666

    def test_to_look_makes_no_file(self, directory: LockDirectory) -> None:
        """Nobody has locked one that is not there."""
        assert not is_locked(directory, NAME)
        assert list(directory.path.iterdir()) == []

    def test_a_program_that_inherits_it_holds_it(self, directory: LockDirectory) -> None:
        """After the end of who locked it, too."""
        file = LockFile(directory, NAME)
        assert file.lock()
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=file.descriptors, text=True
        )
        for descriptor in file.descriptors:
            os.close(descriptor)
        assert is_locked(directory, NAME)
        child.communicate("\n")
        assert not is_locked(directory, NAME)


class TestShared:
    """Those who share it keep out who wants it alone."""

    def test_as_many_as_like(self, directory: LockDirectory) -> None:
        """The last one that goes leaves it free."""
        files = [LockFile(directory, NAME, shared=True) for _ in range(3)]
        assert all(file.lock() for file in files)
        for file in files:
            assert not LockFile(directory, NAME).lock()
            assert is_locked(directory, NAME)
            file.unlock()
        assert not is_locked(directory, NAME)
        assert LockFile(directory, NAME).lock()


class TestRemoved:
    """A lock is one on the file that everybody finds by its name."""

    def test_it_is_noticed_and_put_back(self, directory: LockDirectory) -> None:
        """Whether it was removed, moved, or replaced."""
        file = LockFile(directory, NAME)
        assert file.lock()
        assert not file.is_lost()
        for remove in (Path.unlink, lambda path: path.rename(directory.path / "other"), _replace):
            remove(directory.path / NAME)
            assert file.is_lost()
            assert file.put_back()
            assert not file.is_lost()
            assert not LockFile(directory, NAME).lock()
        file.unlock()

    def test_who_came_first_has_it(self, directory: LockDirectory) -> None:
        """Then the old lock stays what it was."""
        file, second = LockFile(directory, NAME), LockFile(directory, NAME)
        assert file.lock()
        (directory.path / NAME).unlink()
        assert second.lock()
        assert not file.put_back()
        second.unlock()
        assert file.put_back()
        file.unlock()

    def test_a_directory_that_is_gone_is_made_again(self, directory: LockDirectory) -> None:
        """As all users need it."""
        file = LockFile(directory, NAME)
        assert file.lock()
        (directory.path / NAME).unlink()
        directory.path.rmdir()
        assert file.is_lost()
        assert file.put_back()
        assert stat.S_IMODE(directory.path.stat().st_mode) == 0o1777
        assert not LockFile(directory, NAME).lock()
        file.unlock()


class TestWaking:
    """Those who wait for it are waked when it is free."""

    @pytest.mark.parametrize("ending", ["file.unlock()", "os.kill(os.getpid(), 9)"], ids=["unlocked", "killed"])
    def test_by_its_end(self, directory: LockDirectory, ending: str) -> None:
        """However that comes."""
        source = (
            "import os, sys\n"
            "from pytest_gpupool.leases.locking.lock_directory import lock_directory\n"
            "from pytest_gpupool.leases.locking.locks import LockFile\n"
            f"file = LockFile(lock_directory({str(directory.path)!r}, {{}}), {NAME!r})\n"
            f"locked = file.lock()\nfile.keep()\nprint(locked, flush=True)\ninput()\n{ending}\ninput()\n"
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        wakeups = Wakeups(directory)
        assert wakeups.works
        wakeups.watch([NAME])
        print(file=holder.stdin, flush=True)
        assert wakeups.wait(LONG)
        wakeups.close()
        holder.kill()
        holder.communicate()
        assert LockFile(directory, NAME).lock()

    def test_not_by_who_tries_or_looks(self, directory: LockDirectory) -> None:
        """Or all that wait would keep each other awake."""
        file = LockFile(directory, NAME)
        assert file.lock()
        wakeups = Wakeups(directory)
        wakeups.watch([NAME])
        file.unlock()
        assert file.lock()
        file.keep()
        assert not LockFile(directory, NAME).lock()
        assert is_locked(directory, NAME)
        directory.read(NAME)
        assert not wakeups.wait(0.01)
        file.unlock()
        assert wakeups.wait(LONG)
        wakeups.close()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Path.mkdir, "is no regular file: remove it"),
        (os.mkfifo, "is no regular file: remove it"),
        (lambda path: path.symlink_to(path.with_name("precious")), "is a link: remove it"),
        (lambda path: path.hardlink_to(path.with_name("there")), "has a second name (a hard link): remove it"),
    ],
    ids=["directory", "pipe", "link", "hard link"],
)
def test_what_is_no_lock_file(directory: LockDirectory, make: Callable[[Path], None], why: str) -> None:
    """It is refused with what to do, and nothing is made where it leads."""
    (directory.path / "there").touch()
    make(directory.path / NAME)
    with pytest.raises(BadFile) as raised:
        LockFile(directory, NAME).lock()
    assert str(raised.value) == f"{directory.path / NAME} {why}"
    assert not (directory.path / "precious").exists()


def _replace(path: Path) -> None:
    other = path.with_name("new")
    other.touch()
    other.replace(path)
