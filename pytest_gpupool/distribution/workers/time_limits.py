"""Time limits: how long the workers' tests may take, and the end of a worker whose test takes longer."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ...processes.time_limits import TimeLimits
from .member import Member


class WorkerTimeLimits:
    """One clock a worker. ``overdue(worker, test)`` is called from another thread; it is to bring :meth:`cut_off`.

    ``where(member)`` tells where a worker hangs.
    """

    def __init__(self, overdue: Callable[[str, str], None], where: Callable[[Member], str]) -> None:
        self._clocks = TimeLimits(overdue)
        self._where = where
        self._enders: list[threading.Thread] = []

    def runs(self, member: Member, test: str | None, limit: float | None) -> None:
        """A scheduler says that a worker runs this test now, for so many seconds at most."""
        if test is None or limit is None:
            self._clocks.end(member.name)
        else:
            member.limit = limit
            self._clocks.begin(member.name, test, limit)

    def restart(self, worker: str, test: str) -> None:
        """An attempt at its test begins, or its test goes on: the time before does not count. For any thread."""
        self._clocks.restart(worker, test)

    def pause(self, worker: str, test: str) -> None:
        """Its test waits for something that is not its own; :meth:`restart` ends that."""
        self._clocks.pause(worker, test)

    def waits(self, worker: str) -> None:
        """It has asked for its next test: what it waits for the answer is not its test's time. For any thread."""
        self._clocks.wait(worker)

    def goes_on(self, worker: str) -> None:
        """It has its answer."""
        self._clocks.go_on(worker)

    def ends(self, worker: str) -> None:
        """Its test has ended, or it has. For any thread."""
        self._clocks.end(worker)

    def cut_off(self, member: Member, test: str) -> None:
        """A worker's running test takes too long: see where it is, then end the worker, unless it ends already."""
        if member.gone or member.overdue:
            return
        member.overdue = test

        def end() -> None:  # in a thread: the other workers go on meanwhile
            member.where = self._where(member)
            member.process.end()

        ender = threading.Thread(target=end, name="gpupool-end", daemon=True)
        self._enders.append(ender)
        ender.start()

    def close(self) -> None:
        """No more tests are given out."""
        self._clocks.close()

    def wait_for_ends(self) -> None:
        """Wait until workers whose tests took too long have ended, with all that they started."""
        for ender in self._enders:
            ender.join()
