"""Leftovers: what workers leave running that have ended well is ended, and named where it holds a device."""

from __future__ import annotations

import threading

from ...processes import termination
from ...run.controller import Controller
from ...sampling import leftovers
from ...sampling.leftovers import Attempts
from .engine_process import EngineWorkerProcess
from .member import Member
from .process_ends import GRACE_SECONDS, LocalProcess


class WorkerLeftovers:
    """Does so in the thread that says so, for all workers at once that have ended by then."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._lock = threading.Lock()
        self._waiting: list[tuple[Member, LocalProcess]] = []
        self._is_at_it = False

    def has_ended(self, member: Member) -> None:
        """A worker's process has ended: see what it leaves."""
        process = member.process
        if isinstance(process, EngineWorkerProcess):
            for name in process.left:
                self._controller.console.warn(f"{member.name} left {name} running on {process.host}: it was ended")
            return
        assert isinstance(process, LocalProcess)
        with self._lock:
            self._waiting.append((member, process))
            if self._is_at_it:
                return
            self._is_at_it = True
        while members := self._next():
            # One look for all of them: mostly there is nobody.
            if termination.processes_of(*(process.worker for _, process in members)):
                for other, process in members:
                    self._end(other, process)

    def _next(self) -> list[tuple[Member, LocalProcess]]:
        with self._lock:
            members, self._waiting = self._waiting, []
            self._is_at_it = bool(members)
            return members

    def _end(self, member: Member, process: LocalProcess) -> None:
        results = self._controller.records.results
        tests = [test for test in results.single if test.worker == member.name]
        attempts = Attempts(seen=process.started, ran=lambda: tests)
        devices = [device for device in self._controller.devices.pool.devices if device.id in member.devices]
        for found in leftovers.end(process.worker, devices, attempts, grace=GRACE_SECONDS):
            self._controller.console.warn(str(found))
