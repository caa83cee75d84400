"""Private names of Python. Seen in Python 3.11 to 3.14."""

from __future__ import annotations

import atexit
import subprocess
import threading


def forget_exit_functions() -> None:
    """Forget the functions of :mod:`atexit` that were registered so far, in a forked child, whose parent calls them."""
    atexit._clear()


def run_exit_functions() -> None:
    """Call those that were registered since, last first."""
    atexit._run_exitfuncs()


def end_threads() -> None:
    """Wait for threads as Python does at its end: pools have theirs ended, daemons are let be."""
    threading._shutdown()  # type: ignore[attr-defined]


def interpreter_options() -> list[str]:
    """Return the options with which this Python was started, for another one like it."""
    return list(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]
