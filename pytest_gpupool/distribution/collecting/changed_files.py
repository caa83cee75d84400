"""Changed files: which test files somebody has saved since the run's tests were collected."""

from __future__ import annotations

from pathlib import Path

from ...processes.own import clock
from ...values.nodeids import file_of


class ChangedFiles:
    """What is found in them by a worker that comes later is none of the run's."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._since = 0.0

    def begin(self) -> None:
        """The run's tests have just been collected."""
        self._since = clock.now()

    def has(self, nodeid: str) -> bool:
        """Return whether the file of a test has changed since."""
        try:
            return (self._root / file_of(nodeid)).stat().st_mtime > self._since
        except OSError:
            return False  # of no file that we know: it may be made up by a plugin
