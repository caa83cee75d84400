"""Foreign processes: which of the processes on our devices are not ours.

Ours are this process, its descendants, what they started that has left them (by the environment that it was given, or
by our process group), other workers that share the device, and the server of CUDA's MPS, through which their work goes.
Nobody is accused who is no live process here: in a container NVML may give the numbers that processes have outside.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from os import getpgrp, getpid
from typing import Literal

from ..processes import table
from ..processes.table import Process

Kind = Literal["mine", "pool", "foreign", "unknown"]

_MPS = b"nvidia-cuda-mps"  # nvidia-cuda-mps-server and -control, cut to 15 characters as the kernel does
_MARKS = ("GPUPOOL_RUN", "GPUPOOL_DEVICES")  # a worker that shares the devices may have the same ones


class ForeignProcesses:
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
        lineage = table.lineage(pid)
        if getpid() in lineage:
            return "mine"
        if not lineage and not table.exists(pid):
            return "unknown"
        if self._was_started_by_us(pid, lineage.get(pid)):
            return "mine"
        if pid in lineage and lineage[pid].name.startswith(_MPS):
            return "pool"
        others = set(self._own()) if self._own is not None else set()
        return "pool" if others & {pid, *lineage} else "foreign"

    def _was_started_by_us(self, pid: int, known: Process | None) -> bool:
        # A group that we do not lead is the shell's: all that one command line or script started.
        if known is not None and known.group == getpgrp() == getpid():
            return True
        return bool(self._marks) and self._marks <= table.environment(pid)
