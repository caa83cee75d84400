"""A lock file excludes."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from pytest_gpupool.leases.lock_directory import lock_directory
from pytest_gpupool.leases.locks import LockFile
from pytest_gpupool.values.errors import UsageProblem


@pytest.fixture
def lock_dir(tmp_path: Path) -> Path:
    """A directory for lock files."""
    return lock_directory(str(tmp_path / "locks"), {})


class TestLockFile:
    """Two objects for one file exclude each other."""

    def test_it_excludes(self, lock_dir: Path) -> None:
        """Until it is given back, which may be done twice."""
        first, second = LockFile(lock_dir / "queue.lock"), LockFile(lock_dir / "queue.lock")
        assert first.lock()
        assert not second.lock()
        assert second.is_taken()
        first.unlock()
        first.unlock()
        assert not second.is_taken()
        assert second.lock()
        second.unlock()

    def test_looking_leaves_nothing_locked(self, lock_dir: Path) -> None:
        """The file stays, for every user."""
        file = LockFile(lock_dir / "queue.lock")
        assert not file.is_taken()
        assert LockFile(lock_dir / "queue.lock").lock()
        assert stat.S_IMODE((lock_dir / "queue.lock").stat().st_mode) == 0o666

    def test_a_link_is_refused(self, lock_dir: Path) -> None:
        """Its target is not made."""
        (lock_dir / "queue.lock").symlink_to(lock_dir / "precious")
        with pytest.raises(UsageProblem, match=re.escape(f"cannot lock {lock_dir / 'queue.lock'}: ")):
            LockFile(lock_dir / "queue.lock").lock()
        assert not (lock_dir / "precious").exists()
