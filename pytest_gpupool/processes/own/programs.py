"""Programs that this process starts and waits for, none of them for ever.

The time limits of ``subprocess`` sleep by ``time.sleep`` and go by ``time.monotonic``: a test that counts or replaces
these would be counted wrongly, or decide how long that is.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def limited(process: subprocess.Popen[Any], seconds: float) -> Iterator[threading.Event]:
    """Kill a program that has not ended so many seconds from now, nor this block; the event says whether it was."""
    was_killed = threading.Event()

    def end() -> None:
        was_killed.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield was_killed
    finally:
        timer.cancel()
