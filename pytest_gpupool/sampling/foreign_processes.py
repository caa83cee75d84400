"""Foreign processes: which of the processes on our devices are not ours.

Ours are this process, its descendants, what they started that has left them (by its environment, its limits, or by our
process group), other workers that share the device, and a vendor's own server through which their work goes.
Nobody is accused who is no live process here: in a container a library may give the numbers that processes have
outside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from ..devices import vendors
from ..processes import marks, table
from ..processes.own.system import os
from ..processes.table import Process
from ..values.process_id import ProcessId

Kind = Literal["mine", "pool", "foreign", "unknown"]

_MARKS = ("GPUPOOL_RUN", "GPUPOOL_DEVICES")  # a worker that shares the devices may have the same ones


class ForeignProcesses:
    """Tells processes on our devices apart. ``own`` gives other workers that share them, be it from a container."""

    def __init__(self, own: Callable[[], Collection[ProcessId]] | None = None) -> None:
        self._own = own
        self._known: dict[tuple[int, int | None], Kind] = {}  # by pid and start: a number is used again
        own_marks = [os.fsencode(f"{name}={os.environ[name]}") for name in _MARKS if name in os.environ]
        self._marks = frozenset(own_marks) if len(own_marks) == len(_MARKS) else frozenset()

    def sort(self, pids: Collection[int], accused: Collection[int] = ()) -> dict[int, Kind]:
        """Return of each process what it is; who is among the ``accused`` is foreign without another look.

        What a process was found to be it stays, while it is named at each call: a child of ours is ours when its
        parent has ended. A foreign one is looked at again, because a note of who shares may come late.
        """
        present = {(pid, table.start_of(pid)) for pid in pids}
        known: dict[tuple[int, int | None], Kind] = {
            process: kind for process, kind in self._known.items() if process in present and kind != "foreign"
        }
        new = {process[0]: process for process in present - known.keys()}
        known |= {process: "foreign" if pid in accused else self._kind(pid) for pid, process in new.items()}
        self._known = known
        return {pid: kind for (pid, _), kind in known.items()}

    def _kind(self, pid: int) -> Kind:
        lineage = table.lineage(pid)
        if os.getpid() in lineage:
            return "mine"
        if not lineage and not table.exists(pid):
            return "unknown"
        if self._was_started_by_us(pid, lineage.get(pid)):
            return "mine"
        if pid in lineage and vendors.is_service(lineage[pid].name):
            return "pool"
        others = self._own() if self._own is not None else ()
        is_pool = any(table.is_process(ancestor, other) for other in others for ancestor in lineage)
        return "pool" if is_pool else "foreign"

    def _was_started_by_us(self, pid: int, known: Process | None) -> bool:
        # A group that we do not lead is the shell's: all that one command line or script started.
        if known is not None and known.group == os.getpgrp() == os.getpid():
            return True
        return marks.are_shared_with(pid) or (bool(self._marks) and self._marks <= table.environment(pid))
