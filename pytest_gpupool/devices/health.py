"""Health: notices devices that fall off the bus, and those that do not get their memory back from a dead worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from ..processes import table, termination
from ..processes.own.events import Event
from ..processes.termination import Worker
from ..values.device import Device, Size
from ..values.texts import size_text
from . import vendors
from .probe import DeviceFailed, GpuProcess, Usage

LOOK_SECONDS = 2.0
"""How often every device is asked whether it is still there."""

RETURN_SECONDS = 5.0
"""How long the driver may take to free what a dead process had."""

_MEMORY_LOOK_SECONDS = 0.25
_LOOKS_HELD = 3  # as often in turn a device must be held to be somebody's
_ASK_SECONDS = 3.0  # a driver that hangs is not to keep the others' tests waiting
_END_SECONDS = 1.0  # a driver that hangs is not to hold up the end of the run


class Health:
    """Looks after the devices of a pool, from threads of its own.

    ``failed(device, reason)`` is called once for each device that is no good any more.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        allowed: Size | None,
        failed: Callable[[Device, str], None],
        *,
        look_seconds: float = LOOK_SECONDS,
        return_seconds: float = RETURN_SECONDS,
    ) -> None:
        self._devices = {device.id: device for device in devices}
        self._allowed = allowed
        self._failed = failed
        self._look_seconds = look_seconds
        self._return_seconds = return_seconds
        vendor = vendors.of(devices)
        self._library = vendor.library
        self._probe = vendor.probe()
        self._lock = threading.Lock()
        self._reported: set[str] = set()
        self._closing = Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to look, from a thread, until :meth:`close`; the controller calls it once workers are wanted."""
        self._spawn(self._keep_looking)

    def look(self) -> list[tuple[Device, str]]:
        """Look once at every device, as a thread does now and then; return those that are lost, with the reason."""
        return self._look_at(self._devices.values())

    def _look_at(self, devices: Iterable[Device]) -> list[tuple[Device, str]]:
        lost = []
        for device in devices:
            try:
                self._probe.usage(device)
            except DeviceFailed as failed:
                if failed.for_good:
                    lost.append((device, str(failed)))
        return lost

    def have_failed(self, ids: Sequence[str], seconds: float = _ASK_SECONDS) -> bool:
        """Ask whether one of these devices is lost, and say so as :meth:`look` does; not where that takes too long."""
        lost = list[str]()
        asker = threading.Thread(target=lambda: lost.extend(self._lost_of(ids)), name="gpupool-health", daemon=True)
        asker.start()
        asker.join(seconds)
        return bool(lost)

    def _lost_of(self, ids: Sequence[str]) -> list[str]:
        with self._lock:
            known = self._reported & {*ids}
        found = self._look_at([self._devices[id_] for id_ in ids if id_ in self._devices])
        for device, reason in found:
            self._report(device, reason)
        return [*known, *(device.id for device, _ in found)]

    def after_death(self, ids: Sequence[str], worker: Worker, is_held: Callable[[str], bool]) -> None:
        """See, from a thread, whether these devices get back the memory that a worker had which has died.

        What others have does not count, nor anything once ``is_held(device)``: who has leased it since found it free.
        """
        if self._allowed is None:
            return
        family = _Family(worker)
        for device in map(self._devices.get, ids):
            if device is not None:
                self._spawn(lambda device=device: self._wait_for_memory(device, family, is_held))  # type: ignore[misc]

    def close(self) -> bool:
        """Stop looking; return whether the devices answered to the last."""
        self._closing.set()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        return not any(thread.is_alive() for thread in self._threads)

    def _spawn(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name="gpupool-health", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep_looking(self) -> None:
        with self._probe.kept():  # to start the library takes longer than to ask it
            while not self._closing.wait(self._look_seconds):
                for device, reason in self.look():
                    self._report(device, reason)

    def _wait_for_memory(self, device: Device, family: _Family, is_held: Callable[[str], bool]) -> None:
        assert self._allowed is not None
        allowed, remaining = self._allowed.of(device), self._return_seconds
        with suppress(DeviceFailed):  # what keeps looking will say it
            held = 0
            while (kept := family.memory(usage := self._probe.usage(device))) > allowed and held < _LOOKS_HELD:
                # Who finds it in use holds it for a moment only.
                held = held + 1 if is_held(device.id) else 0
                if remaining <= 0 and not held:
                    self._report(device, _kept_text(family.named(usage), kept, self._library))
                    return
                remaining -= _MEMORY_LOOK_SECONDS
                if self._closing.wait(_MEMORY_LOOK_SECONDS):
                    return

    def _report(self, device: Device, reason: str) -> None:
        with self._lock:
            if device.id in self._reported:
                return
            self._reported.add(device.id)
        self._failed(device, reason)


class _Family:
    """A worker that has died, and what it started: those that were there at its death, and who is of it later."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._known: dict[int, int | None] = {}
        if worker.process is not None:
            self._known[worker.process.pid] = worker.process.started
        self._see_who_lives()

    def memory(self, usage: Usage) -> int:
        """Return how many bytes of a device it has, with those that nobody is named for."""
        named = self.named(usage)
        others = [process.memory for process in (*usage.processes, *usage.graphics) if process not in named]
        if None in others:  # as in some containers: then what is nobody's is not known
            return sum(process.memory or 0 for process in named)
        return max(0, (usage.memory_used or 0) - sum(filter(None, others)))

    def named(self, usage: Usage) -> list[GpuProcess]:
        """Return the processes on a device that are not known to be somebody else's."""
        if usage.processes:
            self._see_who_lives()
        return [process for process in usage.processes if self._may_be_of_it(process.pid)]

    def _may_be_of_it(self, pid: int) -> bool:
        # One that is not here has ended, or has another number here: nobody knows whose it is.
        started = table.start_of(pid)
        return (not table.exists(pid)) if started is None else self._known.get(pid) == started

    def _see_who_lives(self) -> None:
        living = termination.processes_of(self._worker)
        self._known |= {pid: table.start_of(pid) for pid in living}


def _kept_text(processes: Sequence[GpuProcess], kept: int, library: str) -> str:
    pids = ", ".join(str(process.pid) for process in processes)
    who = f" ({library} names pid {pids})" if pids else f" ({library} names no process)"
    return f"did not give its memory back after its worker died: {size_text(kept)} are still in use{who}"
