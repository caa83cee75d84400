"""Locks: files of which one process at a time can have each. The only importer of filelock.

The lock is flock's (``filelock.FileLock``); its file is never unlinked. It ends with the process, however that ends.
What is here tries once. filelock is imported where it is needed: a worker on a CPU slot takes no lock.
"""

from __future__ import annotations

from pathlib import Path

from ..values.errors import UsageProblem


class LockFile:
    """A lock file. Who locks it excludes every other one, other objects of its own process too."""

    def __init__(self, path: Path) -> None:
        import filelock

        self._path = path
        # Never the fall-back to a soft lock: it would stay behind after a kill.
        self._lock = filelock.FileLock(path, timeout=0, mode=0o666, thread_local=False, fallback_to_soft=False)

    def lock(self) -> bool:
        """Take it, or say that it is held. Raises UsageProblem where the file cannot be made or opened."""
        from filelock import Timeout

        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            raise UsageProblem(
                f"cannot lock {self._path}: {error.strerror}; remove the file if its owner no longer runs, "
                "or choose another directory with --gpupool-lock-dir (all runs on this host need the same)"
            ) from None
        return True

    def unlock(self) -> None:
        """Give it back; where it is not held, nothing happens."""
        self._lock.release()

    def is_taken(self) -> bool:
        """Say whether anybody holds it at this moment.

        flock tells that only to who tries: a free one is locked for that moment, and whoever wants it then must be
        ready to try again. One that is held is not touched.
        """
        if not self.lock():
            return True
        self.unlock()
        return False
