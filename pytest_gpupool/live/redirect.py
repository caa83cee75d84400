"""The redirection of standard error: what this process and those that it starts write there is put in order.

Workers have standard error from the controller, and write to it what they must: the stacks of one that crashes, what
tests print there under ``-s``. It leads to a terminal of its own, so that
they see one as before, and what comes out of that goes to the real one.
"""

from __future__ import annotations

import os
import pty
import select
import threading
import tty
from collections.abc import Callable

_STANDARD_ERROR = 2
_LAST_READS = 64  # at the end: a process that was left behind may write on for ever


class StderrRedirect:
    """Leads standard error to ``put``, which is called from a thread, between :meth:`open` and :meth:`close`."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put
        self._terminal, self._exit, self._stop = -1, -1, -1
        self._real = -1
        self._thread: threading.Thread | None = None

    def open(self, fit: Callable[[int], None]) -> None:
        """Begin; ``fit`` gives a terminal, by its descriptor, its size. Raises OSError where there are no terminals."""
        self._terminal, inner = pty.openpty()
        tty.setraw(inner)  # the terminal behind it turns line ends into what it needs
        fit(inner)
        self._real = os.dup(_STANDARD_ERROR)
        os.dup2(inner, _STANDARD_ERROR)
        os.close(inner)
        self._exit, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._forward, name="gpupool-stderr", daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether standard error is redirected."""
        return self._thread is not None

    @property
    def terminal(self) -> int:
        """The descriptor of the terminal that it leads to."""
        return self._terminal

    def close(self) -> None:
        """Put standard error back, once all that was written has been forwarded; a second call does nothing."""
        if self._thread is None:
            return
        os.dup2(self._real, _STANDARD_ERROR)
        os.close(self._stop)
        self._thread.join()
        self._thread = None
        for descriptor in (self._real, self._terminal, self._exit):
            os.close(descriptor)

    def _forward(self) -> None:
        poll = select.poll()
        poll.register(self._terminal, select.POLLIN)
        poll.register(self._exit, select.POLLIN)
        reads_left = _LAST_READS
        while reads_left:
            ready = dict(poll.poll())
            if self._terminal not in ready:
                return  # it is over, and nothing is waiting
            reads_left -= self._exit in ready
            try:
                self._put(os.read(self._terminal, 1 << 16))
            except OSError:
                return  # nobody has the other end any more
