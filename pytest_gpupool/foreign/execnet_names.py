"""Execnet's gateways: the process behind one, and how another is specified. Seen in execnet 2.1.0 to 2.1.2."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from execnet.gateway import RInfo
from execnet.gateway_io import popen_bootstrapline

PROGRAM = popen_bootstrapline


class Process(Protocol):
    """What is used of the process behind a gateway: that of ``subprocess.Popen``."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def stdin(self) -> IO[bytes] | None:
        """The pipe to its standard input."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """The pipe from its standard output."""

    def poll(self) -> int | None:
        """Return the exit status, None as long as it lives."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit status."""

    def kill(self) -> None:
        """Send it SIGKILL."""


def process_of(gateway: Any) -> Process:
    """Return the process that a gateway of the kind ``popen`` has started."""
    process: Process = gateway._io.popen
    return process


def described(gateway: Any) -> Any:
    """Return a gateway of which is known what execnet would ask it, where it may be long until it answers.

    What is behind it is taken for a program as this one is.
    """
    if not hasattr(process_of(gateway), "link"):
        return gateway
    about = {
        "executable": sys.executable,
        "version_info": tuple(sys.version_info[:5]),
        "platform": sys.platform,
        "cwd": str(Path.cwd()),
        "pid": 0,
    }
    gateway._cache_rinfo = RInfo(about)
    return gateway


def start_by(group: Any, start: Callable[[], Process | None]) -> None:
    """Have the group's gateways of the kind ``popen`` be started by this: by execnet where it returns none.

    What is started is what this Python runs as :data:`PROGRAM`; a gateway of another Python is execnet's.
    """
    group._execmodel = _Starter(group._execmodel, start)


class _Starter:
    """An execution model that starts processes in another way."""

    PIPE = subprocess.PIPE

    def __init__(self, model: Any, start: Callable[[], Process | None]) -> None:
        self.model = model
        self._start = start

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    @property
    def subprocess(self) -> _Starter:
        """What execnet looks for ``Popen`` in."""
        return self

    def Popen(self, args: Sequence[str], **streams: int) -> Process:
        """Start what execnet wants to have started."""
        is_usual = [*args] == [sys.executable, "-u", "-c", PROGRAM]
        return (self._start() if is_usual else None) or subprocess.Popen(args, **streams)  # type: ignore[call-overload]


def another_like(spec: Any, group: Any) -> Any:
    """Return a copy of a gateway's specification that has an id of its own in the group, which names its gateway."""
    other = copy.copy(spec)
    other.id = None
    group.allocate_id(other)
    return other


def forget_ended(group: Any) -> None:
    """Have a group let go of gateways that have ended, with all that they lead to.

    It does so only where it has ended the last one itself, and Python's list of what to call at exit holds every group.
    """
    group._gateways_to_join.clear()
    vars(group).pop("makegateway", None)  # what stands in its place for this run
    if isinstance(group._execmodel, _Starter):
        group._execmodel = group._execmodel.model
