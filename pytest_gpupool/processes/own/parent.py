"""The parent: a forked child that ends with it, however that ends."""

from __future__ import annotations

import ctypes
import signal

from .system import os

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def library() -> ctypes.CDLL:
    """Return the C library, loaded before a fork: afterwards nothing should have to be."""
    return ctypes.CDLL(None, use_errno=True)


def end_with(parent: int, library: ctypes.CDLL) -> None:
    """Have the kernel kill this process when the thread of its parent that has forked it ends.

    Called in the child. Where the parent has ended by now, this process ends at once.
    """
    if hasattr(library, "prctl"):
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # noqa: SLF001 - public, but for its name
