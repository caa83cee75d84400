"""The launcher: starts sruns such that they end when this process does, however that ends."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor


class Launcher:
    """Starts programs, all from one thread: the kernel tells them of the end of the thread that has started them.

    An srun whose job waits would wait on when pytest is killed, and its job be placed in the end. By SIGTERM it takes
    its job out of the queue, or ends it where it runs.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gpupool-srun")
        self._before: list[str] | None = None

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, so that Ctrl-C does not reach it, with pipes to all its streams."""
        return self._thread.submit(self._start, command).result()

    def close(self) -> None:
        """End its thread, and by that what is left of what it has started."""
        self._thread.shutdown(wait=True)

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        if self._before is None:
            self._before = self._with_parent()
        return subprocess.Popen(
            [*self._before, *command],
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    def _with_parent(self) -> list[str]:
        """Return what to put before a command, nothing where util-linux is older than 2.34 or not there.

        Code of ours between fork and exec, in a process of many threads, could hang.
        """
        before = ["setpriv", "--pdeathsig=TERM"]
        if shutil.which(before[0], path=self._environ.get("PATH")) is None:
            return []
        tried = subprocess.run([*before, "true"], env=self._environ, capture_output=True, check=False)
        return before if tried.returncode == 0 else []
