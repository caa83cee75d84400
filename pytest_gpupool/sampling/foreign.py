"""Strangers: which of the processes on our devices are not ours.

Ours are this process, its descendants, what they started that has left them (by the environment that it was given, or
by our process group), other workers that share the device, and the server of CUDA's MPS, through which their work goes.
Nobody is accused who is no live process here: in a container NVML may give the numbers that processes have outside.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from os import getpgrp, getpid, kill
from typing import Literal

from ..processes.tree import Stat, content, stat

Kind = Literal["mine", "pool", "foreign", "unknown"]

_MPS = b"nvidia-cuda-mps"  # nvidia-cuda-mps-server and -control, cut to 15 characters as the kernel does
_LARGEST_PID = 1 << 31
_LARGEST_ENVIRONMENT = 1 << 20
_MARKS = ("GPUPOOL_RUN", "GPUPOOL_DEVICES")  # a worker that shares the devices may have the same ones


class Strangers:
    """Tells processes on our devices apart. ``own`` gives the pids of other workers that share them."""

    def __init__(self, own: Callable[[], Collection[int]] | None = None) -> None:
        self._own = own
        self._known: dict[int, Kind] = {}
        marks = [os.fsencode(f"{name}={os.environ[name]}") for name in _MARKS if name in os.environ]
        self._marks = frozenset(marks) if len(marks) == len(_MARKS) else frozenset()

    def sort(self, pids: Collection[int], accused: Collection[int] = ()) -> dict[int, Kind]:
        """Return of each process what it is; who is among the ``accused`` is foreign without another look.

        What a process was found to be it stays, while it is named at each call: a child of ours is ours when its
        parent has ended. A foreign one is looked at again, because a note of who shares may come late.
        """
        self._known = {pid: kind for pid, kind in self._known.items() if pid in pids and kind != "foreign"}
        self._known |= {pid: "foreign" if pid in accused else self._kind(pid) for pid in pids if pid not in self._known}
        return dict(self._known)

    def _kind(self, pid: int) -> Kind:
        lineage = dict(_lineage(pid))
        if getpid() in lineage:
            return "mine"
        if not lineage and not _lives(pid):
            return "unknown"
        if self._is_left_by_us(pid, lineage.get(pid)):
            return "mine"
        if pid in lineage and lineage[pid].name.startswith(_MPS):
            return "pool"
        others = set(self._own()) if self._own is not None else set()
        return "pool" if others & {pid, *lineage} else "foreign"

    def _is_left_by_us(self, pid: int, known: Stat | None) -> bool:
        # A group that we do not lead is the shell's: all that one command line or script started.
        if known is not None and known.group == getpgrp() == getpid():
            return True
        environment = content(f"/proc/{pid}/environ", _LARGEST_ENVIRONMENT) or b""
        return bool(self._marks) and self._marks.issubset(environment.split(b"\0"))


def _lineage(pid: int) -> Iterator[tuple[int, Stat]]:
    seen: set[int] = set()
    while pid > 0 and pid not in seen and (known := stat(pid)) is not None:
        seen.add(pid)
        yield pid, known
        pid = known.parent


def _lives(pid: int) -> bool:
    if not 0 < pid < _LARGEST_PID:
        return False
    try:
        kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
