"""Time limits: how long the workers' tests may take, and the end of a worker whose test takes longer."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from ...foreign import xdist_protocol
from ...processes.time_limits import TimeLimits
from .member import Member


class WorkerTimeLimits:
    """One clock a worker. ``overdue(worker, test)`` is called from another thread; it is to bring :meth:`cut_off`.

    ``where(member)`` tells where a worker hangs.

    A worker that waits for an answer is on no clock. Its question and the answer may cross, as the answer is mostly
    sent before anybody asks: so answers are counted on both sides, and a question tells how many it knows of.
    """

    def __init__(self, overdue: Callable[[str, str], None], where: Callable[[Member], str]) -> None:
        self._clocks = TimeLimits(overdue)
        self._where = where
        self._enders: list[threading.Thread] = []
        self._answers: Counter[str] = Counter()  # that were sent, by worker
        self._answering = threading.Lock()

    def runs(self, member: Member, test: str | None, limit: float | None) -> None:
        """A scheduler says that a worker runs this test now, for so many seconds at most."""
        if test is not None:
            member.begins(test, limit or 0.0)
        if test is None or limit is None:
            self._clocks.end(member.name)
        else:
            self._clocks.begin(member.name, test, limit)

    def restart(self, worker: str, test: str) -> None:
        """An attempt at its test begins: the time before does not count. For any thread."""
        self._clocks.go_on(worker)
        self._clocks.restart(worker, test)

    def lets_in(self, worker: str, test: str) -> None:
        """Its test has what it waited for."""
        self._clocks.restart(worker, test)

    def pause(self, worker: str, test: str) -> None:
        """Its test waits for something that is not its own; :meth:`lets_in` ends that."""
        self._clocks.pause(worker, test)

    def asks(self, worker: str, answers: int) -> None:
        """It has asked for its next test when it knew of so many answers. For any thread.

        What it waits is not its test's time, but where another answer is on its way it does not wait.
        """
        with self._answering:
            if self._answers[worker] <= answers:
                self._clocks.wait(worker)

    def tears_down(self, worker: str) -> None:
        """It tears down what an earlier test used: that is not the time of the test that it has been given since."""
        self._clocks.wait(worker)

    def is_told(self, worker: str, command: str) -> None:
        """A command is about to be sent to it. Before, not after: by then it may have asked the next question."""
        if command in xdist_protocol.ANSWERS:
            with self._answering:
                self._answers[worker] += 1
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
            try:
                member.where = self._where(member)
            finally:  # whatever is wrong with that: nobody else ends it
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
