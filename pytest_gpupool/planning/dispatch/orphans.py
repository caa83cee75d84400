"""Orphans: tests that none of the workers which are left has collected. Pure: no clock, no files.

Workers may collect different tests. Where all that had a test are gone, one more worker is started for it, or comes in
a dead one's place; where that one has not collected it either, the test is given up, and so it is not run. So is one
that must not run again on the devices of those which are left, when enough others were asked for in vain.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..backlog.queue import Queue
from ..progress import Progress
from ..tests import Test
from ..workers import Worker, Workers
from .reruns import Reruns


class Orphans:
    """Finds them, and takes them out of where they wait: they are over."""

    def __init__(
        self, tests: Mapping[int, Test], queue: Queue, workers: Workers, reruns: Reruns, progress: Progress
    ) -> None:
        self._tests = tests
        self._queue = queue
        self._workers = workers
        self._reruns = reruns
        self._progress = progress
        self.in_vain: list[int] = []
        """Tests for which nobody has come who has other devices."""

    def has_joined(self, worker: Worker) -> None:
        """A worker has collected: where it came when nobody was left who had some tests, give up those it lacks."""
        if worker.is_last_hope:
            self._give_up(worker.gpus)

    def are_left_over(self) -> bool:
        """Give up what nobody has, once nobody has anything to do, or will have; return whether there was anything."""
        return self._workers.all_wait and not self._reruns.undecided and self._give_up()

    def wait_in_vain(self) -> bool:
        """Give up what waits for other devices than there are; return whether there was anything."""
        lost = self._reruns.drop_in_vain()
        self.in_vain += lost
        for index in lost:
            self._progress.over(index)
        return bool(lost)

    def _give_up(self, gpus: int | None = None) -> bool:
        """Give up those of one size, or of all."""
        lost: list[int] = []
        for need, lacked_by in self._queue.usable.lacked():
            if gpus in (None, need[0]) and not self._workers.some_have(need, lacked_by):
                lost += self._queue.lacked(need, lacked_by)
        if lost:
            self._queue.sort_anew(without=frozenset(lost))
        lost += self._reruns.drop(lambda index: self._is_lost(index, gpus))
        for index in lost:
            self._progress.over(index)
        return bool(lost)

    def _is_lost(self, index: int, gpus: int | None) -> bool:
        test, need = self._tests[index], self._queue.need_of(index)
        return bool(test.lacked_by) and gpus in (None, need[0]) and not self._workers.some_have(need, test.lacked_by)
