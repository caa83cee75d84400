"""Signals: sent to a process that is still the one which is meant, since its number may be another one's by now."""

from __future__ import annotations

import signal

from . import table
from .own.system import os, select


def send(pid: int, started: int, *numbers: int) -> bool:
    """Send signals to the process of that number and start; return whether it was there and could be told."""
    descriptor = descriptor_of(pid)
    try:
        # A descriptor means one process for good, so that this look, after it was opened, holds for what follows.
        if table.start_of(pid) != started:
            return False
        for number in numbers:
            if descriptor is None:
                os.kill(pid, number)
            else:
                signal.pidfd_send_signal(descriptor, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return True


def ends_within(pid: int, seconds: float) -> bool:
    """Wait up to so long for the end of a process; return whether it has ended, which is not known everywhere."""
    descriptor = descriptor_of(pid)
    if descriptor is None:
        return False
    try:
        end = select.poll()
        end.register(descriptor, select.POLLIN)
        return bool(end.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def descriptor_of(pid: int) -> int | None:
    """Return a pidfd, which is ready to be read once the process has ended.

    None where there is no such process, or no such thing: the kernel is older than 5.3, or a container forbids it.
    """
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
