"""Leftovers: processes that live when their worker has ended, and which of them hold its devices.

Which test started one is known where it, or whom it descends from, was seen after that test. Of one that had left its
parent by then its start tells: a worker runs one test after the other.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..processes import table, termination
from ..processes.termination import Worker
from ..values.device import Device
from ..values.process_id import ProcessId
from ..values.texts import cut, epoch, one_line, size_text

if TYPE_CHECKING:
    from ..devices.probe import GpuProcess
    from ..records.folding.result import TestResult

_LONGEST_COMMAND = 80
_ANSWER_SECONDS = 2.0
_TICK = 0.01  # what a start may be early by, as the kernel counts it


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A process on a device; its ``memory`` in bytes. None stands for what is not known."""

    pid: int
    command: str
    device: Device
    memory: int | None
    test: str | None

    def __str__(self) -> str:
        """Say it as a warning does."""
        who = "some test" if self.test is None else self.test
        command = cut(one_line(self.command), _LONGEST_COMMAND)
        memory = "" if self.memory is None else f", {size_text(self.memory)}"
        return f"{who} left a process behind on {self.device.label}: pid {self.pid} ({command}){memory}; it was ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What is known of who started what: by the looks after each test, and when each test began and ended."""

    seen: Mapping[ProcessId, str]
    ran: Callable[[], Iterable[TestResult]]
    """Gives the worker's tests."""

    def test_of(self, pid: int) -> str | None:
        """Return which test started a process."""
        for ancestor, known in table.lineage(pid).items():
            for process, test in self.seen.items():
                if (process.pid, process.started) == (ancestor, known.start):
                    return test
        return self._running_at(table.started_at(pid))

    def _running_at(self, moment: float | None) -> str | None:
        if moment is None:
            return None
        began = ((test.started, test) for test in self.ran() if test.started is not None)
        before = [(epoch(started), test) for started, test in began if epoch(started) <= moment + _TICK]
        last = max(before, key=lambda one: one[0], default=(0.0, None))[1]
        return None if last is None or (last.ended is not None and epoch(last.ended) < moment) else last.nodeid


def leftovers(family: Collection[int], devices: Iterable[Device], attempts: Attempts) -> list[Leftover]:
    """Return who of a family, found by :func:`termination.processes_of`, holds one of these devices.

    One that does not answer has none.
    """
    return [
        Leftover(
            pid=process.pid,
            command=table.command_line(process.pid),
            device=device,
            memory=process.memory,
            test=attempts.test_of(process.pid),
        )
        for device, process in _processes_on(devices)
        if process.pid in family
    ]


def end(worker: Worker, devices: Iterable[Device], attempts: Attempts, *, grace: float) -> list[Leftover]:
    """End what lives of a worker that has ended itself; return who of them held one of these devices."""
    family = termination.processes_of(worker)
    if not family:
        return []
    found = leftovers(family, devices, attempts)
    termination.end_worker(worker, grace=grace)
    return found


def _processes_on(devices: Iterable[Device]) -> list[tuple[Device, GpuProcess]]:
    """Ask from a thread: a driver that hangs is not to hold up the end."""
    found: list[tuple[Device, GpuProcess]] = []
    thread = threading.Thread(target=lambda: _ask(devices, found), name="gpupool-leftovers-probe", daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS)
    return list(found)


def _ask(devices: Iterable[Device], found: list[tuple[Device, GpuProcess]]) -> None:
    from ..devices import vendors
    from ..devices.probe import DeviceFailed

    for device in devices:
        if device.is_gpu:
            with contextlib.suppress(DeviceFailed):
                found.extend((device, process) for process in vendors.of([device]).probe().usage(device).processes)
