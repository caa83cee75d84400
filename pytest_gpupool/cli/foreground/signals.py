"""Signals: heard one by one in the main loop, instead of anywhere in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

PASSED_ON = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGTSTP,
)
"""What the command hears as well. A terminal's own reach the group in its foreground, which is not ours then."""

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""What says that it is enough."""

_HEARD = {*PASSED_ON, signal.SIGCHLD, signal.SIGCONT, signal.SIGTTOU}


class Signals:
    """What this process is sent, from :meth:`heard` on."""

    def __init__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Keep signals for :meth:`wait` meanwhile."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, a child's end is lost
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def restore(self) -> None:
        """In the child: hear signals as our parent's child would have."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def wait(self, seconds: float) -> int | None:
        """Return the next signal, None where there is none for so long."""
        known = signal.sigtimedwait(_HEARD, seconds)
        return None if known is None else known.si_signo


def stop_like(number: int) -> None:
    """Stop this process as that signal would, until it is continued.

    The kernel does not where nobody could continue it: where its group is orphaned, as without a shell.
    """
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    signal.sigtimedwait({signal.SIGCONT}, 0)  # what continued us


def die_like(number: int) -> None:
    """End this process by a signal, so that a shell knows what to do with the rest of a loop."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
